"""BESTIE's stages: golden cases of the original, and small pictures."""

import numpy as np
import pytest
from golden import golden_cases

import pycambium as pc


def present(row):
    return np.flatnonzero(row.reshape(-1)).tolist()


@pytest.mark.parametrize("case", golden_cases("bestie", "labels.pseudo"))
def test_pseudo_labels_are_the_originals(case):
    rows = case["points"]
    cues = pc.Points(rows[:, 1::-1].astype(np.float64), category=rows[:, 2])
    sup = "point" if case.params["sup"] == "point" else "image"
    got = pc.bestie_pseudo_labels(
        case["seg_map"],
        present(case["cls_label"]),
        cues,
        case.params["num_classes"],
        sup=sup,
        sigma=case.params["sigma"],
        smallest=case.params["min_size"],
    )
    for array, name in (
        (got.centre, "center_map"),
        (got.offset, "offset_map"),
        (got.weight, "weight_map"),
    ):
        case.close(array.reshape(case[name].shape), name)


@pytest.mark.parametrize("case", golden_cases("bestie", "labels.refine"))
def test_refined_labels_are_the_originals(case):
    got = pc.bestie_refined_labels(
        case["seg_logits"],
        case["center"],
        case["offset"],
        case["gt_seg"].astype(np.int32),
        [present(row) for row in case["label"]],
        sigma=case.params["sigma"],
        threshold=case.params["refine_thresh"],
        most=case.params["max_instances"],
        smallest=case.params["min_size"],
        kernel=case.params["kernel"],
        beta=case.params["beta"],
    )
    parts = (
        (got.centre, "refined_center"),
        (got.offset, "refined_offset"),
        (got.weight, "refined_weight"),
    )
    for array, name in parts:
        case.close(array.reshape(case[name].shape), name)


@pytest.mark.parametrize("case", golden_cases("bestie", "labels.refine_point"))
def test_refined_offsets_are_the_originals(case):
    clicks, labels = case["gt_point"], case["label"]
    offsets, weights = [], []
    for b in range(len(clicks)):
        rows = [(y, x, k) for k, of in enumerate(clicks[b]) for y, x in of]
        points = pc.Points(
            np.array([r[:2] for r in rows], np.float64).reshape(-1, 2),
            category=[r[2] for r in rows],
        )
        offset, weight = pc.bestie_refined_offsets(
            case["offset"][b],
            case["gt_seg"][b].astype(np.int32),
            present(labels[b]),
            points,
            labels.shape[1],
        )
        offsets.append(offset)
        weights.append(weight)
    case.close(np.stack(offsets).reshape(case["refined_offset"].shape), "refined_offset")
    case.close(np.stack(weights).reshape(case["refined_weight"].shape), "refined_weight")


def picture():
    """Two squares of class 0 that touch, each with a centre and offsets that lead to it."""
    seg = np.full((2, 40, 60), -5, np.float32)
    centre, offset = np.zeros((1, 40, 60), np.float32), np.zeros((2, 40, 60), np.float32)
    seg[0] = 5
    y, x = np.mgrid[:40, :60]
    for left, at in ((10, 15), (20, 25)):
        square = (y >= 10) & (y < 20) & (x >= left) & (x < left + 10)
        seg[:, square] = np.array([[-5], [5]])
        centre[0, 15, at] = 0.9
        offset[:, square] = np.stack([15 - y, at - x])[:, square]
    return seg, centre, offset


def test_touching_objects_become_two_instances():
    got = pc.bestie_instances(*picture())
    assert got.semantic.dtype == np.int32 and (got.semantic[10:20, 10:30] == 1).all()
    assert len(got.objects) == 2 and got.objects.category.tolist() == [0, 0]
    assert got.objects.area.tolist() == [100, 100]
    label = got.objects.label
    assert len(np.unique(label[10:20, 10:20])) == 1 and len(np.unique(label[10:20, 20:30])) == 1
    np.testing.assert_allclose(got.objects.score, 0.9 / (1 + np.exp(-10)), rtol=1e-5)
    assert len(pc.bestie_instances(*picture(), classes=[]).objects) == 0
    mirror = tuple(m[..., ::-1].copy() for m in picture())
    mirror[2][1] *= -1
    again = pc.bestie_instances(*picture(), flipped=mirror, offsets="mean")
    np.testing.assert_array_equal(again.objects.label, label)


