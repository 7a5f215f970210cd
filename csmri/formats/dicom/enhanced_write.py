"""A cine as one multi-frame file (Enhanced MR Image Storage)."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import EnhancedMRImageStorage

from csmri.data.cine import Cine
from csmri.formats.dicom.classic import add_pixels
from csmri.formats.dicom.derivation import (
    RECONSTRUCTION,
    Series,
    add_derivation,
    coded,
    new_file,
    reference,
    source_image,
)
from csmri.formats.dicom.origin import MOMENT, PLACE, SEQUENCE, Origin

STACK = "1"
NEEDED = ("ContentDate", "ContentTime", "DeviceSerialNumber", "AcquisitionContextSequence")
"""What has to be there of what de-identification may take out."""
HEART = ("80891009", "SCT", "Heart")
KINDS = {
    "VolumetricProperties": "VOLUME",
    "VolumeBasedCalculationTechnique": "NONE",
    "PixelPresentation": "MONOCHROME",
    "ComplexImageComponent": "MAGNITUDE",
    "AcquisitionContrast": "UNKNOWN",
}
IMAGE_TYPE = ["DERIVED", "PRIMARY", "CARDIAC", "NONE"]
CLASSIC_ONLY = [
    keyword
    for keyword in f"{PLACE} {MOMENT} {SEQUENCE}".split()
    if not keyword.startswith(("Content", "Lossy", "BurnedIn"))
]
"""What stands in the functional groups here, or not at all."""


def images(cine: Cine, series: Series) -> Iterator[tuple[str, Dataset]]:
    """Give the one file and its name; its frames are those of the first slice, then of the next."""
    first = series.origins[0][0]
    dataset = new_file(first.kept, EnhancedMRImageStorage, series.uid("image"))
    for keyword in (*CLASSIC_ONLY, "NumberOfTemporalPositions", "TemporalPositionIdentifier", "BodyPartExamined"):
        if keyword in dataset:
            delattr(dataset, keyword)
    dataset.SeriesInstanceUID, dataset.SeriesNumber = series.uid("series"), series.number
    dataset.InstanceNumber, dataset.NumberOfFrames = 1, cine.n_slices * cine.n_frames
    _add_type_1(dataset)
    _add_dimensions(dataset, series)
    dataset.SharedFunctionalGroupsSequence = [_shared(series)]
    dataset.PerFrameFunctionalGroupsSequence = [
        _of_frame(origin, slice_index, frame)
        for slice_index, frames in enumerate(series.origins)
        for frame, origin in enumerate(frames)
    ]
    if evidence := _evidence(series):
        dataset.SourceImageEvidenceSequence = evidence
    stored = np.stack([series.scale.store(image) for images in cine.magnitude for image in images])
    add_pixels(dataset, stored)
    dataset.PresentationLUTShape = "IDENTITY"
    series.anonymise(dataset, needed=NEEDED)
    add_derivation(dataset, series)
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        for derived in groups.get("DerivationImageSequence", []):
            derived.DerivationDescription = dataset.DerivationDescription
    yield "IM-0001-0001.dcm", dataset


def _add_type_1(dataset: Dataset) -> None:
    """Fill in what an enhanced MR image has to have with a value."""
    dataset.ImageType = IMAGE_TYPE
    for keyword, value in KINDS.items():
        setattr(dataset, keyword, value)
    now = datetime.datetime.now()
    if not dataset.get("ContentDate") or not dataset.get("ContentTime"):
        dataset.ContentDate, dataset.ContentTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    for keyword in ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions"):
        if not dataset.get(keyword):
            setattr(dataset, keyword, "unknown")
    dataset.AcquisitionContextSequence = []
    dataset.setdefault("BurnedInAnnotation", "NO")
    dataset.setdefault("LossyImageCompression", "00")
    # Whose rules the scanner kept is not told by classic images; it is those of the IEC nearly everywhere.
    dataset.ApplicableSafetyStandardAgency = "IEC"


def _add_dimensions(dataset: Dataset, series: Series) -> None:
    organization = Dataset()
    organization.DimensionOrganizationUID = series.uid("dimensions")
    dataset.DimensionOrganizationSequence = [organization]
    dataset.DimensionOrganizationType = "3D_TEMPORAL"
    dataset.DimensionIndexSequence = []
    for keyword in ("StackID", "InStackPositionNumber", "TemporalPositionIndex"):
        item = Dataset()
        item.DimensionOrganizationUID = organization.DimensionOrganizationUID
        item.DimensionIndexPointer, item.FunctionalGroupPointer = Tag(keyword), Tag("FrameContentSequence")
        item.DimensionDescriptionLabel = keyword
        dataset.DimensionIndexSequence.append(item)


def _shared(series: Series) -> Dataset:
    """Functional groups that all frames have in common."""
    first = series.origins[0][0]
    measures, scaling, window, anatomy = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = first.kept.PixelSpacing
    measures.SliceThickness = first.kept.get("SliceThickness") or first.kept.get("SpacingBetweenSlices") or "1"
    if first.kept.get("SpacingBetweenSlices"):
        measures.SpacingBetweenSlices = first.kept.SpacingBetweenSlices
    scaling.RescaleIntercept, scaling.RescaleSlope = series.scale.intercept, series.scale.slope
    scaling.RescaleType = "US"
    for keyword, value in series.scale.window(first.source).items():
        setattr(window, keyword, value)
    anatomy.FrameLaterality, anatomy.AnatomicRegionSequence = "U", [coded(HEART)]
    kind = Dataset()
    kind.FrameType = IMAGE_TYPE
    for keyword, value in KINDS.items():
        setattr(kind, keyword, value)
    shared = Dataset()
    shared.PixelMeasuresSequence, shared.PixelValueTransformationSequence = [measures], [scaling]
    shared.FrameVOILUTSequence, shared.FrameAnatomySequence = [window], [anatomy]
    shared.MRImageFrameTypeSequence = [kind]
    return shared


def _of_frame(origin: Origin, slice_index: int, frame: int) -> Dataset:
    """Functional groups of one frame."""
    content, position, orientation, derived = Dataset(), Dataset(), Dataset(), Dataset()
    content.StackID, content.InStackPositionNumber = STACK, slice_index + 1
    content.TemporalPositionIndex = frame + 1
    content.DimensionIndexValues = [1, slice_index + 1, frame + 1]
    position.ImagePositionPatient = origin.kept.ImagePositionPatient
    orientation.ImageOrientationPatient = origin.kept.ImageOrientationPatient
    derived.DerivationCodeSequence = [coded(RECONSTRUCTION)]
    groups = Dataset()
    groups.FrameContentSequence = [content]
    if origin.is_citable:
        derived.SourceImageSequence = [source_image(origin)]
        groups.DerivationImageSequence = [derived]
    groups.PlanePositionSequence, groups.PlaneOrientationSequence = [position], [orientation]
    if origin.kept.get("TriggerTime") is not None:
        cardiac = Dataset()
        cardiac.NominalCardiacTriggerDelayTime = float(origin.kept.TriggerTime)
        if origin.kept.get("NominalInterval"):
            cardiac.RRIntervalTimeNominal = float(origin.kept.NominalInterval)
        groups.CardiacSynchronizationSequence = [cardiac]
    return groups


def _evidence(series: Series) -> list[Dataset]:
    """All files of the input, by study and series."""
    studies: dict[str, dict[str, dict[str, Dataset]]] = {}
    for origin in (one for frames in series.origins for one in frames if one.is_citable):
        instances = studies.setdefault(origin.kept.StudyInstanceUID, {}).setdefault(origin.source.SeriesInstanceUID, {})
        instances[origin.source.SOPInstanceUID] = reference(origin)
    found = []
    for study, members in studies.items():
        item = Dataset()
        item.StudyInstanceUID, item.ReferencedSeriesSequence = study, []
        for uid, instances in members.items():
            one = Dataset()
            one.SeriesInstanceUID, one.ReferencedSOPSequence = uid, list(instances.values())
            item.ReferencedSeriesSequence.append(one)
        found.append(item)
    return found
