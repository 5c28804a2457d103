"""Instances beside NumPy, pixel by pixel."""

import numpy as np
import pytest
from golden import golden_cases

import pycambium as pc


def gaussian(height, width, y, x, sigma):
    v, u = np.mgrid[:height, :width].astype(np.float64)
    heat = np.exp(-((v - y) ** 2 + (u - x) ** 2) / (2 * sigma**2))
    return np.where((abs(v - y) <= 3 * sigma + 1) & (abs(u - x) <= 3 * sigma + 1), heat, 0)


def test_a_component_with_one_cue_is_an_instance():
    components = np.zeros((30, 40), np.int32)
    components[5:15, 5:15], components[5:15, 20:30], components[20:28, 5:25] = 1, 2, 3
    cues = pc.Points(np.array([[7.0, 8.0], [6.0, 21.0], [9.0, 28.0]]), category=[0, 1, 1])
    got = pc.transfer(components, [0, 1, 0], cues, 2, sigma=3)
    want = components == 1
    np.testing.assert_array_equal(got.weight, want)
    y, x = np.mgrid[:30, :40]
    np.testing.assert_array_equal(got.offset, np.where(want, np.stack([9 - y, 9 - x]), 0))
    np.testing.assert_allclose(got.centre[0], gaussian(30, 40, 9, 9, 3), atol=1e-6)
    assert not got.centre[1].any()
    split = pc.transfer(components, [0, 1, 0], cues, 2, sigma=3, several="split")
    np.testing.assert_array_equal(split.weight, (components == 1) | (components == 2))
    nothing = pc.transfer(components, [0, -1, 0], np.zeros((0, 2)), 2)
    assert not nothing.weight.any() and "weight=(30, 40)" in repr(nothing)


def test_centre_maps():
    got = pc.centre_map(
        pc.Points(np.array([[4.0, 5.0], [9.0, 9.0], [99.0, 1.0]]), category=[0, 0, 1]),
        2,
        (12, 14),
        sigma=2,
    )
    want = np.maximum(gaussian(12, 14, 4, 5, 2), gaussian(12, 14, 9, 9, 2))
    np.testing.assert_allclose(got[0], want, atol=1e-6)
    assert got.shape == (2, 12, 14) and not got[1].any()


def test_groups_are_measured_and_scored(rng):
    ids = rng.integers(0, 4, (9, 8)).astype(np.int32)
    ids[ids == 2] = 0
    response, probability = rng.random((2, 9, 8)).astype(np.float32)
    got = pc.measure_groups(ids, 3, response, probability)
    for k in (1, 3):
        y, x = np.nonzero(ids == k)
        best = np.argmax(response[ids == k])
        assert got.area[k - 1] == len(y) and got.response[k - 1] == response[ids == k].max()
        assert got.at[k - 1].tolist() == [y[best], x[best]]
        assert got.bounds[k - 1].tolist() == [y.min(), x.min(), y.max() + 1, x.max() + 1]
        np.testing.assert_allclose(
            got.probability[k - 1], probability[ids == k].mean(dtype=np.float64), rtol=1e-12
        )
    assert got.area[1] == 0 and got.response[1] == -np.inf and len(got) == 3
    scored = pc.score_groups(ids, got, [5, 6, 7])
    assert scored.category.tolist() == [5, 7]
    np.testing.assert_allclose(scored.score, (got.response * got.probability)[[0, 2]])
    np.testing.assert_array_equal(scored.label, np.array([0, 1, 0, 2])[ids])
    np.testing.assert_allclose(
        pc.score_groups(ids, got, [0, 0, 0], by="class_only").score, got.probability[[0, 2]]
    )


