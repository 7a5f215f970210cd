"""The paper's whole experiment from one config, as a plan of stages that can be stopped and continued at any point."""

from csmri.study.run import StudyRun

__all__ = ["StudyRun"]
