"""Compressed-sensing cardiac cine MRI with a residual U-net and transfer learning."""

__version__ = "0.1.0"
