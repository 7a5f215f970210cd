"""Whole experiments from one config each, as plans of stages that can be stopped and continued at any point."""

from csmri.run.paper import StudyRun
from csmri.run.sweep import SweepRun
from csmri.run.transfer import TransferRun
from csmri.run.variants import VariantsRun

__all__ = ["StudyRun", "SweepRun", "TransferRun", "VariantsRun"]
