"""Compressed-sensing cardiac cine MRI with a residual U-net and transfer learning."""

import os

__version__ = "0.1.0"

# TensorFlow convolves with oneDNN by itself only on processors with AVX-512; without it, a training step of the
# unrolled network takes four times as long. It reads the variable when it is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
