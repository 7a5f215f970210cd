"""Import TensorFlow without its start-up notes."""

from __future__ import annotations

import os
import sys


def import_tensorflow() -> None:
    """Import TensorFlow with the process's standard error closed.

    Its C++ part writes notes about processor and GPU before any logging level is obeyed. Import errors are exceptions
    and still come through; what is logged later is shown from warnings on.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "tensorflow" in sys.modules or sys.stderr is None:
        return  # it has written them already, or they have nowhere to go
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        import tensorflow as tf

        tf.config.list_physical_devices("GPU")  # the GPU build complains here on a machine without one
    finally:
        os.dup2(kept, 2)
        os.close(kept)
