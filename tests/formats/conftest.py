"""Makers of small DICOM files and of small k-space."""

from .dicom_makers import make
from .raw_makers import check_same, coil_images, damage, kspace, make_kspace

__all__ = ["check_same", "coil_images", "damage", "kspace", "make", "make_kspace"]
