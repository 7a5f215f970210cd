"""The process that reads what can end a process; see `child` for why, and for what is said between both."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from csmri.formats import child

SECONDS = 10
SLOWEST = 5 * 2**20
"""Bytes a second that any machine unpacks; with `SECONDS`, how long a sound file may take."""


class _Child:
    """The process that reads; started when it is needed, anew after a fault."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._served: set[str] = set()
        self._lock = threading.Lock()
        atexit.register(self.end)

    def ask(self, path: Path, command: str, *arguments: Any) -> tuple[Any, list[NDArray[Any]]]:
        """Value and arrays of an answer."""
        with self._lock:
            is_fresh = self._process is None or not self._served - {str(path)}
            try:
                return self._ask(path, command, *arguments)
            except _Died:
                if is_fresh:
                    raise
                # What was read before may have spoilt its memory: a fresh process tells whose fault it is.
                return self._ask(path, command, *arguments)

    def _ask(self, path: Path, command: str, *arguments: Any) -> tuple[Any, list[NDArray[Any]]]:
        process = self._started()
        assert process.stdin and process.stdout
        self._served.add(str(path))
        seconds = SECONDS + path.stat().st_size / SLOWEST
        timer = threading.Timer(seconds, _kill, [process])
        timer.start()
        try:
            process.stdin.write(json.dumps([seconds, command, str(path.absolute()), *arguments]).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
            head = json.loads(line) if line.endswith(b"\n") else {}
            arrays = [_received(process.stdout, *one) for one in head.get("arrays", ())]
        except (OSError, EOFError):
            head = {}
        finally:
            timer.cancel()
        if not head:
            raise _Died(f"reading it does not survive: {self._how_it_ended()}")
        if "error" in head:
            raise ValueError(head["error"])
        return head.get("value"), arrays

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self.end()
            # -P: the modules beside it must not hide others of the same name. A session of its own: an interrupt is
            # for this process, and ends that one by closing its input.
            self._process = subprocess.Popen(
                [sys.executable, "-P", child.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._owner, self._served = os.getpid(), set()
        return self._process

    def _how_it_ended(self) -> str:
        assert self._process
        code = self._process.wait()
        self.end()
        number = -code if code < 0 else code - child.DIED
        if number in (signal.SIGKILL, signal.SIGXCPU):
            return "it takes too long or too much memory"
        return signal.Signals(number).name if number > 0 else f"exit code {code}"

    def end(self) -> None:
        """End the process, if it is ours."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        _kill(process)
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if pipe:
                    pipe.close()
        process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and its copies, which are alone in their group."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()


class _Died(ValueError):
    pass


_child = _Child()


def ask(path: Path, command: str, *arguments: Any) -> tuple[Any, list[NDArray[Any]]]:
    """Let the other process do a command of `child` with a file.

    Returns
    -------
    value, arrays
        As the command has them.

    Raises
    ------
    ValueError
        If it fails, ends the process, or takes too long or too much memory; to be called inside of `parsing`.
    """
    return _child.ask(path, command, *arguments)


def _received(stream: IO[bytes], descr: Any, shape: list[int]) -> NDArray[Any]:
    array = np.empty(shape, np.lib.format.descr_to_dtype(_as_descr(descr)))
    rest = array.reshape(-1).view(np.uint8).data
    while len(rest):
        count = stream.readinto(rest)  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        rest = rest[count:]
    return array


def _as_descr(descr: Any) -> Any:
    """What NumPy made of a dtype, with the tuples that JSON has made lists."""
    if not isinstance(descr, list):
        return descr
    return [(name, _as_descr(kind), *(tuple(shape) for shape in more)) for name, kind, *more in descr]
