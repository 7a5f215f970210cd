"""A file or a folder appears whole or not at all.

What is being written lies beside its place under a name that starts with `.partial-` and tells host and process. A
process that was killed cannot take it away; whoever writes to the same place next does.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import socket
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from csmri.core.errors import CsmriError

PARTIAL = ".partial-"
HOST = re.sub(r"[^\w.]", "_", socket.gethostname())[:40]


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
        raise unwritable(path, error) from error
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
        raise unwritable(path, error) from error
    finally:
        for left in (temporary, old):
            shutil.rmtree(left, ignore_errors=True)


def make_folder(path: str | Path) -> Path:
    """Make a folder with its parents, where there is none."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error
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
            if os.path.isdir(path) and any(_is_same(above, path) for above in _folders_above(output)):
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
        raise unwritable(path, error) from error
    folder = next(above for above in path.absolute().parents if os.path.lexists(above))
    if not folder.is_dir():
        raise unwritable(path, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CsmriError(f"{path}: the folder {folder} may not be written to; choose another place")


def _check_name(path: Path) -> None:
    if "\0" in str(path):
        raise CsmriError(f"{str(path)!r}: cannot be the name of a file; choose another")


def _folders_above(path: Path) -> set[Path]:
    """As they are named, and as they are where links are followed."""
    named = set(Path(os.path.normpath(path.absolute())).parents) if ".." not in path.parts else set()
    return {*named, *Path(os.path.realpath(path)).parents}


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file or folder, which need not be there yet."""
    # Those of `os` do not mind paths that cannot be.
    if os.path.exists(one) and os.path.exists(other):
        return os.path.samefile(one, other)
    return os.path.realpath(one) == os.path.realpath(other)


def sha256_of(path: Path) -> str:
    """Digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_partial(folder: Path) -> None:
    """Take away, in a folder and below it, what processes that were killed left half-written."""
    for left in list(folder.rglob(f"{PARTIAL}*")):
        if _is_abandoned(left):
            _remove(left)


def temporary_name(path: Path, process: int | None = None) -> Path:
    """Name beside `path` under which a process, by default this one, writes it."""
    # The suffix stays at the end: writers that choose by suffix must see it. The name is short however long `path` is.
    suffix = "".join(path.suffixes[-2:])[-12:]
    return path.with_name(f"{PARTIAL}{HOST}-{process or os.getpid()}-{_crc(path)}{suffix}")


def _crc(path: Path) -> str:
    return f"{zlib.crc32(os.fsencode(path.name)):08x}"


def _make_room(path: Path) -> None:
    _check_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    for left in path.parent.glob(f"{PARTIAL}{HOST}-*-{_crc(path)}*"):
        if _is_abandoned(left):
            _remove(left)


def _is_abandoned(left: Path) -> bool:
    """Whether the process of this machine that began it is no more, or is this one."""
    known = re.fullmatch(rf"{re.escape(PARTIAL)}(.+)-(\d+)-[0-9a-f]{{8}}.*", left.name)
    if known is None or known[1] != HOST:
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


def unwritable(path: Path, error: Exception) -> CsmriError:
    """Say in one line why something cannot be written."""
    reason = getattr(error, "strerror", None) or str(error)
    if isinstance(error, FileExistsError | NotADirectoryError) and error.filename:
        reason = f"{error.filename} is no folder"
    return CsmriError(f"{path}: could not be written ({reason}); choose another place or make room")
