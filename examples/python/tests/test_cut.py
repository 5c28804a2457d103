"""MaskCut: against dense matrices of NumPy."""

import numpy as np
import pytest

import pycambium as pc

SCENE = np.zeros((7, 12), int)
SCENE[1:4, 1:5], SCENE[1:4, 7:11], SCENE[5:7, 4:8] = 1, 2, 3


@pytest.fixture
def features():
    draw = np.random.default_rng(5)
    directions = 8 * np.linalg.qr(draw.normal(size=(32, 4)))[0].T
    return np.moveaxis(directions[SCENE], -1, 0) + 0.5 * draw.normal(size=(32, 7, 12))


def first_cut(features, tau, eps):
    """The eigenvector of the first pass and its eigenvalue, by NumPy's solver of symmetric matrices."""
    f = features.reshape(len(features), -1)
    f = f / np.linalg.norm(f, axis=0)
    a = np.where(f.T @ f > tau, 1, eps)
    d = a.sum(0)
    values, vectors = np.linalg.eigh(np.eye(len(d)) - a / np.sqrt(d[:, None] * d))
    v = vectors[:, 1] / np.sqrt(d)
    return v * np.sign(v[np.argmax(abs(v))]), values[1], a


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_objects(features, dtype):
    found = pc.mask_cut(features.astype(dtype), tau=0.3)
    assert found.masks.shape == found.vectors.shape == (3, 7, 12)
    assert found.masks.dtype == np.uint8 and found.seeds.dtype == np.int64
    ids = sorted(int(SCENE[mask != 0].min()) for mask in found.masks)
    assert ids == [1, 2, 3]
    for mask, seed in zip(found.masks, found.seeds):
        np.testing.assert_array_equal(mask, SCENE == SCENE.flat[seed])
    assert found.accepted.tolist() == [1, 1, 1]
    assert found.settled.tolist() == [1, 1, 1]
    v, value, a = first_cut(features, 0.3, 1e-5)
    np.testing.assert_allclose(found.vectors[0].ravel(), v, atol=1e-6)
    np.testing.assert_allclose(found.values[0], value, atol=1e-9)
    side = v > v.mean()
    cut, d = a[side][:, ~side].sum(), a.sum(0)
    np.testing.assert_allclose(found.costs[0], cut / d[side].sum() + cut / d[~side].sum(), rtol=1e-10)
    assert "uint8 (3, 7, 12)" in repr(found)


def test_nothing_to_cut():
    found = pc.mask_cut(np.ones((4, 5, 6)), passes=2)
    assert found.masks.shape == (2, 5, 6) and not found.masks.any() and not found.accepted.any()


def test_small_first_pass_and_few_steps(features):
    one = pc.mask_cut(features, tau=0.3, passes=1)
    part = one.masks[0].mean()
    assert pc.mask_cut(features, tau=0.3, passes=1, smallest_first=part - 1e-9).accepted.tolist() == [1]
    found = pc.mask_cut(features, tau=0.3, passes=1, smallest_first=part)
    assert found.accepted.tolist() == [0] and not found.masks.any()
    assert pc.mask_cut(features, tau=0.3, passes=1, steps=1).settled.tolist() == [0]


def test_refused(features):
    with pytest.raises(ValueError, match=r"features\(2,1,4\) is nan"):
        features[2, 1, 4] = np.nan
        pc.mask_cut(features)
    with pytest.raises(ValueError, match="2 patches at least"):
        pc.mask_cut(np.ones((4, 1, 1)))
    with pytest.raises(ValueError, match="passes is 0"):
        pc.mask_cut(np.ones((4, 5, 6)), passes=0)
    with pytest.raises(ValueError, match="eps is 0"):
        pc.mask_cut(np.ones((4, 5, 6)), eps=0)
    with pytest.raises(TypeError, match="features is NoneType"):
        pc.mask_cut(None)
