"""A sweep's config: names of variants, grids, and what cannot be meant."""

from __future__ import annotations

import pytest

from csmri.config import Sweep, read_sweep_config, write_config
from csmri.core.errors import CsmriError

TEXT = """
store = "work/store"
slices = [1, 3]
[acquisitions.gaussian]
[acquisitions.moving]
mask_law = "schlemper"
phase_moving = 0.7
[methods.temporal-tv.settings]
step = [0.15, 1.5]
max_iterations = [10, 20]
tolerance = 1e-3
[methods.slow]
method = "temporal-tv"
[methods.small]
train = "configs/k_target.toml"
settings.learning_rate = [1e-3, 3e-4]
[methods.mixed]
train = "configs/k_target.toml"
settings.accelerations = [[4.0, 8.0], [2.0, 4.0]]
settings.consistency = ["none", "hard"]
"""


def test_every_combination_has_a_name(tmp_path):
    (tmp_path / "sweep.toml").write_text(TEXT)
    sweep = read_sweep_config(tmp_path / "sweep.toml")
    assert list(sweep.trials()) == [
        *(f"temporal-tv step={step} max_iterations={n}" for step in ("0.15", "1.5") for n in (10, 20)),
        *("slow", "small learning_rate=0.001", "small learning_rate=0.0003"),
        *(f"mixed accelerations={some} consistency={one}" for some in ("4,8", "2,4") for one in ("none", "hard")),
    ]
    own = {name: settings for name, (_, settings) in sweep.trials().items()}
    assert own["temporal-tv step=1.5 max_iterations=10"] == {"step": 1.5, "max_iterations": 10, "tolerance": 1e-3}
    assert own["slow"] == {} and own["small learning_rate=0.0003"] == {"learning_rate": 3e-4}
    assert own["mixed accelerations=2,4 consistency=hard"] == {"accelerations": [2.0, 4.0], "consistency": "hard"}
    assert sweep.acquisitions["moving"].phase_moving == 0.7
    write_config(sweep, tmp_path / "again.toml")
    assert read_sweep_config(tmp_path / "again.toml") == sweep


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "methods"),
        ('[methods]\n"a\\u0000b" = {}', "cannot name an acquisition or a method"),
        ("[methods.tv]", "'tv' is no classical method; those are"),
        ("[methods.initial]", "initial takes part always"),
        ('[methods.a]\nmodel = "m"\ntrain = "t"', "give one of method, model, train and untrained"),
        ('[methods.temporal-tv]\ninit = "m"', "init is what a training starts from"),
        ("[methods.temporal-tv]\nstrength = 1", "strength"),
        ("[methods.temporal-tv]\n[acquisitions.a]\nphase = 1", "phase"),
        ("accelerations = []\n[methods.temporal-tv]", "accelerations"),
    ],
)
def test_impossible_sweep_is_refused_with_file_and_key(tmp_path, text, message):
    (tmp_path / "sweep.toml").write_text('store = "s"\n' + text)
    with pytest.raises(CsmriError, match=f"sweep.toml: .*{message}"):
        read_sweep_config(tmp_path / "sweep.toml")


def test_defaults():
    sweep = Sweep(store="s", methods={"view-sharing": {}})
    assert list(sweep.acquisitions) == ["gaussian"] and list(sweep.trials()) == ["view-sharing"]
