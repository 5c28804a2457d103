"""DenseCRF and DenseCRF2D with the names and the arguments of pydensecrf.densecrf.

    import pycambium.compat.pydensecrf.densecrf as dcrf

    crf = dcrf.DenseCRF2D(width, height, n_labels)
    crf.setUnaryEnergy(unary)                                          # float32 [n_labels,N]
    crf.addPairwiseGaussian(sxy=3, compat=3)
    crf.addPairwiseBilateral(sxy=50, srgb=5, rgbim=image, compat=10)   # uint8 [height,width,3]
    labels = np.argmax(crf.inference(10), axis=0).reshape(height, width)

All cores work, unless `threads` says otherwise. The module's variable holds for all later calls.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from enum import IntEnum
from numbers import Number
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from ... import _cambium

__all__ = [
    "CONST_KERNEL",
    "ConstUnary",
    "DIAG_KERNEL",
    "DenseCRF",
    "DenseCRF2D",
    "FULL_KERNEL",
    "KernelType",
    "LogisticUnary",
    "NORMALIZE_AFTER",
    "NORMALIZE_BEFORE",
    "NORMALIZE_SYMMETRIC",
    "NO_NORMALIZATION",
    "NormalizationType",
    "Unary",
]

threads: int | None = None
"""Threads of a call: 0 is all cores; None is all cores too, but one in a process that
multiprocessing started, whose parent has as many processes as it wants cores."""


class NormalizationType(IntEnum):
    """Where a kernel's sums are divided by the sum of a pixel's own weights."""

    NO_NORMALIZATION = 0
    NORMALIZE_BEFORE = 1
    NORMALIZE_AFTER = 2
    NORMALIZE_SYMMETRIC = 3


class KernelType(IntEnum):
    """What learning may change of a kernel. For inference CONST and DIAG are the same."""

    CONST_KERNEL = 0
    DIAG_KERNEL = 1
    FULL_KERNEL = 2


NO_NORMALIZATION = NormalizationType.NO_NORMALIZATION
NORMALIZE_BEFORE = NormalizationType.NORMALIZE_BEFORE
NORMALIZE_AFTER = NormalizationType.NORMALIZE_AFTER
NORMALIZE_SYMMETRIC = NormalizationType.NORMALIZE_SYMMETRIC
CONST_KERNEL = KernelType.CONST_KERNEL
DIAG_KERNEL = KernelType.DIAG_KERNEL
FULL_KERNEL = KernelType.FULL_KERNEL

_NORMS = ("none", "before", "after", "symmetric")
_C_NAMES = {
    "f": "float",
    "d": "double",
    "B": "unsigned char",
    "b": "signed char",
    "i": "int",
    "l": "long",
    "q": "long long",
    "e": "half",
    "h": "short",
    "?": "bool",
}

Compat = Union[float, NDArray[np.float32]]
Deviation = Union[float, Sequence[float]]


def _threads() -> int:
    if threads is not None:
        return threads
    return 0 if multiprocessing.parent_process() is None else 1


def _buffer(given: Any, code: str, rank: int, name: str) -> NDArray[Any]:
    """The array of a buffer in C order, as a typed memoryview takes it. Nothing is copied."""
    if given is None:
        raise TypeError(f"Argument '{name}' must not be None")
    seen = memoryview(given)
    if seen.ndim != rank:
        raise ValueError(
            f"Buffer has wrong number of dimensions (expected {rank}, got {seen.ndim})"
        )
    if seen.format != code:
        raise ValueError(
            f"Buffer dtype mismatch, expected '{_C_NAMES[code]}' but got "
            f"'{_C_NAMES.get(seen.format, seen.format)}'"
        )
    if not seen.c_contiguous:
        raise ValueError("ndarray is not C-contiguous")
    return np.asarray(given)


def _weights(compat: Any, n_labels: int) -> Any:
    """The weights of a kernel as the library reads them.

    A number attracts: it is what agreement takes off the energy. A vector holds energies: a
    positive one repels. A matrix counts as the mean of itself and its transpose.
    """
    if isinstance(compat, Number):
        return float(compat)  # type: ignore[arg-type]
    rank = memoryview(compat).ndim
    if rank not in (1, 2):
        raise ValueError("LabelCompatibility of dimension >2 not meaningful.")
    given = _buffer(compat, "f", rank, "compat")
    if given.shape != (n_labels,) * rank:
        raise ValueError(f"Bad shape for compat (Need {(n_labels,) * rank}, got {given.shape})")
    return -given if rank == 1 else (given + given.T) * np.float32(0.5)


def _kind(kernel: Any, normalization: Any) -> str:
    kernel, normalization = _number(kernel), _number(normalization)
    if kernel == FULL_KERNEL:
        raise ValueError(
            "FULL_KERNEL differs from DIAG_KERNEL by what learning may change, and this package "
            "does not learn kernels; use DIAG_KERNEL, whose inference is the same"
        )
    if kernel not in (CONST_KERNEL, DIAG_KERNEL):
        raise ValueError(f"kernel is {kernel}; expected CONST_KERNEL or DIAG_KERNEL")
    if not 0 <= normalization < len(_NORMS):
        raise ValueError(
            f"normalization is {normalization}; expected NO_NORMALIZATION, NORMALIZE_BEFORE, "
            "NORMALIZE_AFTER or NORMALIZE_SYMMETRIC"
        )
    return _NORMS[normalization]


def _number(given: Any) -> int:
    if not isinstance(given, Number):
        raise TypeError("an integer is required")
    return int(given)  # type: ignore[call-overload,no-any-return]


class Unary:
    """Energies for setUnary(): a ConstUnary or a LogisticUnary."""

    _energies: NDArray[np.float32]


class ConstUnary(Unary):
    """The energies themselves: float32 [n_labels,N]."""

    def __init__(self, u: NDArray[np.float32]) -> None:
        self._energies = _buffer(u, "f", 2, "u").copy()


class LogisticUnary(Unary):
    """A linear function of features: the energies are L @ f.

    L  float32 [n_labels,d]
    f  float32 [d,N]
    """

    def __init__(self, L: NDArray[np.float32], f: NDArray[np.float32]) -> None:
        left, right = _buffer(L, "f", 2, "L"), _buffer(f, "f", 2, "f")
        if left.shape[1] != right.shape[0]:
            raise ValueError(f"Bad shape for logistic unary ({left.shape} times {right.shape})")
        self._energies = np.ascontiguousarray(left @ right)


class DenseCRF:
    """A fully connected CRF of any number of variables.

    nvar     [count] N
    nlabels  [count] n
    """

    def __init__(self, nvar: int, nlabels: int, *_: Any, **__: Any) -> None:
        self._begin(_number(nvar), 1, _number(nlabels))

    def _begin(self, height: int, width: int, nlabels: int) -> None:
        if nlabels < 1:
            raise ValueError(f"nlabels is {nlabels}; expected 1 or more")
        self._crf = _cambium.DenseCRF.of_size(height, width, most_bytes=np.inf, pad=True)
        self._shape = (nlabels, height, width)
        self._field: _cambium.MeanField | None = None

    @property
    def _flat(self) -> tuple[int, int]:
        return self._shape[0], self._shape[1] * self._shape[2]

    def setUnaryEnergy(self, u: NDArray[np.float32], f: NDArray[np.float32] | None = None) -> None:
        """Set the energies.

        u  float32 [n,N], C order; later changes of the array have no effect
        f  if given, the energies are u @ f
        """
        energies = _buffer(u, "f", 2, "u")
        if energies.shape != self._flat:
            raise ValueError(
                f"Bad shape for unary energy (Need {self._flat}, got {energies.shape})"
            )
        self.setUnary(LogisticUnary(energies, f)) if f is not None else self._set(energies)

    def setUnary(self, u: Unary) -> None:
        """Set the energies to those of a ConstUnary or a LogisticUnary."""
        if not isinstance(u, Unary):
            raise TypeError(
                "Argument 'u' has incorrect type (expected pydensecrf.densecrf.Unary, got "
                f"{type(u).__name__})"
            )
        if u._energies.shape != self._flat:
            raise ValueError(
                f"Bad shape for unary energy (Need {self._flat}, got {u._energies.shape})"
            )
        self._set(u._energies)

    def _set(self, energies: NDArray[np.float32]) -> None:
        try:
            self._field = self._crf.prepare(energies.reshape(self._shape), threads=_threads())
        except ValueError:
            if np.isnan(energies).any() or np.isfinite(energies).all():
                raise
            # -log 0 is infinite. An energy of 1e30 leaves a label no chance either.
            self._set(np.clip(energies, -1e30, 1e30))

    def addPairwiseEnergy(
        self,
        features: NDArray[np.float32],
        compat: Compat,
        kernel: int = DIAG_KERNEL,
        normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a Gaussian kernel over any features.

        features  float32 [d,N], C order, in standard deviations; d <= 8
        compat    number: what agreement takes off the energy; float32 [n]: energy of two
                  neighbours of that label; float32 [n,n]: energy of a label beside another
        """
        given = _buffer(features, "f", 2, "features")
        if given.shape[1] != self._flat[1]:
            raise ValueError(
                f"Bad shape for pairwise energy (Need (?, {self._flat[1]}), got {given.shape})"
            )
        self._crf.add(
            given,
            compat=_weights(compat, self._shape[0]),
            by=_kind(kernel, normalization),
            threads=_threads(),
        )

    def _begun(self) -> _cambium.MeanField:
        """The inference of the energies. Without energies all labels are equal."""
        if self._field is not None:
            return self._field
        return self._crf.prepare(np.zeros(self._shape, np.float32), threads=_threads())

    def inference(self, niter: int) -> NDArray[np.float32]:
        """The marginals after `niter` steps: [n,N]. The cells of a variable lie together."""
        count = max(0, _number(niter))
        return self._begun().run(count, threads=_threads())

    def startInference(
        self,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """(Q, tmp1, tmp2) for stepInference(). The last two are empty, and stay so."""
        if self._field is None:
            q = np.zeros(self._flat, np.float32, order="F")
        else:
            q = self._field.run(0, threads=_threads())
        return q, np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32)

    def stepInference(self, Q: NDArray[np.float32], tmp1: Any = None, tmp2: Any = None) -> None:
        """Replace the marginals Q, [n,N], by those of one step more."""
        self._expects_marginals(Q)
        self._begun().step_at(Q, threads=_threads())

    def klDivergence(self, Q: NDArray[np.float32]) -> float:
        """Divergence of the marginals Q, up to a constant. Each pair of variables counts twice."""
        self._expects_marginals(Q)
        return self._begun().divergence_at(Q, threads=_threads())

    def _expects_marginals(self, Q: Any) -> None:
        if not isinstance(Q, np.ndarray) or Q.dtype != np.float32:
            raise TypeError(
                "Argument 'Q' has incorrect type (expected the marginals of startInference(), got "
                f"{type(Q).__name__})"
            )
        if Q.shape != self._flat:
            raise ValueError(f"Bad shape for marginals (Need {self._flat}, got {Q.shape})")
        if not Q.flags.writeable:
            raise ValueError("Q is read-only")


