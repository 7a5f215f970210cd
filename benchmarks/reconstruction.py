"""Time all methods on one phantom cine: classical ones and the networks of configs/beyond, in turn, several rounds.

    python benchmarks/reconstruction.py [--size 256] [--frames 20] [--rounds 5] [--acceleration 4] [--coils 1]

The networks have weights of no use: the time does not depend on them. Ratios to temporal interpolation survive a busy
machine better than the seconds beside them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from csmri.config import Config, Sampling, read_config
from csmri.core.names import INITIAL
from csmri.core.provenance import computes_bfloat16_in_software, processor, versions
from csmri.methods.classical import METHODS
from csmri.methods.model import write_saved_model
from csmri.methods.reconstruction import load_reconstructor, simulated_acquisition
from csmri.methods.task import task_of
from csmri.phantom import make_subject

CONFIGS = Path(__file__).parents[1] / "configs" / "beyond"


def networks() -> dict[str, Config]:
    """The networks to time, by name: in bfloat16, too, where the processor has it."""
    found = {name: read_config(CONFIGS / f"{name}.toml") for name in ("unet1", "unet5", "pretrain")}
    found["unrolled"] = found.pop("pretrain")
    if not computes_bfloat16_in_software():
        found |= {f"{n} bfloat16": c.model_copy(update={"precision": "mixed_bfloat16"}) for n, c in found.items()}
    return found


def saved_reconstructor(config: Config) -> Callable:
    """Reconstruct as from a SavedModel that was trained."""
    with tempfile.TemporaryDirectory() as folder:
        write_saved_model(task_of(config).build(), Path(folder) / "model", config=config, epoch=0)
        return load_reconstructor(Path(folder) / "model").reconstruct


def main() -> None:
    """Print one line a method."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=int, default=256, help="pixels in y and x")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--acceleration", type=float, default=4.0)
    parser.add_argument("--phase", choices=["none", "static", "moving", "drift"], default="none")
    parser.add_argument("--coils", type=int, default=1)
    parser.add_argument("--snr", type=float, default=0.0, help="0 for no noise")
    options = parser.parse_args()

    images = make_subject(0, size=options.size, n_slices=1, n_frames=options.frames).images[0]
    law = Sampling(phase=options.phase, coils=options.coils, snr=options.snr)
    acquisition = simulated_acquisition(images, options.acceleration, law, seed=0, subject="phantom", slice_index=0)
    methods: dict[str, Callable] = {name: method.reconstruct for name, method in METHODS.items()}
    methods |= {name: saved_reconstructor(config) for name, config in networks().items()}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for turn in range(options.rounds + 1):
        for name, reconstruct in methods.items():
            begin = time.perf_counter()
            reconstruct(acquisition)
            if turn:  # the first compiles
                seconds[name].append(time.perf_counter() - begin)
    linear = statistics.median(seconds[INITIAL])
    machine = processor()
    print(f"{options.frames} x {options.size} x {options.size}, R = {options.acceleration:g}, ", end="")
    print(f"{options.coils} coils, phase {options.phase}, SNR {options.snr:g}, ", end="")
    print(f"median (least to most) of {options.rounds} rounds; {machine['cores']} cores of {machine['name']}")
    print(f"{machine['vectors']}; " + ", ".join(f"{name} {version}" for name, version in versions().items()))
    for name, times in seconds.items():
        median = statistics.median(times)
        print(f"{name:>22s} {median:8.3f} s ({min(times):.3f} to {max(times):.3f}) {median / linear:7.1f} x {INITIAL}")


if __name__ == "__main__":
    main()
