"""Sets of masks beside NumPy."""

import numpy as np
import pytest

import pycambium as pc


@pytest.fixture
def cells(rng):
    """Rectangles, noise, an empty and a full mask."""
    out = np.zeros((14, 23, 70), bool)
    for mask in out[:10]:
        y, x = rng.integers(0, 23), rng.integers(0, 70)
        mask[y : y + rng.integers(1, 15), x : x + rng.integers(1, 40)] = True
    out[10:12] = rng.random((2, 23, 70)) < 0.3
    out[13] = True
    return out


def shared(a, b):
    return a.reshape(len(a), -1).astype(np.int64) @ b.reshape(len(b), -1).T.astype(np.int64)


def iou(a, b):
    both = shared(a, b)
    either = a.sum((1, 2))[:, None] + b.sum((1, 2))[None] - both
    return np.where(both > 0, both / np.maximum(either, 1), 0)


def greedy(overlap, scores, threshold, categories=None):
    kept = []
    for i in np.argsort(-scores, kind="stable"):
        same = [k for k in kept if categories is None or categories[k] == categories[i]]
        if all(overlap[k, i] <= threshold for k in same):
            kept.append(i)
    return kept


def test_packing(cells):
    masks = pc.pack_masks(cells)
    assert len(masks) == 14 and masks.size == (23, 70)
    np.testing.assert_array_equal(pc.unpack_masks(masks), cells)
    np.testing.assert_array_equal(masks.area, cells.sum((1, 2)))
    for bounds, mask in zip(masks.bounds, cells):
        y, x = np.nonzero(mask)
        want = (y.min(), x.min(), y.max() + 1, x.max() + 1) if len(y) else (0, 0, 0, 0)
        assert tuple(bounds) == want
    logits = np.where(cells, 2.0, 1.0).astype(np.float32)
    np.testing.assert_array_equal(pc.unpack_masks(pc.pack_masks(logits, above=1.0)), cells)
    chosen = pc.select_masks(masks, [3, 3, 0])
    np.testing.assert_array_equal(pc.unpack_masks(chosen), cells[[3, 3, 0]])
    assert masks.nbytes < 14 * 23 * 16 + 14 * 64


def test_run_lengths(cells):
    masks = pc.pack_masks(cells)
    runs = pc.masks_to_rle(masks)
    assert runs == pc.encode_rle(cells)
    np.testing.assert_array_equal(pc.unpack_masks(pc.pack_rle(runs)), cells)
    assert len(pc.pack_rle([], size=(3, 4))) == 0
    with pytest.raises(ValueError, match="no masks; expected a size"):
        pc.pack_rle([])


@pytest.mark.parametrize("threads", [1, 3])
def test_pairs(cells, threads):
    masks, few = pc.pack_masks(cells), pc.pack_masks(cells[:4])
    np.testing.assert_array_equal(
        pc.pairwise_intersection(masks, threads=threads), shared(cells, cells)
    )
    np.testing.assert_array_equal(pc.pairwise_iou(masks, threads=threads), iou(cells, cells))
    np.testing.assert_array_equal(pc.pairwise_iou(few, masks), iou(cells[:4], cells))
    area = np.maximum(cells.sum((1, 2)), 1)[:, None]
    np.testing.assert_array_equal(pc.pairwise_containment(masks), shared(cells, cells) / area)
    with pytest.raises(TypeError, match="others is int; expected a MaskSet"):
        pc.pairwise_iou(masks, 3)


def test_suppression(cells, rng):
    masks, scores = pc.pack_masks(cells), rng.permutation(14) / 14
    kinds = rng.integers(0, 2, 14)
    for threshold in (0.0, 0.3, 0.7):
        got = pc.mask_nms(masks, scores, threshold=threshold)
        assert got.tolist() == greedy(iou(cells, cells), scores, threshold)
        got = pc.mask_nms(masks, scores, threshold=threshold, categories=kinds)
        assert got.tolist() == greedy(iou(cells, cells), scores, threshold, kinds)
    places, soft = pc.soft_nms(masks, scores, min_score=0.0)
    assert sorted(places.tolist()) == list(range(14)) and (np.diff(soft) <= 1e-12).all()
    places, decayed = pc.matrix_nms(masks, scores, kernel="linear")
    assert (decayed <= scores[places] + 1e-12).all() and decayed[0] == scores.max()
    assert len(pc.mask_nms(masks, scores, boxes=True)) >= 1
    with pytest.raises(ValueError, match="13 scores but 14 masks"):
        pc.mask_nms(masks, scores[1:])


def test_regions_and_scores(rng):
    mask = np.zeros((1, 12, 20), bool)
    mask[0, 2:9, 2:9] = True
    mask[0, 4, 4] = False
    mask[0, 11, 19] = True
    filled, had_hole = pc.remove_small_regions(pc.pack_masks(mask), 2)
    cleaned, had_island = pc.remove_small_regions(filled, 2, mode="islands")
    assert had_hole.tolist() == had_island.tolist() == [1]
    assert pc.unpack_masks(cleaned).sum() == 49
    clean, kept = pc.clean_masks(pc.pack_masks(mask), 2)
    assert kept.tolist() == [0] and clean.area.tolist() == [49]
    logits = rng.normal(0, 2, (3, 9, 9)).astype(np.float32)
    logits[2] = -9
    want = [(x > 1).sum() / max((x > -1).sum(), 1) for x in logits]
    np.testing.assert_allclose(pc.stability_score(logits), want)


def test_painting_and_classes(cells, rng):
    masks = pc.pack_masks(cells)
    np.testing.assert_array_equal(pc.mask_coverage(masks), cells.sum(0))
    want = np.zeros(masks.size, np.int32)
    for i in np.argsort(-cells.sum((1, 2)), kind="stable"):
        want[cells[i]] = i + 1
    np.testing.assert_array_equal(pc.paint_masks(masks), want)
    maps = rng.random((3, 23, 70)).astype(np.float32)
    category, mean = pc.vote_by_maps(masks, maps, background=0.1)
    for i, mask in enumerate(cells):
        if not mask.any():
            assert category[i] == -1
            continue
        means = maps[:, mask].astype(np.float64).mean(1)
        assert category[i] == means.argmax() and mean[i] == pytest.approx(means.max())
    labels = np.zeros(masks.size, np.uint8)
    labels[:, :35] = 2
    category, share = pc.vote_by_labels(masks, labels, background=0.5)
    for i, mask in enumerate(cells):
        inside = (mask & (labels == 2)).sum() / max(mask.sum(), 1)
        assert category[i] == (1 if inside > 0.5 else -1)
        assert share[i] == (inside if inside > 0.5 else 0)
    none = pc.pack_masks(np.zeros((0, 23, 70), bool))
    np.testing.assert_array_equal(pc.merge_masks(none, labels), labels)
    one = np.zeros((1, 23, 70), bool)
    one[0, :, 20:40] = True  # three quarters in class 2
    merged = pc.merge_masks(pc.pack_masks(one), labels)
    np.testing.assert_array_equal(merged == 2, (labels == 2) & ~one[0] | one[0])
    points = np.array([[5.0, 5.0], [22.0, 69.0]])
    chosen = pc.choose_by_points(pc.pack_masks(one), [1.0], points)
    assert chosen.tolist() == [-1, -1]
    assert pc.choose_by_points(pc.pack_masks(one), [1.0], np.array([[3.0, 21.0]])).tolist() == [0]
