"""How k-t lines are drawn and how missing ones are interpolated."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from csmri.config.base import Frozen


class Sampling(Frozen):
    """How k-t lines are drawn and how missing ones are interpolated (paper section 2.1)."""

    mask_law: Literal["gaussian", "schlemper"] = "gaussian"
    """Density of the phase-encode lines; `schlemper` fixes width and centre lines (doi 10.1109/TMI.2017.2760978)."""
    mask_width: Annotated[float, Field(gt=0, le=10)] = 0.15
    """Standard deviation of the Gaussian law as a fraction of n_ky [our choice: the paper gives none]."""
    mask_centre_lines: Annotated[int, Field(ge=0, le=4096)] = 0
    """Lines around DC that the Gaussian law always keeps, counted inside n_ky / acceleration [our choice]."""
    cyclic: bool = True
    """Whether the last frame neighbours the first in the temporal interpolation [our choice]."""
