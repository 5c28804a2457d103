"""Types of arguments, for annotations: `def f(boundary: Array) -> NDArray[np.float32]`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Protocol, Union

from numpy.typing import NDArray

if sys.version_info >= (3, 12):
    from collections.abc import Buffer
else:
    Buffer = Union[bytes, bytearray, memoryview]

__all__ = [
    "Array",
    "Buffer",
    "CocoDataset",
    "CocoResult",
    "NDArray",
    "Rle",
    "StrPath",
    "SupportsDLPack",
]


class SupportsDLPack(Protocol):
    """An array of another framework: a tensor of PyTorch, an array of JAX."""

    def __dlpack__(self) -> object: ...


Array = Union[NDArray[Any], SupportsDLPack, Buffer]
"""What every array argument may be."""

StrPath = Union[str, bytes, os.PathLike[str]]
"""What names a file."""

Rle = Mapping[str, Any]
"""A mask as run lengths: {"size": [H, W], "counts": str, bytes or list of lengths}."""

CocoDataset = Mapping[str, Any]
"""A data set as json.load() gives it: images, categories, annotations."""

CocoResult = Mapping[str, Any]
"""A result: image_id, category_id, segmentation as run lengths, score."""
