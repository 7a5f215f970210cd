"""What options of several commands have in common."""

from __future__ import annotations

import click

SEED = click.IntRange(0, 2**31, max_open=True)
"""A seed on the command line may be what it may be in a config."""
