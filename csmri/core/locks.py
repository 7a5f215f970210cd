"""A folder has one writer at a time, and a signal ends a process so that nothing half-written stays."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

from csmri.core.errors import CsmriError
from csmri.core.files import HOST, unwritable

try:
    import fcntl
except ImportError:  # not on Windows, where nothing is locked
    fcntl = None  # type: ignore[assignment]


SIGNALLED = 128
"""To which the number of the signal that ended a process is added for its exit code, as shells do."""


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end; `code` is what it should exit with."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = SIGNALLED + number


@contextlib.contextmanager
def ending_cleanly() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into `Stopped`, so that what is half-written is taken away on the way out.

    Only the main thread of a process hears of signals; in another one nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    came: list[Stopped] = []

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # asked twice, the cleaning still ends
        came.append(Stopped(number))
        raise came[0]

    numbers = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    # Who ignores a signal, as nohup does, goes on ignoring it.
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            if before[number] is not signal.SIG_IGN:
                signal.signal(number, stop)
        yield
    except Exception as error:
        if came:  # an import that is broken off makes another error of it
            raise came[0] from error
        raise
    finally:
        for number in numbers:
            signal.signal(number, before[number])


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Let signals end the process at once, while a library waits and Python would hear of none.

    Afterwards Python hears again of all, also of one that the library has taken for itself, as TensorFlow SIGTERM.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, signal.SIG_DFL)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Keep a folder, which need not be there yet, to this process; others are refused until it is through or dead.

    Raises
    ------
    CsmriError
        If another process has it.
    """
    folder = Path(folder)
    if fcntl is None:
        yield
        return
    path = folder.absolute().with_name(f".{folder.absolute().name}.lock"[-200:])
    try:
        file = _lock(path, folder)
    except (OSError, ValueError) as error:
        raise unwritable(folder, error) from error
    try:
        yield
    finally:
        # Removed while it is held: whoever waits for this file finds that it is no longer the one at its path.
        path.unlink(missing_ok=True)
        os.close(file)


def _lock(path: Path, folder: Path) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(file, 200).decode(errors="replace") or "another process"
            os.close(file)
            raise CsmriError(
                f"{folder}: {owner} is writing to it; wait until it has ended, or choose another folder"
            ) from None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), os.stat(path)):
                os.truncate(file, 0)
                os.write(file, f"process {os.getpid()} on {HOST}".encode())
                return file
        os.close(file)
