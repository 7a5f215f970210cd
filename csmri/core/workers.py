"""A process that works for another one: it ends when that does, and leaves the keyboard to it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from csmri.core.memory import GIB, LIMIT
from csmri.core.quiet import import_tensorflow

PAUSE = 1.0
"""Seconds between two looks at whether the other process is still there."""
THREADS = "OMP_NUM_THREADS"
"""Variable of the environment that other libraries read, too."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """Threads that this process computes with: a worker has its share of the cores."""
    return int(os.environ.get(THREADS, 0)) or cores()


def begin(parent: int, threads: int, memory: int) -> None:
    """Make this process a worker of another: TensorFlow is imported, with so many threads.

    Parameters
    ----------
    parent : int
        Number of the process that it works for; a worker whose parent was killed would wait for work for ever.
    threads : int
        Of TensorFlow, so that all workers together use every core once.
    memory : int
        Share of this worker in all that is free [bytes].
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears of it, too, and ends its workers
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    os.environ[THREADS] = str(threads)
    os.environ[LIMIT] = f"{max(memory, 1) / GIB:.9f}"
    import_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    # Only now: until here there is nothing to take away, and an import that is broken off shows a traceback.
    for number in (signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])):
        signal.signal(number, lambda number, _: sys.exit(128 + number))


def call(function: Callable[[Any], Any], argument: Any) -> Any:
    """Call a function in a worker; asked to end, the process does so when what is half-written is taken away."""
    try:
        return function(argument)
    except SystemExit as stopped:
        os._exit(int(stopped.code or 0))


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PAUSE)
    os._exit(1)
