"""Weak supervision in, segmentation masks out."""

from . import _cambium
from ._cambium import *  # noqa: F403
from ._cambium import __version__ as __version__

__all__ = [name for name in vars(_cambium) if not name.startswith("_")]
