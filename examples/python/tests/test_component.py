"""Components beside a flood fill and sums in NumPy."""

from collections import deque

import numpy as np
import pytest

import pycambium as pc


def filled(height, width, near, inside, joins):
    """Labels by filling from each cell in raster order."""
    out = np.zeros((height, width), np.int32)
    around = [(-1, 0), (0, -1), (0, 1), (1, 0)] + (near == 8) * [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    count = 0
    for start in np.ndindex(height, width):
        if out[start] or not inside(start):
            continue
        count += 1
        out[start] = count
        queue = deque([start])
        while queue:
            here = queue.popleft()
            for dy, dx in around:
                there = (here[0] + dy, here[1] + dx)
                if 0 <= there[0] < height and 0 <= there[1] < width and not out[there]:
                    if inside(there) and joins(here, there):
                        out[there] = count
                        queue.append(there)
    return out, count


def check(found, wanted):
    labels, count = wanted
    assert found.count == count == len(found)
    assert found.label.dtype == np.int32
    np.testing.assert_array_equal(found.label, labels)


@pytest.mark.parametrize("near", [4, 8])
@pytest.mark.parametrize("threads", [1, 3])
def test_masks(rng, near, threads):
    for height, width in ((1, 1), (1, 70), (40, 1), (33, 64), (50, 129)):
        for density in (0.1, 0.5, 0.7):
            mask = rng.random((height, width)) < density
            want = filled(height, width, near, lambda p: mask[p], lambda p, q: True)
            check(pc.connected(mask, near=near, threads=threads), want)
            check(pc.connected(mask.view(np.uint8) * 7, near=near, threads=threads), want)


@pytest.mark.parametrize("vectors", ["baseline", "avx2", "avx512"])
def test_large_masks_of_all_instruction_sets(rng, vectors):
    mask = rng.random((700, 400)) < 0.55
    want = pc.connected(mask, near=8, threads=1)
    pc.set_vectors(vectors)
    try:
        got = pc.connected(mask, near=8, threads=2)
    finally:
        pc.set_vectors("avx512")
    assert got.count == want.count
    np.testing.assert_array_equal(got.label, want.label)


@pytest.mark.parametrize("near", [4, 8])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_labels(rng, near, dtype):
    labels = rng.integers(0, 3, (30, 67)).astype(dtype)
    for background in (0, 2):
        want = filled(
            30, 67, near, lambda p: labels[p] != background, lambda p, q: labels[p] == labels[q]
        )
        check(pc.connected_equal(labels, near=near, background=background), want)


@pytest.mark.parametrize("near", [4, 8])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64])
def test_values_within_a_difference(rng, near, dtype):
    values = rng.integers(0, 9, (20, 21)).astype(dtype)
    for delta in (0, 1, 2.5):
        near_by = lambda p, q: abs(float(values[p]) - float(values[q])) <= delta  # noqa: E731
        check(
            pc.connected_within(values, delta, near=near),
            filled(20, 21, near, lambda p: True, near_by),
        )
        check(
            pc.connected_within(values, delta, near=near, background=3),
            filled(20, 21, near, lambda p: values[p] != 3, near_by),
        )


def test_values_that_are_not_numbers_stand_alone():
    values = np.full((2, 2), np.nan, np.float32)
    assert pc.connected_within(values, 1e9).count == 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cells_below_a_boundary(rng, dtype):
    boundary = rng.random((17, 19)).astype(dtype)
    want = filled(17, 19, 8, lambda p: boundary[p] < dtype(0.6), lambda p, q: True)
    check(pc.connected_below(boundary, 0.6, near=8), want)


def test_statistics(rng):
    labels = rng.integers(0, 5, (13, 11)).astype(np.int32)
    labels[labels == 3] = 0
    scores = rng.random((13, 11)).astype(np.float32)
    scores[labels == 2] = -1
    scores[0, 0] = np.nan
    got = pc.statistics(labels, count=6, scores=scores)
    assert len(got) == 7 and "7 entries" in repr(got)
    for i in range(7):
        y, x = np.nonzero(labels == i)
        assert got.area[i] == len(y)
        if len(y) == 0:
            assert (got.bounds[i] == 0).all() and got.largest[i] == -np.inf
            continue
        assert got.bounds[i].tolist() == [y.min(), x.min(), y.max() + 1, x.max() + 1]
        np.testing.assert_allclose(got.centroid[i], [y.mean(), x.mean()], rtol=1e-12)
        assert got.largest[i] == np.nanmax(scores[labels == i])
    assert len(pc.statistics(labels)) == 5
    assert (pc.statistics(labels).largest == -np.inf).all()


def test_small_components_are_dropped(rng):
    found = pc.connected(rng.random((30, 30)) < 0.5)
    area = np.bincount(found.label.ravel(), minlength=found.count + 1)
    table = np.zeros(found.count + 1, np.int32)
    kept = np.flatnonzero(area[1:] >= 4) + 1
    table[kept] = np.arange(1, len(kept) + 1)
    for given in (found, found.label):
        got = pc.drop_small(given, 4)
        assert got.count == len(kept)
        np.testing.assert_array_equal(got.label, table[found.label])
    np.testing.assert_array_equal(pc.relabel(found.label, table), table[found.label])


