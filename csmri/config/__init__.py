"""What an experiment is: frozen, typed, read from a TOML file; every number has its one home here."""

from csmri.config.base import BLENDED, EVALUATION_ACCELERATIONS, Split, by_key, write_config
from csmri.config.conditions import TrainingConditions
from csmri.config.network import Network
from csmri.config.sampling import Sampling
from csmri.config.study import AS_IT_IS, Comparison, Study, TransferStudy, read_study, read_transfer_study
from csmri.config.sweep import Setting, Sweep, SweptMethod, read_sweep_config
from csmri.config.training import Config, Training, Ways, make_config, read_config

__all__ = [
    "AS_IT_IS",
    "BLENDED",
    "EVALUATION_ACCELERATIONS",
    "Comparison",
    "Config",
    "Network",
    "Sampling",
    "Setting",
    "Split",
    "Study",
    "Sweep",
    "SweptMethod",
    "Training",
    "TrainingConditions",
    "TransferStudy",
    "Ways",
    "by_key",
    "make_config",
    "read_config",
    "read_study",
    "read_sweep_config",
    "read_transfer_study",
    "write_config",
]
