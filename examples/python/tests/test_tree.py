"""Minimum spanning trees and the filter along them: against Prim's algorithm and sums over all pairs."""

import numpy as np
import pytest

import pycambium as pc


@pytest.fixture
def draw():
    return np.random.default_rng(5)


def edges_by_prim(guide):
    """The tree's edges, as pairs of pixels. Differences are all distinct."""
    _, H, W = guide.shape
    inside, edges = {(0, 0)}, set()
    while len(inside) < H * W:
        best = None
        for y, x in inside:
            for at in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                if 0 <= at[0] < H and 0 <= at[1] < W and at not in inside:
                    weight = ((guide[:, y, x] - guide[:, at[0], at[1]]) ** 2).sum()
                    if best is None or weight < best[0]:
                        best = weight, (y, x), at
        inside.add(best[2])
        edges.add(tuple(sorted((best[1], best[2]))))
    return edges


def filter_by_pairs(feature, guide, sigma):
    """Affinities of all pairs along the tree: by walking from each pixel."""
    _, H, W = guide.shape
    near = {(y, x): [] for y in range(H) for x in range(W)}
    for a, b in edges_by_prim(guide):
        affinity = np.exp(-((guide[:, a[0], a[1]] - guide[:, b[0], b[1]]) ** 2).sum() / sigma)
        near[a].append((b, affinity))
        near[b].append((a, affinity))
    out = np.zeros_like(feature)
    for start in near:
        reached, todo = {start: 1.0}, [start]
        while todo:
            at = todo.pop()
            for to, affinity in near[at]:
                if to not in reached:
                    reached[to] = reached[at] * affinity
                    todo.append(to)
        total = sum(share * feature[:, y, x] for (y, x), share in reached.items())
        out[:, start[0], start[1]] = total / sum(reached.values())
    return out


def test_a_tree_is_prims(draw):
    guide = draw.random((3, 6, 7))
    tree = pc.minimum_tree(guide)
    assert tree.size == (6, 7) and tree.order[0] == 0 and tree.parent[0] == 0
    np.testing.assert_array_equal(np.sort(tree.order), np.arange(42))
    np.testing.assert_array_equal(tree.place[tree.order], np.arange(42))
    pixels = [(int(p) // 7, int(p) % 7) for p in tree.order]
    found = {
        tuple(sorted((pixels[node], pixels[parent])))
        for node, parent in enumerate(tree.parent)
        if node
    }
    assert found == edges_by_prim(guide)


@pytest.mark.parametrize("sigma", [0.02, 0.5])
def test_the_filter_is_the_mean_along_the_tree(draw, sigma):
    feature, guide = draw.normal(size=(2, 6, 7)), draw.random((3, 6, 7))
    expected = filter_by_pairs(feature, guide, sigma)
    got = pc.tree_filter(feature, guide, sigma=sigma)
    np.testing.assert_allclose(got, expected, atol=1e-10)
    tree = pc.minimum_tree(guide)
    np.testing.assert_array_equal(pc.tree_filter(feature, guide, tree, sigma=sigma), got)
    single = pc.tree_filter(feature.astype(np.float32), guide.astype(np.float32), sigma=sigma)
    np.testing.assert_allclose(single, expected, atol=1e-4)


@pytest.mark.parametrize("with_high", [False, True])
def test_the_loss_and_its_gradient(draw, with_high):
    p, low = draw.random((2, 2, 4, 5)), draw.random((2, 3, 4, 5))
    roi = (draw.random((2, 1, 4, 5)) < 0.7).astype(float)
    high = draw.random((2, 2, 4, 5)) if with_high else None

    def loss(p, high):
        total = 0.0
        for b in range(2):
            smooth = filter_by_pairs(p[b], low[b], 0.02)
            if high is not None:
                smooth = filter_by_pairs(smooth, high[b], 1)
            total += (roi[b] * np.abs(p[b] - smooth)).sum()
        return total / (roi > 0).sum()

    got = pc.tree_energy_loss(p, roi, low, high)
    assert got.value == pytest.approx(loss(p, high), rel=1e-9) and got.value > 0.01
    assert (got.by_high is None) == (high is None)
    step = 1e-6
    for at in [(0, 0, 1, 2), (1, 1, 3, 4), (0, 1, 0, 0), (1, 0, 2, 3)]:
        for given, slope in ((p, got.gradient), (high, got.by_high)):
            if given is None:
                continue
            kept = given[at]
            given[at] = kept + step
            up = loss(p, high)
            given[at] = kept - step
            down = loss(p, high)
            given[at] = kept
            assert slope[at] == pytest.approx((up - down) / (2 * step), abs=1e-6)


def test_wrong_arguments_are_named():
    maps = np.zeros((2, 3, 4))
    with pytest.raises(TypeError, match="tree is int; expected a MinimumTree"):
        pc.tree_filter(maps, maps, 3)
    with pytest.raises(
        ValueError, match=r"the tree is of an image \[2,2\], the map of one \[3,4\]"
    ):
        pc.tree_filter(maps, maps, pc.minimum_tree(np.zeros((1, 2, 2))))
    with pytest.raises(ValueError, match="groups"):
        pc.tree_filter(maps, maps, groups=3)
    with pytest.raises(ValueError, match="roi"):
        pc.tree_energy_loss(maps[None], maps[None], maps[None])