def test_orders(rng):
    found = pc.connected(rng.random((31, 30)) < 0.3, near=8)
    got = pc.reorder(found, "blocks")
    first = {}
    for y, x in np.ndindex(found.label.shape):
        label = int(found.label[y, x])
        if label:
            first[label] = min(first.get(label, (99, 99)), (y // 2, x // 2))
    table = np.zeros(found.count + 1, np.int32)
    for i, label in enumerate(sorted(first, key=lambda k: first[k])):
        table[label] = i + 1
    np.testing.assert_array_equal(got.label, table[found.label])
    np.testing.assert_array_equal(pc.reorder(got, "raster").label, found.label)


def test_growth_stays_in_its_region():
    cores = np.array([[1, 0, 0, 0, 2], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]], np.int32)
    regions = np.array([[1, 1, 1, 1, 1], [1, 0, 2, 2, 1], [1, 1, 1, 1, 1]], np.uint8)
    got = pc.grow(cores, regions)
    assert got.count == 2
    assert got.label.tolist() == [[1, 1, 1, 2, 2], [1, 0, 0, 0, 2], [1, 1, 1, 2, 2]]


def test_components_of_an_array():
    label = np.array([[0, 2], [1, 1]], np.int32)
    found = pc.Components(label, count=4)
    label[0, 0] = 9
    assert found.count == 4 and found.label.tolist() == [[0, 2], [1, 1]]
    assert repr(found) == "Components(4, label=(2, 2))"
    assert pc.Components(found.label).count == 2
    with pytest.raises(ValueError, match=r"Components: label\(0,0\) is 9, outside 0..2"):
        pc.Components(label, count=2)


def test_nothing_has_no_components():
    for shape in ((0, 0), (0, 5), (5, 0)):
        assert pc.connected(np.zeros(shape, np.uint8)).count == 0
        assert len(pc.statistics(np.zeros(shape, np.int32))) == 1
        assert pc.drop_small(np.zeros(shape, np.int32), 3).label.shape == shape


def test_errors_name_the_argument():
    mask = np.zeros((4, 4), np.uint8)
    with pytest.raises(ValueError, match="connected: near is 6; expected 4 or 8"):
        pc.connected(mask, near=6)
    with pytest.raises(TypeError, match="connected: mask is float32"):
        pc.connected(mask.astype(np.float32))
    with pytest.raises(ValueError, match="connected: mask is uint8 .* with 3 axes"):
        pc.connected(mask[None])
    with pytest.raises(ValueError, match="connected_equal: background is 256"):
        pc.connected_equal(mask, background=256)
    with pytest.raises(ValueError, match="connected_within: delta is -1"):
        pc.connected_within(mask, -1)
    with pytest.raises(ValueError, match="connected_within: delta is nan"):
        pc.connected_within(mask, float("nan"))
    with pytest.raises(ValueError, match="connected_below: threshold is nan"):
        pc.connected_below(mask.astype(np.float32), float("nan"))
    labels = np.zeros((2, 2), np.int32)
    labels[0, 1] = -1
    with pytest.raises(ValueError, match=r"statistics: label\(0,1\) is -1"):
        pc.statistics(labels)
    with pytest.raises(ValueError, match="drop_small: found: count is 2147483647; expected 0 to"):
        pc.drop_small(np.full((2, 2), 2**31 - 1, np.int32), 1)
    with pytest.raises(ValueError, match="statistics: labels: count is -3"):
        pc.statistics(labels, count=-3)
    with pytest.raises(
        ValueError, match="reorder: order is 'up'; expected one of 'raster', 'blocks'"
    ):
        pc.reorder(labels, "up")
    with pytest.raises(ValueError, match=r"relabel: label\(0,1\) is -1, outside 0..0"):
        pc.relabel(labels, np.zeros(1, np.int32))
    with pytest.raises(ValueError, match="grow: labels are"):
        pc.grow(labels * 0, np.zeros((3, 3), np.uint8))
    with pytest.raises(TypeError, match="grow: found is NoneType"):
        pc.grow(None, labels)


def test_tensors():
    torch = pytest.importorskip("torch")
    mask = torch.tensor([[1, 0], [0, 1]], dtype=torch.uint8)
    assert pc.connected(mask, near=8).count == 1


def test_growth_of_labels_that_are_none():
    regions = np.ones((1, 3), np.int32)
    with pytest.raises(ValueError, match=r"grow: found.* -5"):
        pc.grow(np.array([[-5, 0, 1]], np.int32), regions)
    found = pc.Components(np.array([[1, 0, 2]], np.int32))
    found.label[0, 0] = 10**8
    with pytest.raises(ValueError, match=r"grow: found.* 100000000"):
        pc.grow(found, regions)
