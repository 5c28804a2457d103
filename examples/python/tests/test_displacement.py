import numpy as np
import pytest

import pycambium as pc
from golden import golden_cases


def traced(field, iterations):
    """Steps with a float32 state and interpolation in float64, as NumPy promotes in irn."""
    height, width = field.shape[1:]
    y, x = np.indices((height, width)).astype(np.float32)
    for _ in range(iterations):
        ly, lx = np.floor(y).astype(np.int32), np.floor(x).astype(np.int32)
        uy, ux = np.minimum(ly + 1, height - 1), np.minimum(lx + 1, width - 1)
        fy, fx = y - ly, x - lx  # float64
        step = [
            d[uy, ux] * fy * fx
            + d[ly, ux] * (1 - fy) * fx
            + d[uy, lx] * fy * (1 - fx)
            + d[ly, lx] * (1 - fy) * (1 - fx)
            for d in field
        ]
        y, x = (
            np.clip((p + s).astype(np.float32), 0, n - 1)
            for p, s, n in ((y, step[0], height), (x, step[1], width))
        )
    return np.stack([y, x])


def test_trace_takes_the_steps_of_the_original(rng):
    field = rng.normal(size=(2, 11, 13)).astype(np.float32) * 2
    for iterations in (0, 1, 7, 100):
        np.testing.assert_array_equal(
            pc.trace(field, iterations=iterations), traced(field, iterations)
        )
    assert pc.trace(field.astype(np.float64)).dtype == np.float64
    pc.trace(field, precision="single")
    for wrong, says in (
        ({"iterations": -1}, "iterations is -1"),
        ({"precision": "half"}, "trace: precision is 'half'; expected one of 'mixed', 'single'"),
    ):
        with pytest.raises(ValueError, match=says):
            pc.trace(field, **wrong)
    with pytest.raises(ValueError, match=r"trace: displacement is \[3,2,2\] instead of \[2,H,W\]"):
        pc.trace(np.zeros((3, 2, 2), np.float32))
    with pytest.raises(ValueError, match="trace: displacement"):
        pc.trace(np.full((2, 2, 2), np.nan, np.float32))


def test_weak_field_and_nearest_cells():
    field = np.array([[[1.5, 3]], [[2, 4]]], np.float32)
    np.testing.assert_array_equal(pc.weak_field(field, threshold=2.5), [[0, 0]])
    np.testing.assert_array_equal(pc.weak_field(field, threshold=2.6), [[1, 0]])
    at = np.array([[[0.5, 1.5, 2.5]], [[0.49, 0.51, 3]]])
    np.testing.assert_array_equal(pc.nearest_cells(at), np.round(at))
    with pytest.raises(ValueError, match="weak_field: threshold is 0"):
        pc.weak_field(field, threshold=0)


def test_cluster_numbers_the_regions_in_use(rng):
    regions = rng.integers(0, 6, (5, 7)).astype(np.int32)
    centroids = np.stack([rng.integers(0, 5, (5, 7)), rng.integers(0, 7, (5, 7))]).astype(np.int32)
    reached = regions[centroids[0], centroids[1]]
    used, want = np.unique(reached, return_inverse=True)
    got = pc.cluster(regions, centroids)
    assert len(got) == got.count == len(used)
    np.testing.assert_array_equal(got.id, want.reshape(5, 7))
    assert repr(got) == f"InstanceMap(count={len(used)}, id=(5, 7))"
    centroids[0, 2, 3] = 5
    with pytest.raises(
        ValueError, match=r"cluster: centroid of \(2,3\) is \(5,\d\), outside the map"
    ):
        pc.cluster(regions, centroids)
    with pytest.raises(ValueError, match="cluster: the largest region is 2147483647"):
        pc.cluster(np.full((1, 1), 2**31 - 1, np.int32), np.zeros((2, 1, 1), np.int32))


@pytest.mark.parametrize("case", golden_cases("irnet", "s4_centroids"))
def test_centroids_of_the_original(case):
    field = case["dp"]
    params = case.params
    end = pc.nearest_cells(pc.trace(field, iterations=params["iterations"]))
    np.testing.assert_array_equal(end, case["centroids"])
    weak = pc.weak_field(field, threshold=params["thres"])
    np.testing.assert_array_equal(weak != 0, case["dp_label"] != 0)
    clusters = pc.cluster(case["dp_label"].astype(np.int32), end)
    np.testing.assert_array_equal(clusters.id, case["cluster_map"])


def nearest(offset, regions, at, first):
    out = np.zeros(regions.shape, np.int32)
    for y, x in np.argwhere(regions > 0):
        begin, end = first[regions[y, x] - 1 : regions[y, x] + 1]
        if end > begin:
            away = np.hypot(
                at[begin:end, 0] - y - offset[0, y, x], at[begin:end, 1] - x - offset[1, y, x]
            )
            out[y, x] = begin + 1 + away.argmin()
    return out


