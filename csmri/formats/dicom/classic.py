"""A cine as a series of classic MR images (MR Image Storage), one a file."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage
from pydicom.valuerep import format_number_as_ds

from csmri.data.cine import Cine
from csmri.formats.dicom.derivation import Series, add_derivation, new_file, source_image
from csmri.formats.gif import edges_ms


def images(cine: Cine, series: Series) -> Iterator[tuple[str, Dataset]]:
    """Give every image with the name of its file, which holds its instance number, slice by slice."""
    width = max(4, len(str(max(origin.instance for frames in series.origins for origin in frames))))
    playback, magnitude = _playback(cine), cine.magnitude
    for slice_index, frames in enumerate(series.origins):
        for frame, origin in enumerate(frames):
            dataset = new_file(origin.kept, MRImageStorage, series.uid("image", str(origin.instance)))
            dataset.update(copy.deepcopy(playback))
            dataset.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
            dataset.SeriesInstanceUID, dataset.SeriesNumber = series.uid("series"), series.number
            dataset.InstanceNumber = origin.instance
            if origin.is_citable:
                dataset.SourceImageSequence = [source_image(origin)]
            for keyword, value in series.scale.window(origin.source).items():
                setattr(dataset, keyword, value)
            if (series.scale.slope, series.scale.intercept) != ("1", "0"):
                dataset.RescaleIntercept, dataset.RescaleSlope = series.scale.intercept, series.scale.slope
                dataset.RescaleType = "US"
            add_pixels(dataset, series.scale.store(magnitude[slice_index, frame]))
            series.anonymise(dataset)
            add_derivation(dataset, series)
            yield f"IM-0001-{origin.instance:0{width}d}.dcm", dataset


def _playback(cine: Cine) -> Dataset:
    """The Cine module, which tells viewers to play the series over and over at the rate of the heart."""
    step_ms = edges_ms(cine)[-1] / cine.n_frames
    playback = Dataset()
    playback.PreferredPlaybackSequencing = 0
    if step_ms > 0:
        playback.FrameTime = format_number_as_ds(float(step_ms))
        playback.RecommendedDisplayFrameRate = max(1, round(1000 / step_ms))
    return playback


def add_pixels(dataset: Dataset, stored: NDArray[np.uint16]) -> None:
    """Put pixels (y, x), or (frame, y, x), into a dataset."""
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"
