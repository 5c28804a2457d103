"""Types of arguments, for annotations: `def f(boundary: Array) -> NDArray[np.float32]`."""

from __future__ import annotations

import os
import sys
from typing import Any, Protocol, Union

from numpy.typing import NDArray

if sys.version_info >= (3, 12):
    from collections.abc import Buffer
else:
    Buffer = Union[bytes, bytearray, memoryview]

__all__ = ["Array", "Buffer", "NDArray", "StrPath", "SupportsDLPack"]


class SupportsDLPack(Protocol):
    """An array of another framework: a tensor of PyTorch, an array of JAX."""

    def __dlpack__(self) -> object: ...


Array = Union[NDArray[Any], SupportsDLPack, Buffer]
"""What every array argument may be."""

StrPath = Union[str, bytes, os.PathLike[str]]
"""What names a file."""
