"""Compressed-sensing cardiac cine MRI with a residual U-net and transfer learning.

    import csmri

is the door for Python: the names in `__all__` are imported when they are first used, so that this line alone is quick.
Their types stand in `__init__.pyi`; docs/python.md shows them at work.
"""

import importlib
import os
import platform
import sys
import warnings

__version__ = "0.1.0"

_PLACES = {
    "csmri.api": ("compare", "draw", "evaluate", "load_model", "prepare", "reconstruct", "simulate", "train"),
    "csmri.config": ("Config", "Sampling"),
    "csmri.core.errors": ("CsmriError",),
    "csmri.data.acquisition": ("Acquisition",),
    "csmri.data.cine": ("Cine",),
    "csmri.data.kspace": ("KSpace",),
    "csmri.formats": ("read", "write"),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}

__all__ = ["__version__", *_MODULE_OF]


def __getattr__(name: str) -> object:
    """Import what is asked for."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if _MODULE_OF[name] == "csmri.api":
        importlib.import_module("csmri.core.quiet").import_tensorflow()
    value = globals()[name] = getattr(importlib.import_module(_MODULE_OF[name]), name)
    return value


def __dir__() -> list[str]:
    """List what can be asked for, too."""
    return sorted({*globals(), *__all__})


def _warn_of_slow_networks() -> None:
    """Warn whoever imported TensorFlow first, where that lets it convolve without oneDNN."""
    # TensorFlow decides when it is imported: by the variable, else for processors with instructions for networks
    # (AVX512_VNNI, AVX_VNNI, AMX). It tells by itself what it decided; another TensorFlow that does not is let be.
    port = sys.modules.get("tensorflow.python.util._pywrap_util_port")
    has_onednn = getattr(port, "IsMklEnabled", lambda: True)
    # Only these builds have it; and networks may run elsewhere.
    could_have = platform.machine().lower() in ("x86_64", "amd64") and sys.platform in ("linux", "win32")
    on_cpu = os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow"
    if not could_have or not on_cpu or has_onednn() or sys.modules["tensorflow"].config.list_physical_devices("GPU"):
        return
    warnings.warn(
        "TensorFlow was imported before csmri and works without oneDNN, with which networks are two to five times as "
        "fast on this processor; start Python again and import csmri first, or set TF_ENABLE_ONEDNN_OPTS=1 in the "
        "environment (=0 to stay without it and without this warning)",
        stacklevel=3,
    )


# Without oneDNN, a training step of the unrolled network takes four times as long on a processor without AVX-512.
if os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1") != "0":
    _warn_of_slow_networks()
