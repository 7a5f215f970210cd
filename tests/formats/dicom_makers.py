"""Makers of small DICOM files: classic images, one a file, and multi-frame files with the habits of vendors."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
)

from csmri.formats import dicom

MATRIX = (6, 5)
STEP_MS = 40


def uid(*parts):
    return "2.25." + str(int(hashlib.sha1(repr(parts).encode()).hexdigest()[:24], 16))


def value(slice_index, frame):
    """What all pixels of an image hold but one."""
    return 100 * (slice_index + 1) + frame


def pixels(slice_index, frame):
    image = np.full(MATRIX, value(slice_index, frame), np.uint16)
    image[1, 3] += 500
    return image


def _common(sop_class, series, number, **changes):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid(series, number, sorted(changes.items()))
    dataset.PatientID, dataset.Modality = "P7", "MR"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid("study"), uid("series", series)
    dataset.SeriesNumber, dataset.SeriesDescription = series, "SAX cine"
    dataset.Rows, dataset.Columns = MATRIX
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    return dataset


def _change(dataset, changes):
    for keyword, new in changes.items():
        if new is None:
            if keyword in dataset:
                del dataset[keyword]
        else:
            setattr(dataset, keyword, new)
    return dataset


def classic(slice_index, frame, series=5, **changes):
    """One image of a transversal stack, 8 mm from slice to slice; `changes` set elements, None removes them."""
    number = 100 * slice_index + frame + 1
    dataset = _common(MRImageStorage, series, number, **changes)
    dataset.InstanceNumber, dataset.TriggerTime = number, str(20 + frame * STEP_MS)
    dataset.PixelSpacing, dataset.ImageOrientationPatient = [1.5, 1.25], [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [-10, -20, 8 * slice_index]
    dataset.PixelData = pixels(slice_index, frame).tobytes()
    return _change(dataset, changes)


def stack(n_slices=3, n_frames=4, series=5, **changes):
    return [classic(s, f, series, **changes) for s in range(n_slices) for f in range(n_frames)]


def group(**elements):
    """A functional group: a sequence of one item."""
    return [_change(Dataset(), elements)]


def enhanced(places, number=1, frame_groups=None, shared_groups=None, series=5, **changes):
    """A multi-frame file of images (slice, frame).

    `frame_groups(slice, frame)` adds functional groups of a frame; `shared_groups` are those of all.
    """
    dataset = _common(EnhancedMRImageStorage, series, number, **changes)
    dataset.InstanceNumber, dataset.NumberOfFrames = number, len(places)
    shared = Dataset()
    shared.PixelMeasuresSequence = group(PixelSpacing=[1.5, 1.25], SpacingBetweenSlices="8")
    shared.PlaneOrientationSequence = group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    dataset.SharedFunctionalGroupsSequence = [_change(shared, shared_groups or {})]
    items = []
    for slice_index, frame in places:
        item = Dataset()
        item.PlanePositionSequence = group(ImagePositionPatient=[-10, -20, 8 * slice_index])
        items.append(_change(item, frame_groups(slice_index, frame) if frame_groups else {}))
    dataset.PerFrameFunctionalGroupsSequence = items
    dataset.PixelData = np.stack([pixels(s, f) for s, f in places]).tobytes()
    return _change(dataset, changes)


def save(folder, datasets, name="IM{:04d}"):
    folder.mkdir(parents=True, exist_ok=True)
    for number, dataset in enumerate(datasets):
        dataset.save_as(folder / name.format(number), enforce_file_format=True)
    return folder


def find(folder: Path):
    return dicom.find_sources([path for path in folder.rglob("*") if path.is_file()], folder)


def codes(cine):
    """What `value` says of the order, (slice, frame)."""
    return cine.images[:, :, 0, 0].astype(int).tolist()


@pytest.fixture
def make():
    """Functions that make DICOM files, and look for cines among them."""
    return SimpleNamespace(
        classic=classic,
        stack=stack,
        enhanced=enhanced,
        group=group,
        save=save,
        find=find,
        codes=codes,
        uid=uid,
        value=value,
        pixels=pixels,
        matrix=MATRIX,
        step_ms=STEP_MS,
        converted=LegacyConvertedEnhancedMRImageStorage,
    )
