"""The classical methods by name, each at its best: one line of this table is one method.

    result = METHODS["temporal-tv"].reconstruct(acquisition)

Their settings are relative to the data, and were tuned on training subjects (configs/sweeps/baselines.toml).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import tensorflow as tf

from csmri.core.errors import CsmriError
from csmri.core.names import INITIAL, ZERO_FILLED
from csmri.data.acquisition import Acquisition, check_acquisition
from csmri.methods import iterative
from csmri.methods.conjugate_gradient import ConjugateGradient
from csmri.methods.direct import temporal_interpolation, view_sharing, zero_filled
from csmri.methods.iterative import Callback, Result, Settings
from csmri.methods.limits import REST, Limits
from csmri.methods.thresholding import Thresholding
from csmri.methods.total_variation import PHASE_CONSTRAINED, TotalVariation

TUNED_AT = (2.0, 8.0)
"""Least and largest acceleration that settings were tuned at."""


@dataclass(frozen=True)
class Method:
    """A classical method as the command line lists it."""

    name: str
    how: Settings | Callable[[Acquisition], tf.Tensor]
    """Default settings of an iterative method, to be changed by `changed`; else a function of `methods.direct`."""
    description: str
    citation: str = ""

    @property
    def settings(self) -> Settings | None:
        """Default settings; None where nothing iterates."""
        return self.how if isinstance(self.how, Settings) else None

    @property
    def limits(self) -> Limits:
        """Within what the default settings were tuned; what does not iterate has none."""
        if not self.settings:
            return Limits()
        rests = isinstance(self.settings, TotalVariation) and self.settings.phase_constrained
        return Limits(how="tuned", accelerations=TUNED_AT, phase=REST if rests else None)

    def reconstruct(
        self, acquisition: Acquisition, settings: Settings | None = None, *, callback: Callback | None = None
    ) -> Result:
        """Reconstruct an acquisition, with the default settings if none are given."""
        if isinstance(self.how, Settings):
            return iterative.reconstruct(acquisition, settings or self.how, callback=callback)
        return Result(np.asarray(self.how(check_acquisition(acquisition))))

    def changed(self, changes: Mapping[str, Any]) -> Settings | None:
        """Settings with these instead of the defaults; refuses what the method has not."""
        known = [field.name for field in fields(self.settings)] if self.settings else []
        if unknown := [key for key in changes if key not in known]:
            raise CsmriError(f"{self.name} has no setting {unknown[0]!r}; it has {', '.join(known) or 'none'}")
        try:
            return replace(self.settings, **changes) if self.settings else None
        except (TypeError, CsmriError) as error:
            raise CsmriError(f"{self.name}: cannot take {dict(changes)} ({error})") from error


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(ZERO_FILLED, zero_filled, "zeros for the lines that were not acquired"),
        Method(
            "view-sharing",
            view_sharing,
            "missing lines from the nearest frame",
            "Foo et al., Radiology 1995;195:471-478",
        ),
        Method(INITIAL, temporal_interpolation, "missing lines by linear interpolation in time"),
        Method(
            "cg-sense",
            ConjugateGradient(reweighted=False, strength=0.1, growth=0.0, max_iterations=10, inner_iterations=10),
            "coil sensitivities, conjugate gradients about linear interpolation",
            "Pruessmann et al., Magn Reson Med 2001, doi 10.1002/mrm.1241",
        ),
        Method(
            "kt-focuss",
            ConjugateGradient(),
            "reweighted temporal spectrum about the mean image",
            "Jung et al., Magn Reson Med 2009, doi 10.1002/mrm.21757",
        ),
        Method(
            "temporal-fourier-l1",
            Thresholding(),
            "l1 norm of every pixel's temporal spectrum, FISTA",
            "Gamper et al., Magn Reson Med 2008, doi 10.1002/mrm.21477",
        ),
        Method(
            "low-rank-plus-sparse",
            Thresholding(strength=7.5e-4, growth=0.7, rank_threshold=0.03, accelerated=False, max_iterations=40),
            "low-rank background plus sparse temporal spectrum",
            "Otazo et al., Magn Reson Med 2015, doi 10.1002/mrm.25240",
        ),
        Method(
            "temporal-tv",
            TotalVariation(),
            "total variation in time, primal-dual",
            "Feng et al., Magn Reson Med 2014, doi 10.1002/mrm.24980",
        ),
        Method(
            "spatiotemporal-tv",
            TotalVariation(spatial_share=0.2, step=0.088, growth=2.0, max_iterations=60),
            "total variation in time and space, primal-dual",
            "Chambolle and Pock, J Math Imaging Vis 2011, doi 10.1007/s10851-010-0251-1",
        ),
        Method(
            "phase-constrained-tv",
            PHASE_CONSTRAINED,
            "the same for images whose phase rests; wrong where it moves",
            "Haacke et al., J Magn Reson 1991, doi 10.1016/0022-2364(91)90253-P",
        ),
    )
}
"""All classical methods by name, from the simplest on."""


def find_method(name: str) -> Method:
    """Return a classical method by its name, or tell which there are."""
    if name not in METHODS:
        raise CsmriError(f"unknown method {name!r}; choose from {', '.join(METHODS)}")
    return METHODS[name]
