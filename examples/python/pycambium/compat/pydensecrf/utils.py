"""Energies and features for a dense CRF, with the names and the arguments of pydensecrf.utils."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "compute_unary",
    "create_pairwise_bilateral",
    "create_pairwise_gaussian",
    "softmax_to_unary",
    "unary_from_labels",
    "unary_from_softmax",
]


def unary_from_labels(
    labels: NDArray[Any], n_labels: int, gt_prob: float, zero_unsure: bool = True
) -> NDArray[np.float32]:
    """Energies of a label map whose labels are right with probability `gt_prob`.

    labels       integers of any shape: 0..n_labels - 1, with zero_unsure 0..n_labels
    n_labels     number of labels; with zero_unsure label 0 is none of them
    gt_prob      in (0,1)
    zero_unsure  label 0 says nothing: all energies are those of 1 / n_labels

    Returns [n_labels,N].
    """
    assert 0 < gt_prob < 1, "`gt_prob` must be in (0,1)."
    labels = np.asarray(labels).ravel()
    if labels.dtype.kind not in "iub":
        raise IndexError(f"unary_from_labels: labels are {labels.dtype}; expected integers")
    most = n_labels if zero_unsure else n_labels - 1
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) <= most:
        raise IndexError(
            f"unary_from_labels: labels are {labels.min()}..{labels.max()}; expected 0..{most}"
        )
    # A column for each value of a label.
    energy = np.full((n_labels, n_labels), -np.log((1.0 - gt_prob) / (n_labels - 1)), np.float32)
    np.fill_diagonal(energy, -np.log(gt_prob))
    if zero_unsure:
        unsure = np.full((n_labels, 1), -np.log(1.0 / n_labels), np.float32)
        energy = np.concatenate([unsure, energy], axis=1)
    return np.take(energy, labels, axis=1)


def unary_from_softmax(
    sm: NDArray[Any], scale: float | None = None, clip: float | None = 1e-5
) -> NDArray[np.float32]:
    """Energies of probabilities, -log p.

    sm     [n_labels,...] in [0,1]
    scale  how far they are trusted, in (0,1]: p becomes scale * p + (1 - scale) / n_labels
    clip   smaller probabilities count as this; None: an energy of 0 probability is infinite

    Returns [n_labels,N].
    """
    count = sm.shape[0]
    if scale is not None:
        assert 0 < scale <= 1, "`scale` needs to be in (0,1]"
        sm = sm * scale + (1 - scale) / count
    if clip is not None:
        sm = np.clip(sm, clip, 1.0)
    energy: NDArray[np.float32] = np.log(sm).reshape(count, -1).astype(np.float32, copy=False)
    np.negative(energy, out=energy)
    return energy


def _positions(sdims: Sequence[float], shape: Sequence[int], more: int = 0) -> NDArray[np.float32]:
    """Features of the cells of a grid: positions along the first axes, and room for `more`."""
    axes = len(shape)
    if len(sdims) > axes:
        raise IndexError(
            f"sdims has {len(sdims)} deviations; expected at most {axes}, one for each axis"
        )
    features = np.empty((axes + more, *shape), np.float32)
    for axis, extent in enumerate(shape):
        at = np.arange(extent, dtype=np.float32)
        if axis < len(sdims):
            at /= sdims[axis]
        features[axis] = at.reshape([-1 if other == axis else 1 for other in range(axes)])
    return features


def create_pairwise_gaussian(sdims: Sequence[float], shape: Sequence[int]) -> NDArray[np.float32]:
    """Features of positions, for addPairwiseEnergy.

    sdims  [cells] standard deviation along each axis, in the order of `shape`: rows first
    shape  of the grid

    Returns [len(sdims),N].
    """
    return _positions(sdims, shape).reshape(len(sdims), -1)


def create_pairwise_bilateral(
    sdims: Sequence[float], schan: float | Sequence[float], img: NDArray[Any], chdim: int = -1
) -> NDArray[np.float32]:
    """Features of positions and colours, for addPairwiseEnergy.

    sdims  [cells] standard deviation along each axis, rows first
    schan  standard deviation of colours: a number, or one for each channel
    img    image of any rank
    chdim  the axis of its channels; -1: there is none

    Returns [len(sdims) + channels,N].
    """
    channels = img[np.newaxis] if chdim == -1 else np.moveaxis(img, chdim, 0)
    axes = channels.ndim - 1
    features = _positions(sdims, channels.shape[1:], len(channels))
    features[axes:] = channels
    if isinstance(schan, (int, float, Number)):
        features[axes:] /= schan
    else:
        for channel, deviation in enumerate(schan):
            features[axes + channel] /= deviation
    return features.reshape(len(features), -1)


def compute_unary(labels: NDArray[Any], M: int, GT_PROB: float = 0.5) -> NDArray[np.float32]:
    """Deprecated: `unary_from_labels`."""
    logging.warning("pydensecrf.compute_unary is deprecated, use unary_from_labels instead.")
    return unary_from_labels(labels, M, GT_PROB)


def softmax_to_unary(sm: NDArray[Any], GT_PROB: float = 1) -> NDArray[np.float32]:
    """Deprecated: `unary_from_softmax`."""
    logging.warning("pydensecrf.softmax_to_unary is deprecated, use unary_from_softmax instead.")
    return unary_from_softmax(sm, None if GT_PROB == 1 else GT_PROB, clip=None)