def test_instances_at_clicks():
    clicks = pc.Points(np.array([[15.0, 15.0], [15.0, 25.0]]))
    got = pc.bestie_instances_at(*picture(), [0], clicks)
    assert got.objects.area.tolist() == [100, 100]
    assert (got.objects.label[10:20, 20:30] == 2).all()


def test_refined_labels_of_a_batch():
    seg, centre, offset = (m[None] for m in picture())
    semantic = np.zeros((1, 40, 60), np.int32)
    semantic[0, 10:20, 10:30] = 1
    got = pc.bestie_refined_labels(seg, centre, offset, semantic, [[0]])
    assert got.centre.shape == (1, 1, 40, 60) and got.weight.shape == (1, 40, 60)
    assert got.centre[0, 0, 15, 15] == 1 and got.centre[0, 0, 15, 25] == 1
    y, x = np.mgrid[10:20, 10:30]
    np.testing.assert_array_equal(
        got.offset[0, :, 10:20, 10:30], np.stack([15 - y, np.where(x < 20, 15, 25) - x])
    )
    assert (got.weight[0] > 0).sum() == 200


def test_peaks_are_cues():
    maps = np.zeros((2, 20, 20), np.float32)
    maps[1, 5, 12] = 4
    got = pc.bestie_peaks(maps, maps[..., ::-1].copy(), (20, 20), [1])
    assert got.category.tolist() == [1] * len(got) and len(got) >= 1
    assert np.abs(got.at - [5, 12]).max() <= 1


def test_errors_name_the_argument():
    seg, centre, offset = picture()
    with pytest.raises(
        ValueError, match=r"bestie_instances: logits are \[2,40,60\], centres \[1,40,60\]"
    ):
        pc.bestie_instances(seg, centre, offset[:, :39].copy())
    with pytest.raises(
        TypeError, match=r"bestie_instances: flipped is numpy.ndarray|flipped is int; expected"
    ):
        pc.bestie_instances(seg, centre, offset, flipped=3)
    with pytest.raises(ValueError, match="bestie_instances: class 1 is outside 0..0"):
        pc.bestie_instances(seg, centre, offset, classes=[1])
    with pytest.raises(ValueError, match="bestie_instances: alone is 'x'"):
        pc.bestie_instances(seg, centre, offset, alone="x")
    with pytest.raises(ValueError, match="kernel is 4"):
        pc.bestie_instances(seg, centre, offset, kernel=4)
    seg[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"\(0,0,0\) is nan"):
        pc.bestie_instances(seg, centre, offset)
    with pytest.raises(ValueError, match="bestie_pseudo_labels: C is -1"):
        pc.bestie_pseudo_labels(np.zeros((4, 4), np.uint8), [], np.zeros((0, 2)), -1)
    with pytest.raises(TypeError, match="bestie_refined_labels: classes is NoneType"):
        pc.bestie_refined_labels(
            *(m[None] for m in picture()), np.zeros((1, 40, 60), np.int32), None
        )


def test_clicks_off_the_map_are_refused():
    seg, centre, offset = picture()
    labels = np.zeros((40, 60), np.int32)
    labels[10:20, 10:30] = 1
    for at in ([15.0, 60.0], [40.0, 15.0], [-1.0, 15.0], [1e300, 2.0], [15.0, np.nan]):
        clicks = np.array([[15.0, 15.0], at])
        says = r"clicks: a point at .* is off the map of 40 x 60"
        with pytest.raises(ValueError, match="bestie_instances_at: " + says):
            pc.bestie_instances_at(seg, centre, offset, [0], clicks)
        with pytest.raises(ValueError, match="bestie_refined_offsets: " + says):
            pc.bestie_refined_offsets(offset, labels, [0], clicks, 1)
