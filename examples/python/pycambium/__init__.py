"""Weak supervision in, segmentation masks out."""

from ._cambium import *  # noqa: F401,F403
