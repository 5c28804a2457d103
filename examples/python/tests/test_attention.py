"""Affinities of attention: against NumPy's matrices."""

import numpy as np
import pytest

import pycambium as pc


@pytest.fixture
def draw():
    return np.random.default_rng(11)


def affinity_by_numpy(weight, rounds=3, squarings=1):
    w = weight.copy()
    for _ in range(rounds):
        w = w / w.sum(0, keepdims=True)
        w = w / w.sum(1, keepdims=True)
    t = (w + w.T) / 2
    for _ in range(squarings):
        t = t @ t
    return t


def boxes_by_loops(cam, threshold):
    """Boxes around 8-connected strong components, without the map's last row and column."""
    level = (cam * 255).astype(int)
    strong = level > int(threshold * level.max())
    out = np.zeros(cam.shape)
    left = {tuple(at) for at in np.argwhere(strong)}
    while left:
        todo, component = [left.pop()], []
        while todo:
            y, x = todo.pop()
            component.append((y, x))
            for near in [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]:
                if near in left:
                    left.remove(near)
                    todo.append(near)
        (top, first), (bottom, last) = np.min(component, 0), np.max(component, 0)
        out[top : bottom + 1, first : last + 1] = 1
    out[-1], out[:, -1] = 0, 0
    return out


@pytest.mark.parametrize("rounds, squarings", [(3, 1), (0, 2), (1, 0)])
def test_affinity(draw, rounds, squarings):
    weight = draw.random((23, 23))
    expected = affinity_by_numpy(weight, rounds, squarings)
    got = pc.attention_affinity(weight, rounds=rounds, squarings=squarings)
    np.testing.assert_allclose(got, expected, rtol=1e-10)
    single = pc.attention_affinity(weight.astype(np.float32), rounds=rounds, squarings=squarings)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=1e-4)


def test_refinement(draw):
    H, W, layers = 5, 6, 10
    attention = draw.random((layers, H * W + 1, H * W + 1))
    cams = draw.random((2, H, W))
    mean = attention[-8:, 1:, 1:].mean(0)
    np.testing.assert_allclose(pc.mean_attention(attention), mean, rtol=1e-12)
    affinity = affinity_by_numpy(mean)
    for threshold in (0.4, 0.9):
        kept = np.array([boxes_by_loops(cam, threshold) * cam for cam in cams])
        expected = (affinity @ kept.reshape(2, -1).T).T.reshape(2, H, W)
        got = pc.attention_refine(attention, cams, box_threshold=threshold)
        np.testing.assert_allclose(got, expected, rtol=1e-10)
    expected = (affinity @ cams.reshape(2, -1).T).T.reshape(2, H, W)
    np.testing.assert_allclose(
        pc.attention_refine(attention, cams, boxes=False), expected, rtol=1e-10
    )
    inner = np.ascontiguousarray(attention[:, 1:, 1:])
    without = pc.attention_refine(inner, cams, boxes=False, class_token=False)
    np.testing.assert_allclose(without, expected, rtol=1e-10)


def test_refinement_with_a_learned_affinity(draw):
    H, W = 4, 5
    attention, learned = (
        draw.random((9, H * W + 1, H * W + 1)),
        draw.random((H * W, H * W)),
    )
    cams = draw.random((3, H, W))
    last = attention[-6:, 1:, 1:]
    difference = (learned - last).sum((1, 2))
    used = last[difference <= difference.mean()]
    affinity = affinity_by_numpy(learned * used.sum(0) / (len(used) + 1e-5))
    expected = (affinity @ cams.reshape(3, -1).T).T.reshape(3, H, W)
    got = pc.attention_refine(attention, cams, learned, boxes=False)
    np.testing.assert_allclose(got, expected, rtol=1e-9)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="square matrix"):
        pc.attention_affinity(np.ones((2, 3)))
    with pytest.raises(ValueError, match="rounds is 1001"):
        pc.attention_affinity(np.ones((2, 2)), rounds=1001)
    with pytest.raises(ValueError, match="attention is"):
        pc.attention_refine(np.ones((1, 5, 5)), np.ones((1, 2, 3)))