def test_refine_leads_groups_to_their_response():
    regions = np.zeros((20, 30), np.int32)
    regions[4:14, 4:24] = 1
    ids = regions.copy()
    ids[4:14, 14:24] = 2
    response, probability = np.zeros((20, 30), np.float32), np.full((20, 30), 0.5, np.float32)
    response[6, 7], response[8, 18] = 0.8, 0.1
    groups = pc.measure_groups(ids, 2, response, probability)
    got = pc.refine(regions, [0], ids, [0, 2], groups, 1, sigma=2)
    y, x = np.mgrid[:20, :30]
    to = np.where(
        ids == 1, [[[6]], [[7]]], [[[8]], [[13]]]
    )  # the second is below the threshold: the region's mean
    np.testing.assert_array_equal(got.offset, np.where(ids > 0, to - np.stack([y, x]), 0))
    np.testing.assert_allclose(
        got.weight, np.where(ids == 1, 0.4, np.where(ids == 2, 0.5, 0)), atol=1e-7
    )
    assert got.centre[0, 6, 7] == 1 and got.centre[0, 8, 13] == 1
    assert not pc.refine(regions, [0], ids, [0, 2], groups, 1, most=1).weight.any()


def test_cells_are_led_to_points(rng):
    ids = rng.integers(0, 3, (6, 7)).astype(np.int32)
    points = np.array([[1.5, 2.0], [4.0, 3.25]])
    offset, weight = pc.lead_to_points(ids, points)
    np.testing.assert_array_equal(weight, ids > 0)
    y, x = np.mgrid[:6, :7]
    for k in (1, 2):
        np.testing.assert_allclose(
            offset[:, ids == k], (points[k - 1][:, None, None] - np.stack([y, x]))[:, ids == k]
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_are_separated(rng, dtype):
    scores, ids = rng.random((2, 5, 6)).astype(dtype), rng.integers(0, 3, (5, 6)).astype(np.int32)
    got = pc.separate(scores, ids, 3)
    assert got.dtype == dtype
    np.testing.assert_array_equal(
        got.reshape(2, 3, 5, 6), scores[:, None] * (ids == np.arange(3)[:, None, None])
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pixels_choose_a_channel(rng, dtype):
    scores = rng.random((3, 6, 7)).astype(dtype)
    got = pc.assign(scores, (6, 7), stride=1, background=0.4)
    scaled = scores / scores.max()
    best = np.concatenate([np.full((1, 6, 7), 0.4, dtype), scaled])
    np.testing.assert_array_equal(got.channel, best.argmax(0))
    np.testing.assert_allclose(got.score, best.max(0), rtol=1e-6)
    grouped = pc.assign(scores, (6, 7), groups=[1, 2, 1], scale="group", stride=1)
    top = np.array([max(scores[0].max(), scores[2].max()), scores[1].max()])[[0, 1, 0], None, None]
    np.testing.assert_allclose(grouped.score, np.maximum(0.25, (scores / top).max(0)), rtol=1e-6)
    empty = pc.assign(np.zeros((2, 3, 3), dtype), (12, 12), empty="first_channel")
    assert (empty.channel == 1).all()


def test_components_are_detected(rng):
    labels = rng.integers(0, 4, (8, 9)).astype(np.int32)
    labels[:, 0] = 4
    scores = rng.random((8, 9)).astype(np.float32)
    got = pc.detect(labels, [7, 8, 9, 7], scores, smallest=9, small="drop")
    area = np.bincount(labels.ravel(), minlength=5)[1:]
    kept = np.flatnonzero(area >= 9)
    assert (
        got.category.tolist() == np.array([7, 8, 9, 7])[kept].tolist()
        and got.area.tolist() == area[kept].tolist()
    )
    np.testing.assert_allclose(got.score, [scores[labels == k + 1].max() for k in kept])
    assert pc.detect(labels, [7, 8, 9, 7], scores, smallest=9).score[3] == 0


@pytest.mark.parametrize("case", golden_cases("bestie", "cc.cv2"))
def test_components_are_opencvs(case):
    labels = case["labels"]
    found = pc.connected(labels != 0, near=case.params["connectivity"])
    if case.params["connectivity"] == 8:
        found = pc.reorder(found, "blocks")
    assert found.count + 1 == case.params["count"]
    np.testing.assert_array_equal(found.label, labels)
    measured, stats = pc.statistics(found), case["stats"]
    np.testing.assert_array_equal(measured.area, stats[:, 4])
    box = measured.bounds
    sides = np.stack([box[:, 1], box[:, 0], box[:, 3] - box[:, 1], box[:, 2] - box[:, 0]], axis=1)
    np.testing.assert_array_equal(sides[measured.area > 0], stats[measured.area > 0, :4])
    np.testing.assert_allclose(measured.centroid[1:, ::-1], case["centroids"][1:], atol=1e-9)


def energy(unary, weights, labels, smoothness):
    cost = np.take_along_axis(unary, labels[None], 0).sum(dtype=np.float64)
    cost += smoothness * weights[0][:, :-1][labels[:, 1:] != labels[:, :-1]].sum(dtype=np.float64)
    return cost + smoothness * weights[1][:-1][labels[1:] != labels[:-1]].sum(dtype=np.float64)


def test_a_cut_of_two_labels_is_the_best_of_all(rng):
    try:
        pc.graph_cut(np.zeros((1, 1, 1), np.float32), np.zeros((2, 1, 1), np.float32))
    except RuntimeError as error:
        assert "built without Boost.Graph" in str(error)
        pytest.skip(str(error))
    for _ in range(5):
        unary = rng.normal(size=(2, 3, 4)).astype(np.float32)
        weights = rng.random((2, 3, 4)).astype(np.float32)
        got = pc.graph_cut(unary, weights, smoothness=0.7)
        every = [(n >> np.arange(12) & 1).reshape(3, 4) for n in range(4096)]
        best = min(energy(unary, weights, labels, 0.7) for labels in every)
        np.testing.assert_allclose(
            [got.energy, energy(unary, weights, got.label, 0.7)], best, atol=1e-5
        )
        assert got.settled and got.rounds == 1
        start = rng.integers(0, 2, (3, 4)).astype(np.int32)
        again = pc.graph_cut(
            unary, weights, start=start, smoothness=0.7, offsets=np.array([[0, 1], [1, 0]])
        )
        np.testing.assert_allclose(again.energy, best, atol=1e-5)
    with pytest.raises(ValueError, match="graph_cut: offsets is int64"):
        pc.graph_cut(unary, weights, offsets=np.zeros((2, 3), np.int64))
    with pytest.raises(ValueError, match="graph_cut: smoothness is -1"):
        pc.graph_cut(unary, weights, smoothness=-1)
    with pytest.raises(ValueError, match="more than most_bytes"):
        pc.graph_cut(unary, weights, most_bytes=10)


def test_errors_name_the_argument():
    zeros = np.zeros((4, 4), np.int32)
    with pytest.raises(ValueError, match="transfer: sup is 'x'"):
        pc.transfer(zeros, [], np.zeros((0, 2)), 1, sup="x")
    with pytest.raises(ValueError, match="transfer: sigma is 0"):
        pc.transfer(zeros, [], np.zeros((0, 2)), 1, sigma=0)
    with pytest.raises(ValueError, match=r"transfer: a cue at \(9"):
        pc.transfer(zeros, [], np.array([[9.0, 1.0]]), 1)
    with pytest.raises(TypeError, match="score_groups: groups is list; expected GroupMeasures"):
        pc.score_groups(zeros, [], [])
    with pytest.raises(ValueError, match="separate: count is -1"):
        pc.separate(np.zeros((1, 4, 4), np.float32), zeros, -1)
    with pytest.raises(ValueError, match="assign: stride is 0"):
        pc.assign(np.zeros((1, 4, 4), np.float32), (4, 4), stride=0)
    with pytest.raises(ValueError, match="do not cover an image of 99 x 4"):
        pc.assign(np.zeros((1, 4, 4), np.float32), (99, 4))
    with pytest.raises(ValueError, match=r"detect: label\(0,0\) is 3, outside 0..2"):
        pc.detect(np.full((2, 2), 3, np.int32), [1, 2], np.zeros((2, 2), np.float32))