class DenseCRF2D(DenseCRF):
    """A fully connected CRF over the pixels of an image.

    w, h     [pixels] width, then height
    nlabels  [count] n
    """

    def __init__(self, w: int, h: int, nlabels: int, *_: Any, **__: Any) -> None:
        self._begin(_number(h), _number(w), _number(nlabels))

    def addPairwiseGaussian(
        self,
        sxy: Deviation,
        compat: Compat,
        kernel: int = DIAG_KERNEL,
        normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a Gaussian kernel over positions.

        sxy     [pixels] standard deviation, or (x,y)
        compat  as addPairwiseEnergy()
        """
        self._crf.add_image(
            None,
            sxy=_deviation(sxy, 2),
            compat=_weights(compat, self._shape[0]),
            by=_kind(kernel, normalization),
            threads=_threads(),
        )

    def addPairwiseBilateral(
        self,
        sxy: Deviation,
        srgb: Deviation,
        rgbim: NDArray[np.uint8],
        compat: Compat,
        kernel: int = DIAG_KERNEL,
        normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a Gaussian kernel over positions and colours.

        sxy     [pixels] standard deviation of positions, or (x,y)
        srgb    [grey levels] standard deviation of colours, or (red,green,blue)
        rgbim   uint8 [h,w,3], C order
        compat  as addPairwiseEnergy()
        """
        image = _buffer(rgbim, "B", 3, "rgbim")
        if image.shape[:2] != self._shape[1:]:
            raise ValueError(
                f"Bad shape for pairwise bilateral (Need {(*self._shape[1:], 3)}, "
                f"got {image.shape})"
            )
        if image.shape[2] != 3:
            raise ValueError(
                f"addPairwiseBilateral takes images of 3 channels, not {image.shape[2]}; use "
                "utils.create_pairwise_bilateral and addPairwiseEnergy"
            )
        self._crf.add_image(
            image,
            sxy=_deviation(sxy, 2),
            srgb=_deviation(srgb, 3),
            compat=_weights(compat, self._shape[0]),
            by=_kind(kernel, normalization),
            threads=_threads(),
        )


def _deviation(given: Deviation, count: int) -> Sequence[float]:
    """A deviation for each of `count` axes."""
    listed: Any = (given,) * count if isinstance(given, Number) else given
    each = [listed[i] for i in range(count)]
    for deviation in each:
        if not isinstance(deviation, Number):
            raise TypeError(f"must be real number, not {type(deviation).__name__}")
    return [float(deviation) for deviation in each]
