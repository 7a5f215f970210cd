"""Arrays to and from BART, which tests compare csmri with where it is installed."""

import shutil
import subprocess

import numpy as np
import pytest

needs_bart = pytest.mark.skipif(shutil.which("bart") is None, reason="BART is not installed (Debian: bart)")


def run(folder, command, **arrays):
    """Run `bart COMMAND` in a folder; arrays have the axes of BART, reversed; returns the output `out`, likewise."""
    for name, array in arrays.items():
        array = np.asarray(array, np.complex64)
        (folder / f"{name}.hdr").write_text("# Dimensions\n" + " ".join(map(str, array.shape[::-1])) + "\n")
        array.tofile(folder / f"{name}.cfl")
    subprocess.run(["bart", *command.split()], cwd=folder, check=True, capture_output=True)
    shape = [int(n) for n in (folder / "out.hdr").read_text().splitlines()[1].split()]
    return np.fromfile(folder / "out.cfl", np.complex64).reshape(shape[::-1]).squeeze()
