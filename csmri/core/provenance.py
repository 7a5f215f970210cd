"""What a number was made with: versions and revision, to stand beside it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import tensorflow as tf

from csmri import __version__


def versions() -> dict[str, str]:
    """Versions of csmri, Python and the libraries that numbers depend on."""
    # TensorFlow tells its own: it is one module under many package names.
    libraries = {name: version(name) for name in ("keras", "numpy", "scipy")}
    return {"csmri": __version__, "python": platform.python_version(), "tensorflow": tf.__version__, **libraries}


def processor() -> dict[str, Any]:
    """Name, cores and vector instructions of the processor that numbers in seconds depend on.

    `vectors` is empty where the system does not tell them.
    """
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        told = ""
    name = re.search(r"model name\s*:\s*(.*)", told)
    vectors = set(re.findall(r"\b(?:avx|amx)\w*", told))
    return {
        "name": name[1] if name else platform.processor(),
        "cores": os.cpu_count(),
        "vectors": " ".join(sorted(vectors)),
    }


def computes_bfloat16_in_software() -> bool:
    """Whether bfloat16 is slower than float32 here: on x86 without AVX-512, and without a GPU."""
    vectors = processor()["vectors"]
    return bool(vectors) and "avx512f" not in vectors and not tf.config.list_physical_devices("GPU")


def published_path(path: str | Path) -> str:
    """Name a file or folder in what may be published: as seen from the current folder, else by its last two parts.

    An absolute path tells about a machine and its owner, and nothing of the result.
    """
    if PureWindowsPath(path).drive:  # also in what was written on another system
        absolute: PurePath = PureWindowsPath(path)
    else:
        absolute = Path(os.path.abspath(path))
        if absolute.is_relative_to(Path.cwd()):
            return absolute.relative_to(Path.cwd()).as_posix()
    return PurePosixPath(*absolute.parts[1:][-2:]).as_posix()


def without_absolute_paths(text: str) -> str:
    """Shorten every absolute path in a text as `published_path` does.

    Names may hold blanks and brackets: a path is taken to go on to the last slash before a quotation mark or the end of
    the line, and from there to a bracket, comma or semicolon. Of whatever follows it only the end can be lost.
    """
    absolute = r"""(?<![\w.~:/…)\]-])(?:[A-Za-z]:[\\/]|/)(?:[^"'<>\n]*[\\/])?[^"'<>()\[\]{},;\n]*[^"'<>()\[\]{},;\s]"""
    return re.sub(absolute, lambda found: published_path(found[0]), text)


def git_revision() -> str | None:
    """Revision of the checkout that csmri runs from, `-dirty` if it was changed; None where it is installed.

    A virtual environment often lies inside somebody's repository, of which csmri is no part.
    """
    file = Path(__file__).resolve()
    package = file.parents[1]
    try:
        if Path(_git(package, "rev-parse", "--show-toplevel")).resolve() != package.parent:
            return None
        _git(package, "ls-files", "--error-unmatch", str(file))
        return _git(package, "describe", "--always", "--dirty", "--abbrev=40")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    # Inside a hook git names its repository by variables, which would go before the folder.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    answer = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return answer.stdout.strip()
