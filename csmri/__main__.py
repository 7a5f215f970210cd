"""`python -m csmri`, the same as `csmri`."""

from csmri.cli import run

run()
