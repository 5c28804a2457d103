"""Connected components with the interface of connected-components-3d (cc3d) 4.1.1, for images.

    import pycambium.compat.cc3d as cc3d

    labels, N = cc3d.connected_components(mask, connectivity=8, return_N=True)

The labels, their order and their type are cc3d's. Volumes, periodic boundaries and output files are
refused. Faults of cc3d 4.1.1 are not repeated: labels outside 8-connected binary images with rows
of
odd length, delta that joins more than it says at corners, binary_image that 4-connected images
ignore.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import _cambium

__all__ = ["DimensionError", "connected_components", "dust", "largest_k", "statistics"]

_native: Any = _cambium  # functions that are not public have no types
_TYPES = "bool, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float16, float32, float64"
_NEAR = {4: 4, 6: 4, 8: 8, 18: 8, 26: 8}


class DimensionError(ValueError):
    """An array with more axes than an image."""


def _image(data: Any, what: str) -> NDArray[Any]:
    """The array, of one or two axes."""
    if not isinstance(data, np.ndarray) and not hasattr(data, "shape"):
        raise TypeError(f"{what} is {type(data).__name__}; expected an array")
    image: NDArray[Any] = np.asarray(data)
    if image.ndim not in (1, 2):
        raise DimensionError(
            f"{what} has {image.ndim} axes; pycambium labels images of 1 or 2. Use cc3d for volumes"
        )
    return image


def _near(connectivity: int) -> int:
    given = int(connectivity)
    if given not in _NEAR:
        raise ValueError(f"connectivity is {given}; expected 4 or 6 (edges), 8, 18 or 26 (corners)")
    return _NEAR[given]


def _rows(image: NDArray[Any]) -> tuple[NDArray[Any], bool]:
    """The image with contiguous rows, and whether it was turned: a Fortran array is labelled by columns."""
    if image.ndim == 1:
        return np.ascontiguousarray(image)[np.newaxis], False
    turned = image.flags.f_contiguous and not image.flags.c_contiguous
    return (image.T, True) if turned else (np.ascontiguousarray(image), False)


def _room(rows: NDArray[Any], connectivity: int) -> int:
    """How many labels cc3d makes room for in a binary image: its automatic type depends on it."""
    height, width = len(rows), int(rows.shape[1])
    if connectivity in (4, 6):
        return height * width
    blocks = ((height + 1) // 2) * ((width + 1) // 2)
    return min(height * width, (1 if connectivity == 26 else 2) * blocks + 1)


def _back(rows: NDArray[Any], turned: bool, image: NDArray[Any]) -> NDArray[Any]:
    return rows[0] if image.ndim == 1 else rows.T if turned else rows


def _delta(delta: Any, dtype: np.dtype[Any], binary: bool) -> tuple[int, float, bool]:
    """The difference as a whole number, as a real one, and whether the image is binary."""
    if dtype.kind == "b":
        whole = int(delta)
        if not 0 <= whole <= 255:
            raise OverflowError(f"delta is {whole}; expected 0 to 255")
        return whole, 0.0, binary or whole in (0, 255)
    if dtype.kind == "f":
        real = float(delta)
        if not real >= 0:
            raise ValueError(f"delta is {real}; expected a number >= 0")
        return 0, real, binary or bool(real == np.finfo(dtype).max)
    whole = int(delta)
    most = int(np.iinfo(dtype).max)
    if not 0 <= whole <= (most if dtype.kind == "u" else 2 * most + 1):
        raise OverflowError(f"delta is {whole}; expected 0 to {most}")
    return whole, 0.0, binary or whole == most


def connected_components(
    data: Any,
    max_labels: int = -1,
    connectivity: int = 26,
    return_N: bool = False,
    delta: float = 0,
    out_dtype: DTypeLike | None = None,
    out_file: Any = None,
    periodic_boundary: bool = False,
    binary_image: bool = False,
    *,
    threads: int = 0,
) -> Any:
    """Label the connected components of an image.

    data               [H,W] of numbers or bool; 0 is background. Neighbours with equal values
                       belong together
    max_labels         not read, as in cc3d 4
    connectivity       4 or 6: edge neighbours; 8, 18 or 26: corners too
    return_N           whether the number of components is returned, too
    delta              neighbours whose values differ by at most delta belong together
    out_dtype          uint16, uint32 or uint64; None: the smallest that holds cc3d's estimate of
                       the number of labels
    binary_image       all values but 0 belong together; always so for bool
    threads            0: all

    Returns [H,W], 0 outside, 1..N, in the order of `data` in memory (C or Fortran); with return_N a
    tuple (labels, N).
    """
    image = _image(data, "data")
    if out_file is not None:
        raise NotImplementedError("out_file: pycambium writes labels to memory only")
    if periodic_boundary:
        raise NotImplementedError("periodic_boundary: pycambium does not join opposite borders")
    if image.dtype.kind not in "biuf" or not image.dtype.isnative or image.dtype.itemsize > 8:
        raise TypeError(f"Type {image.dtype} is not supported. Supported: {_TYPES}")
    near = _near(connectivity)
    bits = 0
    if out_dtype is not None:
        chosen = np.dtype(out_dtype)
        if chosen not in (np.uint16, np.uint32, np.uint64):
            raise ValueError(f"out_dtype is {chosen}; expected uint16, uint32 or uint64")
        bits = 8 * chosen.itemsize
    whole, real, binary = _delta(delta, image.dtype, bool(binary_image))
    if image.size == 0:
        empty = np.zeros(image.shape, image.dtype if out_dtype is None else np.dtype(out_dtype))
        return (empty, 0) if return_N else empty
    rows, turned = _rows(image)
    if rows.dtype == np.float16:
        rows = rows.astype(np.float32)
    room = _room(rows, int(connectivity)) if binary else -1
    blocks = int(connectivity) == 8
    found, count = _native._cc3d_label(rows, near, room, blocks, whole, real, bits, threads)
    labels = _back(found, turned, image)
    return (labels, count) if return_N else labels


def statistics(
    out_labels: Any, no_slice_conversion: bool = False, *, threads: int = 0
) -> dict[str, Any]:
    """Measure the components of labels.

    out_labels           [H,W] of integers, 0 to the number of cells
    no_slice_conversion  boxes as an array (first row, last row, first column, last column) instead
                         of slices

    Returns a dict. voxel_counts [N+1] uint32; bounding_boxes: N + 1 tuples of slices, None where a
    label has no cell;
    centroids [N+1,2], NaN where a label has no cell. Entry 0 is the background.
    """
    image = _image(out_labels, "out_labels")
    if image.dtype.kind not in "biu" or not image.dtype.isnative:
        raise TypeError(f"out_labels is {image.dtype}; expected integers")
    if image.size == 0:
        return {"voxel_counts": None, "bounding_boxes": None, "centroids": None}
    rows, turned = _rows(image.reshape(-1, 1) if image.ndim == 1 else image)
    area, box, centroid = _native._cc3d_statistics(rows, threads)
    if turned:
        box, centroid = box[:, [2, 3, 0, 1]], centroid[:, ::-1].copy()
    boxes: Any
    if no_slice_conversion:
        kind = np.uint16 if max(image.shape) < 65536 else np.uint32
        last = np.where(area > 0, 1, 0)[:, np.newaxis]
        boxes = (box - last * [0, 1, 0, 1]).astype(kind)
        boxes[area == 0] = [np.iinfo(kind).max, 0, np.iinfo(kind).max, 0]
    else:
        boxes = [
            (slice(top, bottom), slice(left, right)) if cells else None
            for cells, (top, bottom, left, right) in zip(area.tolist(), box.tolist())
        ]
    return {"voxel_counts": area, "bounding_boxes": boxes, "centroids": centroid}


def _labelled(
    img: Any, connectivity: int, delta: float, binary: bool, precomputed: bool, threads: int
) -> Any:
    """Labels, and how many cells each has."""
    if precomputed:
        image = _image(img, "img")
        if image.dtype.kind not in "biu" or not image.dtype.isnative:
            raise TypeError(f"img is {image.dtype}; labels are integers")
        labels = image
    else:
        labels = connected_components(
            img, connectivity=connectivity, delta=delta, binary_image=binary, threads=threads
        )
    rows, turned = _rows(labels)
    return rows, turned, _native._cc3d_statistics(rows, threads)[0]


def dust(
    img: Any,
    threshold: float | Sequence[float],
    connectivity: int = 26,
    in_place: bool = False,
    binary_image: bool = False,
    precomputed_ccl: bool = False,
    invert: bool = False,
    return_N: bool = False,
    *,
    threads: int = 0,
) -> Any:
    """Remove components of less than `threshold` cells from an image.

    threshold        [cells] a number, or (lower, upper): components outside lower <= cells < upper
                     are removed
    in_place         whether `img` is written
    precomputed_ccl  img holds labels already
    invert           remove the others

    Returns the image, of its own type; with return_N a tuple with the number of components that are
    left.
    """
    image = _image(img, "img")
    if isinstance(threshold, (tuple, list)):
        lower, upper = float(threshold[0]), float(threshold[1])
    else:
        lower, upper = float(threshold), float("inf")  # type: ignore[arg-type]
    if in_place and not image.flags.writeable:
        raise ValueError("dust: img is read-only")
    out = image if in_place else image.copy(order="K")
    if image.size == 0:
        return (out, 0) if return_N else out
    rows, turned, area = _labelled(image, connectivity, 0, binary_image, precomputed_ccl, threads)
    kept = ((area >= lower) & (area < upper)) != bool(invert)
    count = int(np.count_nonzero(kept[1:] & (area[1:] > 0)))
    kept[0] = True
    cells = _back(rows, turned, image)
    contiguous = out.flags.c_contiguous or out.flags.f_contiguous
    same = contiguous and out.strides[-1] * cells.itemsize == cells.strides[-1] * out.itemsize
    if same and not np.shares_memory(out, cells):
        target = out[np.newaxis] if image.ndim == 1 else out.T if turned else out
        _native._cc3d_keep(target.view(f"u{image.itemsize}"), rows, kept.view(np.uint8), threads)
    else:
        labels = cells.view(np.uint8) if cells.dtype.kind == "b" else cells  # no mask of kept
        out[~kept[labels]] = 0
    return (out, count) if return_N else out


def largest_k(
    img: Any,
    k: int,
    connectivity: int = 26,
    delta: float = 0,
    return_N: bool = False,
    binary_image: bool = False,
    precomputed_ccl: bool = False,
    *,
    threads: int = 0,
) -> Any:
    """Keep the k largest components of an image.

    Returns labels 1..k, the largest last, of equal sizes the first in memory first; all components
    in their own order where there are at most k. For k = 1 a mask of bool where there are more than
    one: of equal sizes the first. With return_N a tuple with their number.
    """
    k = operator.index(k)
    if k < 0:
        raise ValueError(f"k is {k}; expected 0 or more")
    image = _image(img, "img")
    if image.size == 0:
        empty = np.zeros(image.shape, image.dtype)
        return (empty, 0) if return_N else empty
    rows, turned, area = _labelled(
        image, connectivity, delta, binary_image, precomputed_ccl, threads
    )
    present = np.flatnonzero(area[1:]) + 1
    if rows.dtype.kind == "b":
        rows = rows.view(np.uint8)
    count = min(k, len(present))
    if k == 0:
        empty = np.zeros(image.shape, np.uint16, order="F" if turned else "C")
        return (empty, 0) if return_N else empty
    if len(present) > k:
        table = np.zeros(len(area), rows.dtype)
        if k == 1:
            table[present[np.argmax(area[present])]] = 1
        else:
            order = present[np.argsort(area[present], kind="stable")]
            table[order[len(order) - k :]] = np.arange(1, k + 1)
        rows = _native._cc3d_look_up(rows, table, threads)
    labels = _back(rows, turned, image)
    if (k == 1 and len(present) > k) or (image.dtype.kind == "b" and precomputed_ccl):
        labels = labels != 0
    return (labels, count) if return_N else labels
