"""Acquisitions in, images out, by a network or a classical method."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from csmri.api.arguments import checked_acquisition, kind_of, listed
from csmri.core.errors import CsmriError
from csmri.core.names import AUTO, BASELINES, DEFAULT_MODEL, RUNTIMES
from csmri.data.acquisition import Acquisition
from csmri.data.kspace import KSpace
from csmri.evaluation.evaluate import common_law
from csmri.methods.limits import Tally, Traits
from csmri.methods.measured import Preparation, reconstruct_measured
from csmri.methods.model import SHIPPED
from csmri.methods.reconstruction import Reconstructor, baseline_reconstructor, load_reconstructor
from csmri.physics.prepare import VIRTUAL_COILS

SHIPPED_NAMES = " or ".join(f'"{name}"' for name in SHIPPED)


def reconstruct(
    acquisition: Acquisition | KSpace | Sequence[Acquisition],
    method: str | None = None,
    *,
    model: str | Path | Reconstructor | None = None,
    settings: Mapping[str, Any] | None = None,
    virtual_coils: int = VIRTUAL_COILS,
) -> NDArray[np.complex64]:
    """Reconstruct undersampled data by a network or a classical method; by default the network that csmri ships.

    Warns of what the method was not trained or tuned for.

    Parameters
    ----------
    acquisition : Acquisition, sequence of them, or KSpace
        What `csmri.simulate` makes, or measured k-space of `csmri.read`: of several coils the sensitivity maps are
        estimated from the data. The default and classical methods reconstruct all coils jointly.
    method : str, optional
        Classical method: "initial", "spatiotemporal-tv", ...; a wrong name is answered with all of them.
    model : path, name or network, optional
        Instead of a method: what `csmri.load_model` takes or returns; where neither is given, "pretrained-unrolled".
        To reconstruct many acquisitions one by one, load it once.
    settings : mapping, optional
        What differs from the classical method's default settings, as {"max_iterations": 20}.
    virtual_coils : int >= 1
        Coils that those of k-space are compressed to at most.

    Returns
    -------
    array (frame, y, x), complex64
        In the unit of the data; (slice, frame, y, x) of several acquisitions or of k-space.

    Raises
    ------
    CsmriError
        If data, method or model do not fit.
    """
    if method is not None and model is not None:
        raise CsmriError(
            f"reconstruct: give one of method ({', '.join(BASELINES)}) and model (a folder that csmri.train wrote, "
            f"{SHIPPED_NAMES}), not both"
        )
    if method is None:
        if settings:
            raise CsmriError("reconstruct: settings are of classical methods; a network has its own")
        reconstructor = network_of(DEFAULT_MODEL if model is None else model)
    elif not isinstance(method, str):
        raise CsmriError(f"reconstruct: method = {kind_of(method)}: expected a name; a network is given as model=")
    else:
        reconstructor = baseline_reconstructor(method, settings=settings)
    tally = Tally()
    if isinstance(acquisition, KSpace):
        how = Preparation(cyclic=common_law([reconstructor]).cyclic, virtual_coils=virtual_coils)
        images = reconstruct_measured(acquisition, how, reconstructor, tally=tally)
    else:
        acquisitions = _acquisitions(acquisition)
        images = np.stack([reconstructor.reconstruct(one) for one in acquisitions])
        for index, one in enumerate(acquisitions):
            tally.add(index, reconstructor.outside(Traits(one)))
    for note in tally.notes():
        warnings.warn(note, stacklevel=2)
    return images[0] if isinstance(acquisition, Acquisition) else images


def _acquisitions(given: Acquisition | Sequence[Acquisition]) -> list[Acquisition]:
    """Acquisitions of one size, checked."""
    if isinstance(given, Acquisition):
        return [checked_acquisition(given, "reconstruct")]
    if not (isinstance(given, Sequence) and given and all(isinstance(one, Acquisition) for one in given)):
        raise CsmriError(
            f"reconstruct: expected an Acquisition, a list of them or a KSpace, got {kind_of(given)}; "
            "csmri.simulate makes an Acquisition of fully sampled images"
        )
    acquisitions = [checked_acquisition(one, f"reconstruct: acquisition {i}") for i, one in enumerate(given)]
    if len(sizes := {(*np.shape(one.mask), np.shape(one.data)[-1]) for one in acquisitions}) > 1:
        raise CsmriError(f"reconstruct: acquisitions of different sizes (frame, y, x): {listed(sizes)}")
    return acquisitions


def load_model(
    path: str | Path,
    *,
    name: str = "",
    consistency: str | None = None,
    consistency_weight: float | None = None,
    runtime: str = AUTO,
) -> Reconstructor:
    """Load a network once, to reconstruct many acquisitions.

    Parameters
    ----------
    path : path or name
        SavedModel folder that `csmri.train` wrote, or "pretrained-unrolled" or "pretrained" (a U-net), which csmri
        ships.
    name : str
        In tables; by default that of the run.
    consistency : "none", "hard" or "soft", optional
        Of a U-net, in place of what its config says.
    consistency_weight : float, optional
        Of soft consistency.
    runtime : "auto", "tensorflow" or "openvino"
        What computes its images; auto takes OpenVINO for a U-net, where it is installed. They differ by rounding.
    """
    if runtime not in RUNTIMES:
        raise CsmriError(f"load_model: runtime is one of {', '.join(RUNTIMES)}, not {runtime!r}")
    if not isinstance(path, str | Path):
        raise CsmriError(f"load_model: expected the folder of a SavedModel or {SHIPPED_NAMES}, got {kind_of(path)}")
    own: dict[str, Any] = {"consistency": consistency, "consistency_weight": consistency_weight, "runtime": runtime}
    return load_reconstructor(path, name=name, **own)


def network_of(model: str | Path | Reconstructor, runtime: str = AUTO) -> Reconstructor:
    """Network that a path, a name, or itself is."""
    return model if isinstance(model, Reconstructor) else load_model(model, runtime=runtime)
