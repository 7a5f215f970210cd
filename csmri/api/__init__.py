"""What the commands do, for Python: arrays and records in and out; `import csmri` has all of it."""

from csmri.api.evaluation import Quality, compare, draw, evaluate
from csmri.api.reconstruction import load_model, reconstruct
from csmri.api.simulation import Simulated, simulate
from csmri.api.training import prepare, train

__all__ = [
    "Quality",
    "Simulated",
    "compare",
    "draw",
    "evaluate",
    "load_model",
    "prepare",
    "reconstruct",
    "simulate",
    "train",
]
