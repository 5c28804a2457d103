"""Cheapest paths, scribbles, skeletons and points far apart: against loops over all cells."""

import math

import numpy as np
import pytest

import pycambium as pc


@pytest.fixture
def draw():
    return np.random.default_rng(20261130)


STEPS = {4: [(0, 1), (1, 0)], 8: [(0, 1), (1, -1), (1, 0), (1, 1)]}


def costs_by_loops(image, boundary, near, step, per_image, per_boundary):
    H, W = boundary.shape
    out = np.zeros((near // 2, H, W))
    for k, (dy, dx) in enumerate(STEPS[near]):
        for y in range(H):
            for x in range(W):
                if not (0 <= y + dy < H and 0 <= x + dx < W):
                    continue
                length = math.hypot(dy, dx)
                change = image[y + dy, x + dx].astype(float) - image[y, x].astype(float)
                squares = (step * length) ** 2 + per_image**2 * float(change @ change)
                mean = (boundary[y, x] + boundary[y + dy, x + dx]) / 2
                out[k, y, x] = math.sqrt(squares) + per_boundary * length * mean
    return out


def distances_by_rounds(cost, near, begins):
    """Bellman and Ford's: all steps again until nothing changes."""
    H, W = begins.shape
    far = np.where(begins, 0.0, np.inf)
    while True:
        before = far.copy()
        for k, (dy, dx) in enumerate(STEPS[near]):
            for y in range(H):
                for x in range(W):
                    if 0 <= y + dy < H and 0 <= x + dx < W:
                        one, other = far[y, x], far[y + dy, x + dx]
                        far[y + dy, x + dx] = min(other, one + cost[k, y, x])
                        far[y, x] = min(one, other + cost[k, y, x])
        if np.array_equal(before, far):
            return far


@pytest.mark.parametrize("near", [4, 8])
def test_costs_and_paths(draw, near):
    H, W = 9, 11
    image = draw.integers(0, 256, (H, W, 3), dtype=np.uint8)
    boundary = draw.random((H, W))
    cost = pc.geodesic_costs(
        image, boundary, near=near, step=2.0, image_weight=0.5, boundary_weight=30.0
    )
    assert cost.dtype == np.float64
    np.testing.assert_allclose(cost, costs_by_loops(image, boundary, near, 2.0, 0.5, 30.0))
    seeds = np.zeros((H, W), np.int32)
    seeds[1, 2], seeds[7, 9], seeds[4, 4] = 3, 1, 2
    found = pc.geodesic(cost, seeds, near=near)
    each = np.array([distances_by_rounds(cost, near, seeds == label) for label in (1, 2, 3)])
    np.testing.assert_allclose(found.distance, each.min(0))
    np.testing.assert_array_equal(found.label, each.argmin(0) + 1)
    first, second = np.sort(each, 0)[:2]
    margin = np.divide(second - first, second + first)
    np.testing.assert_allclose(found.confidence, margin, atol=1e-12)
    near_only = pc.geodesic(cost, seeds, near=near, limit=40.0)
    np.testing.assert_array_equal(near_only.label == 0, each.min(0) > 40)
    assert np.isinf(near_only.distance[near_only.label == 0]).all()
    few = pc.geodesic(cost.astype(np.float32), np.where(seeds, seeds, 255).astype(np.uint8),
                      near=near, unmarked=255)  # fmt: skip
    assert few.label.dtype == np.uint8 and few.distance.dtype == np.float32
    np.testing.assert_allclose(few.distance, each.min(0), rtol=1e-5)


def test_types_of_costs():
    image = np.zeros((3, 4, 1), np.float64)
    assert pc.geodesic_costs(image).dtype == np.float64
    assert pc.geodesic_costs(image.astype(np.uint8)).dtype == np.float32
    assert pc.geodesic_costs(boundary=np.zeros((3, 4), np.float32)).dtype == np.float32
    with pytest.raises(ValueError, match="neither an image nor a boundary"):
        pc.geodesic_costs()
    with pytest.raises(ValueError, match="near is 6"):
        pc.geodesic_costs(image, near=6)
    with pytest.raises(ValueError, match="unmarked is 256"):
        pc.geodesic(np.zeros((4, 3, 4)), np.ones((3, 4), np.uint8), unmarked=256)
    with pytest.raises(ValueError, match="no cell of the seeds"):
        pc.geodesic(np.zeros((4, 3, 4)), np.zeros((3, 4), np.uint8))


def test_scribbles_on_two_fields():
    """Left half dark, right half bright: labels end at the edge, whatever the scribbles' lengths."""
    image = np.zeros((12, 20, 3), np.uint8)
    image[:, 10:] = 200
    scribbles = np.full((12, 20), 255, np.uint8)
    scribbles[3:5, 1] = 7
    scribbles[8, 12:19] = 0
    got = pc.scribble_labels(image, scribbles)
    expected = np.where(np.arange(20) < 10, 7, 0) * np.ones((12, 1), int)
    np.testing.assert_array_equal(got.semantic, expected)
    np.testing.assert_array_equal(got.objects.label, expected == 7)
    assert got.objects.category.tolist() == [6] and got.objects.area.tolist() == [120]
    assert got.confidence[3, 1] == 1
    wider = scribbles.astype(np.int32)
    np.testing.assert_array_equal(pc.scribble_labels(image, wider).semantic, expected)

    two = pc.scribble_labels(image, None, np.array([[2.0, 2.0], [9.0, 15.0]]))  # of class 0 each
    assert (two.semantic == 1).all()
    np.testing.assert_array_equal(two.objects.label, np.where(expected == 7, 1, 2))
    one = pc.scribble_labels(image, None, np.array([[2.0, 2.0], [9.0, 15.0]]), objects="class")
    assert one.objects.category.tolist() == [0] and (one.objects.label == 1).all()
    near = pc.scribble_labels(image, scribbles, limit=2.5)
    assert near.semantic[11, 0] == 255 and near.semantic[4, 2] == 7
    rest = pc.scribble_labels(image, scribbles, limit=2.5, unreached="background")
    assert rest.semantic[11, 0] == 0
    framed = pc.scribble_labels(image, None, np.array([[6.0, 5.0]]), frame=True)
    assert framed.semantic[0].max() == 0 and framed.semantic[6, 5] == 1
    lines = np.zeros((12, 20), np.float32)
    lines[:, 9:11] = 1
    np.testing.assert_array_equal(
        pc.scribble_labels(None, scribbles, boundary=lines).semantic[:, :9], 7
    )


def test_scribbles_are_checked():
    image = np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(ValueError, match="no cell is marked"):
        pc.scribble_labels(image)
    with pytest.raises(ValueError, match="scribbles"):
        pc.scribble_labels(image, np.full((4, 5), 256, np.int32))
    with pytest.raises(ValueError, match="outside the image"):
        pc.scribble_labels(image, None, np.array([[4.0, 1.0]]))
    with pytest.raises(ValueError, match="objects is 'all'"):
        pc.scribble_labels(image, None, np.array([[1.0, 1.0]]), objects="all")


def test_skeleton_of_a_bar():
    bar = np.zeros((9, 20), np.uint8)
    bar[2:7, 3:17] = 1
    thin = pc.skeleton(bar)
    assert thin.dtype == np.uint8
    assert (thin <= bar).all() and thin.any()
    assert set(np.flatnonzero(thin.any(1))) <= {3, 4, 5}
    for y in range(8):  # no block of 2 x 2 cells: one cell wide
        for x in range(19):
            assert thin[y : y + 2, x : x + 2].sum() < 4
    assert pc.connected(thin, near=8).count == 1
    line = np.zeros((5, 9), np.int32)
    line[2, 1:8] = 4
    np.testing.assert_array_equal(pc.skeleton(line), line)
    both = np.zeros((9, 20), np.int32)
    both[:, :10], both[:, 10:] = 1, 2
    apart = pc.skeleton(both)
    for label in (1, 2):
        alone = pc.skeleton((both == label).astype(np.int32))
        np.testing.assert_array_equal(apart == label, alone == 1)
    np.testing.assert_array_equal(pc.skeleton(pc.connected(bar)), thin)


def test_farthest_points(draw):
    found = pc.connected(draw.random((14, 17)) < 0.7)
    chosen = pc.farthest_points(found, 4)
    assert len(chosen.first) == found.count + 1 and chosen.first[0] == 0
    for label in range(1, found.count + 1):
        own = np.argwhere(found.label == label)
        outside = np.argwhere(np.pad(found.label != label, 1, constant_values=True)) - 1
        depth = np.abs(own[:, None] - outside[None]).sum(2).min(1)
        expected = [own[depth.argmax()]]
        while len(expected) < min(4, len(own)):
            gaps = ((own[:, None] - np.array(expected)[None]) ** 2).sum(2).min(1)
            expected.append(own[gaps.argmax()])
        got = chosen.at[chosen.first[label - 1] : chosen.first[label]]
        np.testing.assert_array_equal(got, expected)
    same = pc.farthest_points(found.label, 4)
    np.testing.assert_array_equal(same.at, chosen.at)
    more = pc.farthest_points(found.label, 1, count=found.count + 2)
    assert len(more.first) == found.count + 3
    with pytest.raises(ValueError, match="most is -1"):
        pc.farthest_points(found, -1)
