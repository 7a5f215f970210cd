"""Classical reconstructions on the same data and masks as the networks, each at its best.

    result = METHODS["temporal-tv"].reconstruct(hybrid, mask)

All take hybrid data (frame, ky, x) or (coil, frame, ky, x) and a mask (frame, ky), and return a `Result` with complex
images. Their settings are relative to the data, and were tuned on training subjects (configs/sweeps/baselines.toml).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import tensorflow as tf

from csmri.core.errors import CsmriError
from csmri.core.names import INITIAL, ZERO_FILLED
from csmri.methods.direct import Direct, temporal_interpolation, view_sharing, zero_filled
from csmri.methods.focuss import KtFocuss, kt_focuss
from csmri.methods.lowrank import LowRankPlusSparse, low_rank_plus_sparse
from csmri.methods.problem import Callback, Convergence, Progress, Result
from csmri.methods.sparse import TemporalFourierL1, temporal_fourier_l1
from csmri.methods.tv import SpatiotemporalTv, TemporalTv, spatiotemporal_tv, temporal_tv

__all__ = [
    "INITIAL",
    "METHODS",
    "ZERO_FILLED",
    "Callback",
    "Convergence",
    "Direct",
    "KtFocuss",
    "LowRankPlusSparse",
    "Method",
    "Progress",
    "Result",
    "SpatiotemporalTv",
    "TemporalFourierL1",
    "TemporalTv",
    "find_method",
    "kt_focuss",
    "low_rank_plus_sparse",
    "spatiotemporal_tv",
    "temporal_fourier_l1",
    "temporal_interpolation",
    "temporal_tv",
    "view_sharing",
    "zero_filled",
]


class Reconstruct(Protocol):
    """What every baseline is called like."""

    def __call__(
        self,
        hybrid: tf.Tensor,
        mask: tf.Tensor,
        settings: Any = None,
        *,
        cyclic: bool = True,
        callback: Callback | None = None,
    ) -> Result:
        """Reconstruct hybrid data (frame, ky, x) or (coil, frame, ky, x) acquired with a mask (frame, ky)."""


@dataclass(frozen=True)
class Method:
    """A baseline as the command line lists it."""

    name: str
    reconstruct: Reconstruct
    settings: Any
    """The default: a frozen record, to be changed by `dataclasses.replace`."""
    description: str
    citation: str


_FOO = "Foo et al., Radiology 1995;195:471-478"
_JUNG = "Jung et al., Magn Reson Med 2009, doi 10.1002/mrm.21757"
_GAMPER = "Gamper et al., Magn Reson Med 2008, doi 10.1002/mrm.21477"
_OTAZO = "Otazo et al., Magn Reson Med 2015, doi 10.1002/mrm.25240"
_FENG = "Feng et al., Magn Reson Med 2014, doi 10.1002/mrm.24980"
_CHAMBOLLE = "Chambolle and Pock, J Math Imaging Vis 2011, doi 10.1007/s10851-010-0251-1"

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(ZERO_FILLED, zero_filled, Direct(), "zeros for the lines that were not acquired", ""),
        Method("view-sharing", view_sharing, Direct(), "missing lines from the nearest frame", _FOO),
        Method(INITIAL, temporal_interpolation, Direct(), "missing lines by linear interpolation in time", ""),
        Method("kt-focuss", kt_focuss, KtFocuss(), "reweighted temporal spectrum about the mean image", _JUNG),
        Method(
            "temporal-fourier-l1",
            temporal_fourier_l1,
            TemporalFourierL1(),
            "l1 norm of every pixel's temporal spectrum, FISTA",
            _GAMPER,
        ),
        Method(
            "low-rank-plus-sparse",
            low_rank_plus_sparse,
            LowRankPlusSparse(),
            "low-rank background plus sparse temporal spectrum",
            _OTAZO,
        ),
        Method("temporal-tv", temporal_tv, TemporalTv(), "total variation in time, primal-dual", _FENG),
        Method(
            "spatiotemporal-tv",
            spatiotemporal_tv,
            SpatiotemporalTv(),
            "total variation in time and space, primal-dual",
            _CHAMBOLLE,
        ),
    )
}
"""All baselines by name, from the simplest on."""


def find_method(name: str) -> Method:
    """Return a baseline by its name, or tell which there are."""
    if name not in METHODS:
        raise CsmriError(f"unknown method {name!r}; choose from {', '.join(METHODS)}")
    return METHODS[name]
