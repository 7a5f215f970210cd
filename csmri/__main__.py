"""`python -m csmri`, the same as `csmri`."""

from csmri.cli import main

main(prog_name="csmri")
