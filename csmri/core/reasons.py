"""Why work ended that did not end well: one line for people, whatever was raised."""

from __future__ import annotations

import errno
import os

from csmri.core.errors import CsmriError, WorkerLostError
from csmri.core.locks import Stopped

TRACEBACK = "CSMRI_TRACEBACK"
"""Environment variable that, not empty, also shows where an error came from."""
MENDABLE, FAULT, TRY_AGAIN = 2, 1, 75
"""Exit codes: of what a person can mend, of a fault of csmri itself, and of what only has to be given again."""


def reason(error: BaseException, *, resumes: bool) -> tuple[str, int]:
    """Say why a command ended, and the exit code for it; parameters as for `tell`."""
    text = str(error)
    if isinstance(error, CsmriError):
        return text, TRY_AGAIN if isinstance(error, WorkerLostError) else MENDABLE
    if isinstance(error, KeyboardInterrupt):
        goes_on = "the same command goes on where it was" if resumes else "nothing half-written is left"
        return f"stopped; {goes_on}", error.code if isinstance(error, Stopped) else 130
    # TensorFlow has errors of its own for both; their names, since it need not be loaded.
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text:
        place = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        return f"{place}no room left on the disk; make room and give the command again", MENDABLE
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        detail = f" ({_first_line(text)})" if text else ""
        return f"not enough memory{detail}; take less at once, or a machine with more of it", MENDABLE
    if isinstance(error, OSError):
        place = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return f"{place}{error.strerror or _first_line(text)}; check the path and its permissions", MENDABLE
    if isinstance(error, ValueError) and "embedded null" in text:
        return "a path holds the character NUL, which no file's name has; give another path", MENDABLE
    if isinstance(error, UnicodeEncodeError):
        return f"a name holds what is no text ({error.object!r}); rename the file or give it another name", MENDABLE
    return (
        f"unexpected {type(error).__name__}: {_first_line(text)}; this is a fault of csmri: please report it with the "
        f"command line; {TRACEBACK}=1 shows where",
        FAULT,
    )


def one_line(text: str) -> str:
    """Write what would break the line or command the terminal as Python does, as in a file name with a line feed."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")[:500]
