"""Compressed pixels, decoded in a process of their own."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

SCRIPT = Path(__file__).with_name("decoder.py")
PATIENCE_S = 60.0
"""How long one frame may take; real ones take milliseconds, and a damaged stream may never end."""


class Decoder:
    """Decodes frames of compressed files; its process begins with the first of them and ends with the context.

    Parameters
    ----------
    tags : list of int
        Elements that decoding needs.
    """

    def __init__(self, tags: Sequence[int]) -> None:
        self._tags = list(tags)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def frames(self, path: Path, indices: Sequence[int]) -> Iterator[NDArray]:
        """Stored pixels (y, x) of frames of a file.

        Raises
        ------
        RuntimeError
            If they cannot be decoded.
        """
        process = self._process = self._process or _start()
        assert process.stdin is not None and process.stdout is not None
        job = {"path": str(path.resolve()), "frames": list(indices), "tags": self._tags}
        try:
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.flush()
            for _ in indices:
                yield self._answer(process, process.stdout)
        except (OSError, ValueError) as error:
            self._end()
            raise RuntimeError("the decoder ended, as it does on damaged pixels") from error

    def _answer(self, process: subprocess.Popen[bytes], answers: IO[bytes]) -> NDArray:
        watch = threading.Timer(PATIENCE_S, process.kill)
        watch.start()
        try:
            head = json.loads(answers.readline())  # an empty line, which is no JSON, where the process has ended
            if "error" in head:
                raise RuntimeError(head["error"])
            dtype = np.dtype(head["dtype"])
            content = answers.read(math.prod(head["shape"]) * dtype.itemsize)
            return np.frombuffer(content, dtype).reshape(head["shape"])
        finally:
            watch.cancel()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _start() -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-P", str(SCRIPT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
