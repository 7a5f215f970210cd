"""Who does the work: this process, several beside it, or Apache Beam on as many machines as its runner has.

Work is data: items that can be pickled, done one by one by a `Work` that can be pickled, too. Order does not matter,
and an item that brings its process down is told as lost while the others go on.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from csmri.core import workers
from csmri.core.errors import CsmriError
from csmri.core.memory import available_memory
from csmri.core.names import BEAM, PROCESSES, THIS
from csmri.run import beam

GRACE = 5.0
"""Seconds that a worker has to take away what is half-written."""


class Work(Protocol):
    """What is done with every item."""

    def do(self, item: Any) -> Any:
        """Do one item; whatever is wrong with the item is told by the outcome, not raised."""

    def kept(self, item: Any) -> Any:
        """What was left of an item that was done by a process elsewhere."""

    def lost(self, item: Any, reason: str) -> Any:
        """Tell an item whose process ended in the middle."""


@dataclass(frozen=True)
class Executor:
    """How items are done.

    Parameters
    ----------
    kind : str
        "this" process, "processes" beside it, or "beam".
    workers : int >= 1, optional
        Processes; by default one for two cores. Each has its share of the cores.
    beam_options : tuple of str
        For Apache Beam's pipeline, as `--runner=FlinkRunner`.
    """

    kind: str = PROCESSES
    workers: int | None = None
    beam_options: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuse, before any work is done, options that do not fit, and Beam where it is not installed.

        Raises
        ------
        CsmriError
        """
        if self.kind != BEAM and self.beam_options:
            raise CsmriError(f"--beam-options: is for --executor {BEAM}, not {self.kind}")
        if self.kind != PROCESSES and self.workers is not None:
            advice = "; say it in --beam-options, as '--direct_num_workers=4'" if self.kind == BEAM else ""
            raise CsmriError(f"--workers: is for --executor {PROCESSES}, not {self.kind}{advice}")
        if self.kind == BEAM:
            beam.check(self.beam_options)

    def run(self, work: Work, items: Sequence[Any]) -> Generator[Any]:
        """Do all items, and tell each when it is done."""
        self.check()
        if self.kind == THIS:
            yield from map(work.do, items)
        elif self.kind == BEAM:
            yield from beam.run(work, items, self.beam_options)
        else:
            yield from _by_processes(work, items, self.n_workers(len(items)))

    def n_workers(self, n_items: int) -> int:
        """Processes for so many items."""
        return max(1, min(self.workers or workers.cores() // 2, n_items))


def _by_processes(work: Work, items: Sequence[Any], n_workers: int) -> Iterator[Any]:
    left = dict(enumerate(items))
    while left:
        running: dict[Future[Any], int] = {}
        with suppress(BrokenProcessPool), _pool(n_workers) as pool:
            waiting = iter(list(left))
            for number in waiting:
                running[pool.submit(workers.call, work.do, left[number])] = number
                if len(running) < n_workers:
                    continue
                yield from _ended(running, left)
            while running:
                yield from _ended(running, left)
        for number in running.values():
            # One of these brought its process down, and the others with it: each once more, alone.
            with _pool(1) as pool:
                try:
                    outcome = pool.submit(workers.call, work.do, left[number]).result()
                except BrokenProcessPool:
                    reason = "its process came to an end in the middle, out of memory perhaps, or by a damaged file"
                    outcome = work.lost(left[number], reason)
            del left[number]
            yield outcome


def _ended(running: dict[Future[Any], int], left: dict[int, Any]) -> Iterator[Any]:
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        outcome = future.result()
        del left[running.pop(future)]
        yield outcome


@contextmanager
def _pool(n_workers: int) -> Iterator[ProcessPoolExecutor]:
    """Workers that are gone when this is left, also in the middle of their work."""
    # Not forked: TensorFlow's threads do not survive that.
    context = multiprocessing.get_context("spawn")
    threads = max(1, workers.cores() // n_workers)
    share = available_memory() // n_workers
    pool = ProcessPoolExecutor(n_workers, context, workers.begin, (os.getpid(), threads, share))
    try:
        yield pool
    except BaseException:
        _stop(pool)
        raise
    pool.shutdown()


def _stop(pool: ProcessPoolExecutor) -> None:
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    _all(processes, "terminate")
    until = time.monotonic() + GRACE
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
    _all(processes, "kill")


def _all(processes: Sequence[Any], how: str) -> None:
    for process in processes:
        stop: Callable[[], None] = getattr(process, how)
        with suppress(OSError, ValueError):
            stop()
