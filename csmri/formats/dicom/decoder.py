"""A process of its own that decodes compressed pixels: decoders in C++ end their process when a stream is damaged.

Run as a script, it reads jobs from its input, one JSON a line, and answers each frame with a line of JSON and the
pixels. It must not import csmri, which would cost time at every start.
"""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom.pixels import iter_pixels

# More memory than this, beside three times the file, is what a damaged stream asks for.
MAX_BYTES = 2 << 30


def frames_of(job: dict[str, Any]) -> Iterator[np.ndarray]:
    """Stored pixels (y, x) of some frames of a file."""
    tags = [*job["tags"]]
    dataset = pydicom.dcmread(job["path"], force=True, specific_tags=tags)
    with contextlib.suppress(ImportError):  # not on Windows
        import resource

        limit = MAX_BYTES + 3 * len(dataset.PixelData)
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    yield from iter_pixels(dataset, indices=job["frames"], raw=True)


def serve(jobs: BinaryIO, answers: BinaryIO) -> None:
    """Answer jobs until there are no more."""
    for line in jobs:
        job = json.loads(line)
        try:
            for pixels in frames_of(job):
                head = {"shape": pixels.shape, "dtype": pixels.dtype.str}
                answers.write(json.dumps(head).encode() + b"\n" + np.ascontiguousarray(pixels).tobytes())
                answers.flush()
        except Exception as error:  # decoders raise anything
            answers.write(json.dumps({"error": " ".join(str(error).split())[:200] or repr(error)}).encode() + b"\n")
            answers.flush()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    serve(sys.stdin.buffer, sys.stdout.buffer)