def test_group_pixels_goes_to_the_nearest_centre(rng):
    offset = rng.normal(size=(2, 9, 8)).astype(np.float32)
    regions = rng.integers(0, 4, (9, 8)).astype(np.int32)
    at, first = rng.random((5, 2)) * 8, [0, 3, 3, 5]
    got = pc.group_pixels(offset, regions, pc.RegionCentres(at, first))
    np.testing.assert_array_equal(got, nearest(offset, regions, at, first))
    everywhere = np.ones((9, 8), np.int32)
    want = nearest(offset, everywhere, at, [0, 5])
    np.testing.assert_array_equal(pc.group_pixels(offset, None, at), want)
    np.testing.assert_array_equal(pc.group_pixels(offset, None, pc.Points(at)), want)
    with pytest.raises(
        TypeError, match="group_pixels: centres is numpy.ndarray; expected RegionCentres"
    ):
        pc.group_pixels(offset, regions, at)
    with pytest.raises(TypeError, match="group_pixels: centres is NoneType"):
        pc.group_pixels(offset, regions, None)
    with pytest.raises(ValueError, match="group_pixels: region"):
        pc.group_pixels(offset, regions, pc.RegionCentres(at, [0, 5]))
    with pytest.raises(ValueError, match=r"group_pixels: a centre is at \(nan,nan\)"):
        pc.group_pixels(offset, None, np.full((1, 2), np.nan))


def test_region_centres():
    centres = pc.RegionCentres(np.array([[1, 2], [3, 4.0]]), [0, 1, 2], score=np.array([0.5, 2]))
    assert repr(centres) == "RegionCentres(2 in 2 regions)"
    np.testing.assert_array_equal(np.c_[centres.at, centres.score], [[1, 2, 0.5], [3, 4, 2]])
    np.testing.assert_array_equal(centres.first, [0, 1, 2])
    for first in ([], [0], [0, 3], [1, 2], [0, 2, 1, 2]):
        with pytest.raises(ValueError, match="RegionCentres: first does not divide 2 items"):
            pc.RegionCentres(np.zeros((2, 2)), first)


def test_find_centres_by_region(rng):
    response = rng.random((10, 12)).astype(np.float32)
    regions = np.repeat(np.arange(3), 4)[None].repeat(10, 0).astype(np.int32)
    kernel, threshold = 5, 0.3
    want = []
    for region in (1, 2):
        own = np.where(regions == region, response, -np.inf)
        padded = np.pad(own, kernel // 2, constant_values=-np.inf)
        top = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel)).max(axis=(2, 3))
        want.append(np.argwhere((own == top) & (own > threshold)))
    got = pc.find_centres(response, regions, kernel=kernel, threshold=threshold)
    np.testing.assert_array_equal(got.at, np.concatenate(want))
    np.testing.assert_array_equal(got.first, np.cumsum([0] + [len(w) for w in want]))
    y, x = got.at.astype(int).T
    np.testing.assert_array_equal(got.score, response[y, x])
    assert len(pc.find_centres(response, regions, 7, kernel=kernel).first) == 8
    for count, says in (
        (1, "region"),
        (-1, "count is -1; expected 0 to 16777216"),
        (2**40, "count is 1099511627776"),
    ):
        with pytest.raises(ValueError, match="find_centres: " + says):
            pc.find_centres(response, regions, count)


def test_discs_become_centres_and_join():
    offset = np.indices((40, 40)).astype(np.float32)
    offset = np.stack([10 - offset[0], 12 - offset[1]])  # all cells are led to (10,12)
    regions = np.ones((40, 40), np.int32)
    weak = pc.weak_cells(regions, offset)
    y, x = np.indices((40, 40))
    disc = np.hypot(y - 10, x - 12) < 2.5
    np.testing.assert_array_equal(weak, disc)
    assert pc.disc_area(2.5) == disc.sum() == 21
    discs = pc.disc_centres(weak, regions, outside=False)
    np.testing.assert_array_equal(discs.at, [[10, 12]])
    assert len(pc.disc_centres(weak, regions, radius=4, outside=False)) == 0
    response = np.zeros((40, 40), np.float32)
    response[30, 30], response[10, 12] = 1, 0.2
    found = pc.find_centres(response, regions, threshold=0.5)
    joined, marked = pc.join_centres(found, discs, regions, response, apart=20)
    np.testing.assert_array_equal(joined.at, [[30, 30], [10, 12]])
    assert response[10, 12] == np.float32(0.2) and marked[10, 12] == 1
    joined, marked = pc.join_centres(found, discs, regions, response, apart=30)
    np.testing.assert_array_equal(joined.at, [[30, 30]])
    np.testing.assert_array_equal(marked, response)
    with pytest.raises(
        TypeError, match="join_centres: further is NoneType; expected RegionCentres"
    ):
        pc.join_centres(found, None, regions, response)
    response[3, 4] = np.nan
    with pytest.raises(ValueError, match=r"join_centres: response\(3,4\) is nan"):
        pc.join_centres(found, discs, regions, response)
    response[3, 4] = 0
    with pytest.raises(ValueError, match="join_centres: centres of 1 and of 2 regions"):
        pc.join_centres(found, pc.RegionCentres(discs.at, [0, 1, 1]), regions, response)


def test_offsets(rng):
    a, b = rng.normal(size=(2, 2, 4, 5))
    np.testing.assert_allclose(pc.scale_offsets(a, 2, 3), a * np.array([2, 3])[:, None, None])
    turned = b[..., ::-1] * np.array([1, -1])[:, None, None]
    np.testing.assert_allclose(pc.mean_with_mirrored_offsets(a, b), (a + turned) / 2)
    with pytest.raises(ValueError, match="scale_offsets: factors are nan and 1"):
        pc.scale_offsets(a, np.nan, 1)
