"""A file or a folder appears whole or not at all, has one writer at a time, and a signal leaves nothing partial.

What is being written lies beside its place under a name that starts with `.partial-` and tells host and process. A
process that was killed cannot take it away; whoever writes to the same place next does.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import errno
import gzip
import io
import json
import os
import re
import shutil
import signal
import socket
import threading
import tomllib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from csmri.core.errors import CsmriError

try:
    import fcntl
except ImportError:  # not on Windows, where nothing is locked
    fcntl = None  # type: ignore[assignment]

PARTIAL = ".partial-"
_HOST = re.sub(r"[^\w.]", "_", socket.gethostname())[:40]


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end; `code` is what it should exit with."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


@contextlib.contextmanager
def ending_cleanly() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into `Stopped`, so that what is half-written is taken away on the way out.

    Only the main thread of a process hears of signals; in another one nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # asked twice, the cleaning still ends
        raise Stopped(number)

    numbers = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    # Who ignores a signal, as nohup does, goes on ignoring it.
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            if before[number] is not signal.SIG_IGN:
                signal.signal(number, stop)
        yield
    finally:
        for number in numbers:
            signal.signal(number, before[number])


# --- writing


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path` and move it there once it is written whole.

    Creates missing parent folders. When writing fails, an existing file stays as it was and nothing is left behind.

    Raises
    ------
    CsmriError
        If the place cannot be written to.
    """
    path = Path(path)
    temporary = temporary_name(path)
    _make_room(path)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if not _is_about(error, temporary, path):
            raise
        raise _unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Give an empty temporary folder beside `path` and move it there, in place of what is there, once all is well.

    Raises
    ------
    CsmriError
        If the place cannot be written to.
    """
    path = Path(path)
    temporary = temporary_name(path)
    old = temporary.with_name(f"{temporary.name}.old")
    _make_room(path)
    try:
        temporary.mkdir()
        yield temporary
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    except OSError as error:
        if not _is_about(error, temporary, path):
            raise
        raise _unwritable(path, error) from error
    finally:
        for left in (temporary, old):
            shutil.rmtree(left, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Write text as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON for people to read, whole or not at all."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def write_toml(path: str | Path, fields: Mapping[str, Any]) -> None:
    """Write fields as TOML, those that are mappings as tables below the others; whole or not at all."""
    write_text(path, "\n".join(_toml_lines(fields, ())) + "\n")


def write_csv(path: str | Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as CSV, compressed where the name ends in .gz, whole or not at all."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    content = text.getvalue().encode()
    if Path(path).suffix == ".gz":
        content = gzip.compress(content, mtime=0)  # without a date, the same rows give the same bytes
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def make_folder(path: str | Path) -> Path:
    """Make a folder with its parents, where there is none."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error
    return path


def check_outputs(outputs: Iterable[str | Path | None], inputs: Iterable[str | Path | None] = ()) -> None:
    """Refuse, before any work is done, to write where it cannot be done or would spoil what is read.

    Parameters
    ----------
    outputs : paths
        Files or folders that are going to be written; None stands for none. Two of them may not be the same.
    inputs : paths
        Files and folders that are read. What lies inside such a folder counts as read, so that nothing is written
        there.

    Raises
    ------
    CsmriError
        If an output is an input under this or another name (a symbolic or hard link), lies inside one or below a file,
        or its folder may not be written to.
    """
    # A name that no file can have is refused where it is read.
    read = [Path(path) for path in inputs if path is not None and "\0" not in str(path)]
    written: list[Path] = []
    for output in (Path(path) for path in outputs if path is not None):
        _check_place(output)
        for path in read:
            if _is_same(output, path):
                raise CsmriError(f"{output}: is what is read ({path}); choose another place for what is written")
            if os.path.isdir(path) and any(_is_same(above, path) for above in output.absolute().parents):
                raise CsmriError(f"{output}: lies inside {path}, which is read; choose a place outside of it")
        if any(_is_same(output, other) for other in written):
            raise CsmriError(f"{output}: is to be written twice; choose another name for one of both")
        written.append(output)


