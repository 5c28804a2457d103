"""A user's script. The tests run it and check its types.

A line that ends with an error's code must be refused.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import pycambium as pc
from pycambium.typing import Array


def walked(boundary: Array, seeds: Array, *, steps: int = 4) -> NDArray[Any]:
    transition = pc.make_transition(pc.path_affinity(boundary, radius=2), radius=2, beta=8)
    assert isinstance(transition, pc.Transition)
    return pc.random_walk(seeds, transition, steps=steps)


class Tensor:
    """Anything with __dlpack__ is an array."""

    def __init__(self, cells: NDArray[np.float32]) -> None:
        self.cells = cells

    def __dlpack__(self, *, stream: int | None = None) -> object:
        return self.cells.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


boundary = np.zeros((5, 6), np.float32)
seeds = np.ones((2, 5, 6), np.float32)
scores: NDArray[np.float32] = walked(boundary, seeds)
also: NDArray[np.float32] = walked(Tensor(boundary), Tensor(seeds))
assert scores.shape == also.shape == (2, 5, 6)
neighbours: NDArray[np.int32] = pc.disc(2)
version: str = pc.__version__

if TYPE_CHECKING:
    pc.path_affinity(3)  # error: arg-type
    pc.path_affinity(boundary, 5)  # error: call-arg
    pc.path_affinity(boundary, radios=5)  # error: call-arg
    pc.no_such_function(boundary)  # error: attr-defined
    floats: NDArray[np.float32] = pc.disc(2)  # error: assignment
