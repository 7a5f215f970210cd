"""Multi-frame DICOM: enhanced MR with its functional groups, and plain multi-frame images with one frame time."""

from __future__ import annotations

import itertools
from dataclasses import replace

from pydicom.dataset import Dataset

from csmri.core.errors import CsmriError
from csmri.formats.dicom.header import Header, component_of, moment, number, numbers, sequence, text, texts

# Where vendors keep classic elements of a frame: converted files, and Philips' private copy.
CLASSIC_GROUPS = (
    "UnassignedPerFrameConvertedAttributesSequence",
    "UnassignedSharedConvertedAttributesSequence",
    0x2005140F,
)
# Dimensions that count the frames of a heart beat.
TIME_DIMENSIONS = {0x00209128, 0x00209153, 0x00189074, 0x00181060, 0x00200100, 0x20011008}


def frame_headers(dataset: Dataset, common: Header, n_frames: int) -> list[Header]:
    """Header of each frame of a multi-frame file."""
    shared = next(iter(sequence(dataset, "SharedFunctionalGroupsSequence")), Dataset())
    frames = sequence(dataset, "PerFrameFunctionalGroupsSequence")
    if not frames and "SharedFunctionalGroupsSequence" not in dataset:
        return _plain(dataset, common, n_frames)
    time_dimension = next(
        (
            index
            for index, item in enumerate(sequence(dataset, "DimensionIndexSequence"))
            if number(item, "DimensionIndexPointer") in TIME_DIMENSIONS
        ),
        None,
    )
    if frames and len(frames) != n_frames:
        raise CsmriError(
            f"{common.path}: expected {n_frames} frames, found the description of {len(frames)}; export it again"
        )
    groups = [_Groups(frame, shared) for frame in frames or [Dataset()] * n_frames]
    return [_header(common, index, group, time_dimension) for index, group in enumerate(groups)]


class _Groups:
    """The functional groups of one frame, its own before the shared ones."""

    def __init__(self, frame: Dataset, shared: Dataset) -> None:
        self._owners = (frame, shared)
        self.classic = [item for owner in self._owners for name in CLASSIC_GROUPS for item in sequence(owner, name)]

    def __getitem__(self, name: str) -> Dataset:
        """The item of a group, empty where the file has none."""
        return next((items[0] for owner in self._owners if (items := sequence(owner, f"{name}Sequence"))), Dataset())

    def classic_number(self, keyword: str) -> float | None:
        """What the frame said before it was converted."""
        return next((found for item in self.classic if (found := number(item, keyword)) is not None), None)


def _header(common: Header, index: int, groups: _Groups, time_dimension: int | None) -> Header:
    content, cardiac, measures = groups["FrameContent"], groups["CardiacSynchronization"], groups["PixelMeasures"]
    frame_type, scaling = groups["MRImageFrameType"], groups["PixelValueTransformation"]
    trigger = _first(
        number(cardiac, "NominalCardiacTriggerDelayTime"),
        number(cardiac, "ActualCardiacTriggerDelayTime"),
        groups.classic_number("TriggerTime"),
        common.trigger_ms,
    )
    temporal = _first(
        number(content, "TemporalPositionIndex"),
        _dimension(content, time_dimension),
        groups.classic_number("TemporalPositionIdentifier"),
        common.temporal,
    )
    acquired = _first(
        moment(text(content, "FrameAcquisitionDateTime")), moment(text(content, "FrameReferenceDateTime"))
    )
    step = _first(number(measures, "SpacingBetweenSlices"), number(measures, "SliceThickness"))
    component = component_of(frame_type) if len(frame_type) else common.component
    return replace(
        common,
        frame=index,
        component=component,
        stack_id=text(content, "StackID"),
        trigger_ms=trigger,
        temporal=temporal,
        acquired_s=_first(acquired, common.acquired_s),
        beat_ms=_first(number(cardiac, "RRIntervalTimeNominal"), common.beat_ms),
        spacing_mm=numbers(measures, "PixelSpacing", 2) or common.spacing_mm,
        position_mm=numbers(groups["PlanePosition"], "ImagePositionPatient", 3) or common.position_mm,
        orientation=numbers(groups["PlaneOrientation"], "ImageOrientationPatient", 6) or common.orientation,
        slice_step_mm=common.slice_step_mm if not step else abs(step),
        thickness_mm=_first(number(measures, "SliceThickness"), common.thickness_mm),
        slope=_first(number(scaling, "RescaleSlope"), common.slope) or 1.0,
        intercept=_first(number(scaling, "RescaleIntercept"), common.intercept) or 0.0,
    )


def _plain(dataset: Dataset, common: Header, n_frames: int) -> list[Header]:
    """All frames at one place, one after the other."""
    steps = numbers(dataset, "FrameTimeVector", n_frames)
    interval = number(dataset, "FrameTime")
    if steps is not None:
        times: list[float | None] = list(itertools.accumulate(steps))
    elif interval:
        times = [frame * interval for frame in range(n_frames)]
    else:
        times = [None] * n_frames
    return [replace(common, frame=frame, trigger_ms=time) for frame, time in enumerate(times)]


def _dimension(content: Dataset, index: int | None) -> float | None:
    if index is None:
        return None
    values = texts(content, "DimensionIndexValues")
    return float(values[index]) if index < len(values) and values[index].isdecimal() else None


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)
