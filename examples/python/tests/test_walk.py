import numpy as np
import pytest

import pycambium as pc


def dense_walk(seeds, affinity, radius, beta, steps):
    """The walk as IRNet's code writes it: a dense matrix of all cells."""
    height, width = affinity.shape[1:]
    matrix = np.eye(height * width)
    for k, (dy, dx) in enumerate(pc.disc(radius)):
        for y in range(height):
            for x in range(width):
                if 0 <= y + dy < height and 0 <= x + dx < width:
                    a, b = y * width + x, (y + dy) * width + x + dx
                    matrix[a, b] = matrix[b, a] = float(affinity[k, y, x]) ** beta
    matrix /= matrix.sum(axis=1, keepdims=True)
    out = seeds.reshape(len(seeds), -1).astype(np.float64)
    for _ in range(steps):
        out = out @ matrix.T
    return out.reshape(seeds.shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_walk_is_the_power_of_the_dense_matrix(rng, dtype):
    boundary = rng.random((7, 9)).astype(dtype)
    seeds = rng.random((3, 7, 9)).astype(dtype)
    affinity = pc.path_affinity(boundary, radius=2)
    transition = pc.make_transition(affinity, radius=2, beta=3.0)
    got = pc.random_walk(seeds, transition, steps=16)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, dense_walk(seeds, affinity, 2, 3.0, 16), atol=2e-6)


def test_errors_name_the_argument():
    seeds = np.zeros((1, 4, 4), np.float32)
    transition = pc.make_transition(pc.path_affinity(np.zeros((4, 4), np.float32)))
    with pytest.raises(TypeError, match=r"random_walk: seeds is int64 \(1,4,4\); expected dtype float32"):
        pc.random_walk(seeds.astype(np.int64), transition)
    with pytest.raises(ValueError, match=r"random_walk: seeds is float32 \(4,4\) with 2 axes; expected 3"):
        pc.random_walk(seeds[0], transition)
    with pytest.raises(ValueError, match="negative strides"):
        pc.random_walk(seeds[:, ::-1], transition)
    with pytest.raises(ValueError, match=r"random_walk: seeds\(0,1,2\) is nan"):
        seeds[0, 1, 2] = np.nan
        pc.random_walk(seeds, transition)
    with pytest.raises(TypeError, match="path_affinity: boundary is NoneType"):
        pc.path_affinity(None)
    with pytest.raises(TypeError, match="path_affinity: boundary is numpy.ndarray of dtype >f8"):
        pc.path_affinity(np.zeros((2, 2), ">f8"))


def test_a_capsule_that_was_used_is_refused():
    class Once:
        def __init__(self, array):
            self.capsule = array.__dlpack__()

        def __dlpack__(self, **_):
            return self.capsule

        def __dlpack_device__(self):
            return (1, 0)

    once = Once(np.zeros((3, 3), np.float32))
    assert pc.path_affinity(once).shape == (34, 3, 3)
    with pytest.raises(TypeError, match="boundary"):
        pc.path_affinity(once)