def _check_place(path: Path) -> None:
    _check_name(path)
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise _unwritable(path, error) from error
    folder = next(above for above in path.absolute().parents if os.path.lexists(above))
    if not folder.is_dir():
        raise _unwritable(path, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CsmriError(f"{path}: the folder {folder} may not be written to; choose another place")


def _check_name(path: Path) -> None:
    if "\0" in str(path):
        raise CsmriError(f"{str(path)!r}: cannot be the name of a file; choose another")


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file or folder, which need not be there yet."""
    # Those of `os` do not mind paths that cannot be.
    if os.path.exists(one) and os.path.exists(other):
        return os.path.samefile(one, other)
    return os.path.realpath(one) == os.path.realpath(other)


def remove_partial(folder: Path) -> None:
    """Take away, in a folder and below it, what processes that were killed left half-written."""
    for left in list(folder.rglob(f"{PARTIAL}*")):
        if _is_abandoned(left):
            _remove(left)


def temporary_name(path: Path, process: int | None = None) -> Path:
    """Name beside `path` under which a process, by default this one, writes it."""
    # The suffix stays at the end: writers that choose by suffix must see it. The name is short however long `path` is.
    suffix = "".join(path.suffixes[-2:])[-12:]
    return path.with_name(f"{PARTIAL}{_HOST}-{process or os.getpid()}-{_crc(path)}{suffix}")


def _crc(path: Path) -> str:
    return f"{zlib.crc32(os.fsencode(path.name)):08x}"


def _make_room(path: Path) -> None:
    _check_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error
    for left in path.parent.glob(f"{PARTIAL}{_HOST}-*-{_crc(path)}*"):
        if _is_abandoned(left):
            _remove(left)


def _is_abandoned(left: Path) -> bool:
    """Whether the process of this machine that began it is no more, or is this one."""
    known = re.fullmatch(rf"{re.escape(PARTIAL)}(.+)-(\d+)-[0-9a-f]{{8}}.*", left.name)
    if known is None or known[1] != _HOST:
        return False
    process = int(known[2])
    if process == os.getpid():
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:  # somebody else's
        return False
    return False


def _remove(left: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def _is_about(error: OSError, temporary: Path, path: Path) -> bool:
    """Whether an error is of what is being written, not of another file that was read or written meanwhile."""
    if error.filename is None:
        return not isinstance(error, BrokenPipeError)
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes | os.PathLike) else ""
    return not name or name == str(path) or name.startswith(str(temporary))


def _unwritable(path: Path, error: Exception) -> CsmriError:
    reason = getattr(error, "strerror", None) or str(error)
    if isinstance(error, FileExistsError | NotADirectoryError) and error.filename:
        reason = f"{error.filename} is no folder"
    return CsmriError(f"{path}: could not be written ({reason}); choose another place or make room")


def _toml_lines(fields: Mapping[str, Any], table: tuple[str, ...]) -> list[str]:
    below = {name: value for name, value in fields.items() if isinstance(value, Mapping)}
    lines = [f"{_toml_key(name)} = {_toml_value(value)}" for name, value in fields.items() if name not in below]
    for name, value in below.items():
        place = (*table, name)
        lines += ["", f"[{'.'.join(map(_toml_key, place))}]", *_toml_lines(value, place)]
    return lines


def _toml_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml_value(name)


def _toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml_key(name)} = {_toml_value(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    # JSON's escapes are TOML's but for pairs of surrogates, which only pure ASCII needs, and the delete character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


# --- reading


def read_json(path: str | Path, *, advice: str = "write or remove it") -> dict[str, Any]:
    """Read an object from a JSON file; empty where there is none.

    Raises
    ------
    CsmriError
        If the file holds something else.
    """
    path = Path(path)
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CsmriError(f"{path}: not the JSON that csmri writes, or damaged ({error}); {advice}") from error
    if not isinstance(found, dict):
        raise CsmriError(f"{path}: expected a JSON object, found {type(found).__name__}; {advice}")
    return found


def read_toml(path: str | Path, kind: str) -> dict[str, Any]:
    """Read a TOML file, with or without a byte-order mark; `kind` tells in messages what it should have been."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        if b"\0" in error.object and not error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise CsmriError(f"{path}: cannot read the {kind}: this is no text; expected a TOML file") from error
        raise CsmriError(f"{path}: the {kind} is not in UTF-8 ({error.reason}); save it as UTF-8") from error
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, tomllib.TOMLDecodeError):
            raise CsmriError(f"{path}: not a TOML file: {error}") from error
        if isinstance(error, RecursionError):
            raise CsmriError(f"{path}: nested too deep for a {kind}") from error
        raise CsmriError(f"{path}: cannot read the {kind}: {getattr(error, 'strerror', None) or error}") from error


def read_csv(path: str | Path) -> list[dict[str, str]]:
    """Read the rows of a table with a head, compressed or not; refuses nothing by itself.

    Raises
    ------
    OSError, EOFError, ValueError
        If there is no such file, its end is missing, or it is no text: the caller knows what it should have been.
    """
    content = Path(path).read_bytes()
    try:
        text = (gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content).decode()
        return list(csv.DictReader(io.StringIO(text, newline="")))
    except (zlib.error, csv.Error) as error:
        raise ValueError(str(error)) from error


# --- one writer at a time


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
        raise _unwritable(folder, error) from error
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
                os.write(file, f"process {os.getpid()} on {_HOST}".encode())
                return file
        os.close(file)
