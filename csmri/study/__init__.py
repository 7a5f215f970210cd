"""Whole experiments from one config each, as plans of stages that can be stopped and continued at any point."""

from csmri.study.run import StudyRun
from csmri.study.transfer import TransferRun

__all__ = ["StudyRun", "TransferRun"]
