"""What a number was made with: versions and revision, to stand beside it."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import tensorflow as tf

from csmri import __version__


def versions() -> dict[str, str]:
    """Versions of csmri, Python and the libraries that numbers depend on."""
    # TensorFlow tells its own: it is one module under many package names.
    libraries = {name: version(name) for name in ("keras", "numpy", "scipy")}
    return {"csmri": __version__, "python": platform.python_version(), "tensorflow": tf.__version__, **libraries}


def git_revision() -> str | None:
    """Revision of the checkout that csmri runs from, `-dirty` if it was changed; None where it is installed."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        answer = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()
