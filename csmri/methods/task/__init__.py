"""What a network is fed, told, scored and served as: the only place that knows which network it is."""

from csmri.config import Config
from csmri.core.names import SELF_SUPERVISED
from csmri.methods.task.base import Example, Task
from csmri.methods.task.unet import UNet
from csmri.methods.task.unrolled import SelfSupervised, Unrolled

__all__ = ["TASKS", "Example", "Task", "task_of"]

TASKS: dict[str, type[Task]] = {"unet": UNet, "unrolled": Unrolled}


def task_of(config: Config) -> Task:
    """Find what the network of a config does."""
    kind = SelfSupervised if config.loss == SELF_SUPERVISED else TASKS[config.network]
    return kind(config)
