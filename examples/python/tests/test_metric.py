"""Metrics against their definitions in NumPy, and COCO's against pycocotools."""

import threading

import numpy as np
import pytest

import pycambium as pc


@pytest.fixture
def label_maps(rng):
    predicted = rng.integers(0, 4, (2, 31, 43))
    truth = np.where(
        rng.random(predicted.shape) < 0.7, predicted, rng.integers(0, 4, predicted.shape)
    )
    truth[:, 5:8] = 255
    predicted[:, 20, ::3] = 255
    return predicted.astype(np.int32), truth


# --- confusion ---------------------------------------------------------------------------------


@pytest.mark.parametrize("unsure", ["background", "missed", "dropped"])
@pytest.mark.parametrize("integers", [np.uint8, np.int32, np.int64])
def test_confusion(label_maps, unsure, integers):
    matrix = pc.ConfusionMatrix(5)
    expected = np.zeros((5, 6), np.int64)
    for p, t in zip(*label_maps, strict=True):
        matrix.accumulate(p.astype(integers), t, unsure=unsure)
        counts = (t != 255) & ((p != 255) | (unsure != "dropped"))
        have = np.where(p == 255, 0 if unsure == "background" else 5, p)
        np.add.at(expected, (t[counts], have[counts]), 1)
    np.testing.assert_array_equal(matrix.count, expected)
    both = np.diag(expected[:, :5]).astype(float)
    either = expected.sum(axis=1) + expected[:, :5].sum(axis=0) - both
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(matrix.class_iou(), both / either)
    assert np.isnan(matrix.class_iou()[4])
    assert matrix.mean_iou() == pytest.approx(np.nanmean(matrix.class_iou()), rel=1e-14)
    assert matrix.classes == 5


def test_a_wrong_label_leaves_the_matrix_unchanged(label_maps):
    predicted, truth = label_maps[0][0], label_maps[1][0].copy()
    matrix = pc.ConfusionMatrix(4)
    truth[30, 42] = 4
    with pytest.raises(
        ValueError, match=r"accumulate: truth\(30,42\) is 4 but there are 4 classes"
    ):
        matrix.accumulate(predicted, truth)
    assert not matrix.count.any()
    with pytest.raises(ValueError, match="expected one of 'background', 'missed', 'dropped'"):
        matrix.accumulate(predicted, predicted, unsure="perhaps")
    with pytest.raises(ValueError, match=r"predicted is \[31,43\] but truth is \[30,43\]"):
        matrix.accumulate(predicted, truth[:30])
    for classes in (0, -1, 8193):
        with pytest.raises(
            ValueError, match=f"ConfusionMatrix: classes is {classes}; expected 1 to 8192"
        ):
            pc.ConfusionMatrix(classes)


def test_threads_share_a_matrix():
    matrix, ones = pc.ConfusionMatrix(2), np.ones((64, 64), np.uint8)

    def add():
        for _ in range(50):
            matrix.accumulate(ones, ones)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert matrix.count[1, 1] == 4 * 50 * 64 * 64


# --- instances ---------------------------------------------------------------------------------


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


def test_mask_iou_and_label_iou(rng):
    predicted, truth = rng.integers(0, 5, (20, 30)).astype(np.int32), rng.integers(0, 4, (20, 30))
    p_masks = np.stack([predicted == i for i in range(1, 5)])
    t_masks = np.stack([truth == i for i in range(1, 4)])
    expected = np.array([[overlap(a, b) for b in t_masks] for a in p_masks]).astype(np.float32)
    np.testing.assert_array_equal(pc.mask_iou(p_masks, t_masks), expected)
    np.testing.assert_array_equal(pc.label_iou(predicted, truth), expected)
    np.testing.assert_array_equal(pc.mask_iou(p_masks.astype(np.uint8) * 7, t_masks), expected)
    more = pc.label_iou(predicted, truth, predicted_objects=5, truth_objects=3)
    assert np.array_equal(more[:4], expected) and not more[4].any()
    truth[3] = -9
    known = truth != -9
    expected = np.array([[overlap(a & known, b & known) for b in t_masks] for a in p_masks])
    np.testing.assert_array_equal(
        pc.label_iou(predicted, truth, ignore=-9), expected.astype(np.float32)
    )
    assert pc.mask_iou(p_masks[:0], t_masks).shape == (0, 3)
    assert np.isnan(pc.mask_iou(np.zeros((1, 2, 2), bool), np.zeros((1, 2, 2), bool))[0, 0])


def test_label_iou_errors(rng):
    labels = np.ones((4, 4), np.int32)
    with pytest.raises(ValueError, match=r"label_iou: cell \(0,0\) is object 1 of 0 predicted"):
        pc.label_iou(labels, labels, predicted_objects=0)
    with pytest.raises(ValueError, match="predicted_objects is -1; expected 0 to"):
        pc.label_iou(labels, labels, predicted_objects=-1)
    with pytest.raises(ValueError, match="truth_objects is .*; expected 0 to"):
        pc.label_iou(labels, labels, truth_objects=2**70)
    with pytest.raises(ValueError, match="too many pairs"):
        pc.label_iou(labels, labels, predicted_objects=2**20, truth_objects=2**20)
    with pytest.raises(TypeError, match="predicted_objects is float; expected an integer or None"):
        pc.label_iou(labels, labels, predicted_objects=1.5)


def random_images(rng, images=6, classes=3):
    out = []
    for _ in range(images):
        p, t = int(rng.integers(0, 6)), int(rng.integers(0, 5))
        out.append(
            (
                rng.integers(0, classes, p),
                rng.random(p).astype(np.float32),
                rng.integers(0, classes, t),
                rng.random((p, t)).astype(np.float32),
            )
        )
    return out


def average_precision(images, c, threshold, voc07):
    """VOC's AP of one class, as chainercv computes it."""
    scores, hits, positives = [], [], 0
    for predicted, score, truth, iou in images:
        mine, theirs = np.flatnonzero(predicted == c), np.flatnonzero(truth == c)
        positives += len(theirs)
        free = np.ones(len(theirs), bool)
        for i in mine[np.argsort(-score[mine], kind="stable")]:
            hit = False
            if len(theirs):
                best = np.argmax(iou[i, theirs])
                if iou[i, theirs[best]] >= np.float32(threshold):
                    hit, free[best] = free[best], False
            scores.append(score[i])
            hits.append(hit)
    if positives == 0:
        return np.nan
    true = (
        np.array(hits, bool)[np.argsort(-np.array(scores), kind="stable")]
        if hits
        else np.zeros(0, bool)
    )
    precision = np.cumsum(true) / np.arange(1, len(true) + 1)
    recall = np.cumsum(true) / positives
    if voc07:
        steps = np.arange(11) * 0.1
        return np.mean([precision[recall >= s].max(initial=0) for s in steps])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return np.sum(np.diff(recall, prepend=0) * envelope)


@pytest.mark.parametrize("form", ["area", "voc07"])
def test_instance_ap(rng, form):
    images = random_images(rng)
    results = [pc.ImageResult(*each) for each in images]
    several = pc.instance_ap(results, [0.25, 0.5, 0.75], form=form)
    for threshold, got in zip((0.25, 0.5, 0.75), several, strict=True):
        expected = [average_precision(images, c, threshold, form == "voc07") for c in range(3)]
        np.testing.assert_allclose(got.of_class, expected, rtol=1e-12)
        assert got.mean == pytest.approx(np.nanmean(expected), rel=1e-12)
        assert pc.instance_ap(results, threshold, form=form).mean == got.mean


def test_average_best_overlap(rng):
    images = random_images(rng)
    got = pc.average_best_overlap([pc.ImageResult(*each) for each in images])
    of_class = []
    for c in range(3):
        best = [
            iou[predicted == c, j].max(initial=0)
            for predicted, _, truth, iou in images
            for j in np.flatnonzero(truth == c)
        ]
        of_class.append(np.mean(np.array(best, np.float64)))
    np.testing.assert_allclose(got.of_class, of_class, rtol=1e-12)
    assert got.mean == pytest.approx(np.mean(of_class))


def test_lists_are_taken_and_mistakes_are_named():
    result = pc.ImageResult([1], [0.5], [1, 0], [[0.75, 0.0]])
    assert pc.instance_ap([result], 0.5).of_class.tolist() == [0.0, 1.0]
    assert np.isnan(pc.instance_ap([], 0.5).mean)
    with pytest.raises(TypeError, match=r"instance_ap: images\[1\] is dict; expected ImageResult"):
        pc.instance_ap([result, {}], 0.5)
    with pytest.raises(TypeError, match="instance_ap: images is .*ImageResult; expected a list"):
        pc.instance_ap(result, 0.5)
    with pytest.raises(ValueError, match=r"threshold is 2, outside \[0,1\]"):
        pc.instance_ap([result], 2)
    for threshold in (np.float32(0.5), np.float64(0.5), np.array(0.5), np.array(0.5, np.float16)):
        assert pc.instance_ap([result], threshold).of_class.tolist() == [0.0, 1.0]
    assert pc.instance_ap([result], np.int64(1)).of_class.tolist() == [0.0, 0.0]
    assert len(pc.instance_ap([result], np.array([0.5, 0.75]))) == 2
    with pytest.raises(ValueError, match=r"ImageResult: iou is 1.7, outside \[0,1\]"):
        pc.ImageResult([0], [0.5], [0], [[1.7]])
    with pytest.raises(ValueError, match="has 1 predictions but 2 scores"):
        pc.ImageResult([1], [0.5, 0.5], [1], [[0.5]])
    with pytest.raises(ValueError, match="1 predictions and 1 true objects but overlaps"):
        pc.ImageResult([1], [0.5], [1], np.zeros((2, 2)))
    with pytest.raises(
        TypeError, match=r"ImageResult: predicted is float64 \(1,\); expected integers"
    ):
        pc.ImageResult([1.5], [0.5], [1], [[0.5]])
    with pytest.raises(ValueError, match="a class of image 0 is -1"):
        pc.ImageResult([-1], [0.5], [1], [[0.5]])
    with pytest.raises(ValueError, match="predicted has numbers that int32 cannot hold"):
        pc.ImageResult([2**40], [0.5], [1], [[0.5]])
    with pytest.raises(ValueError, match="score .* NaN"):
        pc.ImageResult([1], [np.nan], [1], [[0.5]])


# --- COCO --------------------------------------------------------------------------------------


def ellipse(rng, height, width):
    y, x = np.mgrid[:height, :width]
    cy, cx = rng.uniform(0, height), rng.uniform(0, width)
    return ((y - cy) / rng.uniform(3, height / 2)) ** 2 + (
        (x - cx) / rng.uniform(3, width / 2)
    ) ** 2 < 1


def random_set(rng, images=12):
    """Objects, and detections that are objects moved by some cells, and noise."""
    dataset = {
        "images": [],
        "annotations": [],
        "categories": [{"id": i, "name": str(i)} for i in (9, 3, 5)],
    }
    results = []
    for i in range(images):
        height, width = 150, 130
        dataset["images"].append(
            {"id": 100 - i, "height": height, "width": width, "file_name": f"{i}.jpg"}
        )
        for _ in range(rng.integers(0, 6)):
            mask, category = ellipse(rng, height, width), int(rng.choice([3, 5, 9]))
            crowd = int(rng.random() < 0.1)
            rle = pc.encode_rle(mask)
            dataset["annotations"].append(
                {
                    "id": len(dataset["annotations"]) + 1,
                    "image_id": 100 - i,
                    "category_id": category,
                    "segmentation": rle,
                    "iscrowd": crowd,
                    "area": float(mask.sum()),
                    "bbox": pc.rle_box(rle).tolist(),
                }
            )
            for _ in range(rng.integers(0, 3)):
                moved = np.roll(mask, rng.integers(-4, 5, 2), axis=(0, 1))
                results.append((100 - i, category, moved, round(rng.random(), 2)))
        results.append(
            (100 - i, int(rng.choice([3, 5])), ellipse(rng, height, width), round(rng.random(), 2))
        )
    return dataset, [
        {"image_id": i, "category_id": c, "segmentation": pc.encode_rle(m), "score": s}
        for i, c, m, s in results
    ]


def test_coco_ap_is_pycocotools(rng, capsys):
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    dataset, results = random_set(rng)
    truth = coco.COCO()
    truth.dataset = {**dataset, "info": {}}
    truth.createIndex()
    evaluation = cocoeval.COCOeval(truth, truth.loadRes([dict(r) for r in results]), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    capsys.readouterr()

    pairs = pc.coco_pairs(dataset, results)
    scores = pc.coco_ap(pairs, len(dataset["categories"]))
    assert (scores.precision > 0.1).any()
    np.testing.assert_array_equal(scores.precision, evaluation.eval["precision"])
    np.testing.assert_array_equal(scores.recall, evaluation.eval["recall"])
    np.testing.assert_allclose(list(scores.summarise().values()), evaluation.stats, rtol=1e-12)
    assert scores.average_precision() == scores.summarise()["ap"]
    assert scores.average_precision(threshold=0.5) == scores.summarise()["ap50"]
    assert scores.average_recall(limit=0) == scores.summarise()["ar1"]
    one = scores.precision[:, :, 1, 0, 2]
    assert scores.average_precision(category=1) == pytest.approx(one[one > -1].mean(), rel=1e-12)


def test_coco_ap_of_arrays():
    """Two detections of one object: the better one is the hit, whatever its place."""
    pair = pc.CocoPair(0, [0.2, 0.9], [50.0, 50.0], [50.0], [False], [[0.8], [0.6]])
    scores = pc.coco_ap(
        [pair], 1, thresholds=[0.5, 0.7], areas=[(0, 1e5)], detections=[10], recall_points=11
    )
    assert scores.precision.shape == (2, 11, 1, 1, 1)
    np.testing.assert_allclose(scores.precision[0, :, 0, 0, 0], 1)
    np.testing.assert_allclose(scores.precision[1, :, 0, 0, 0], 0.5)
    assert not scores.precision.flags.writeable
    precision = scores.precision
    del scores
    np.testing.assert_allclose(precision[0], 1)


def test_coco_errors():
    pair = pc.CocoPair(1, [0.5], [1.0], [1.0], [0], [[1.0]])
    with pytest.raises(ValueError, match="coco_ap: pair 0 is of category 1, outside 0..0"):
        pc.coco_ap([pair], 1)
    with pytest.raises(ValueError, match="numbers of precision are too many"):
        pc.coco_ap([], 10**9)
    with pytest.raises(ValueError, match="thresholds are not in ascending order"):
        pc.coco_ap([pair], 2, thresholds=[0.7, 0.5])
    with pytest.raises(ValueError, match=r"coco_ap: areas is \[1,3\]; expected \[A,2\]"):
        pc.coco_ap([pair], 2, areas=[(0, 1, 2)])
    with pytest.raises(TypeError, match=r"coco_ap: pairs\[0\] is int; expected CocoPair"):
        pc.coco_ap([1], 2)
    with pytest.raises(ValueError, match="summarise: 4 ranges of areas and 1 limits"):
        pc.coco_ap([pair], 2, detections=[5]).summarise()
    with pytest.raises(ValueError, match="0.51 is not one of the thresholds"):
        pc.coco_ap([pair], 2).average_precision(threshold=0.51)


# --- outlines ----------------------------------------------------------------------------------


def outline(mask):
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    right, below, both = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:].copy()
    changes = (right != mask) | (below != mask)
    inner = np.zeros_like(mask)
    inner[:-1, :-1] = (both != mask)[:-1, :-1]
    return changes | inner


def hits(of, other, radius):
    places, targets = np.argwhere(of), np.argwhere(other)
    if len(places) == 0 or len(targets) == 0:
        return 0
    squares = ((places[:, None] - targets[None]) ** 2).sum(axis=2)
    return int((squares.min(axis=1) <= radius**2).sum())


def test_boundary_f(rng):
    y, x = np.mgrid[:40, :50]
    truth = ((y - 15) ** 2 + (x - 20) ** 2 < 120).astype(np.int32) + 2 * (x > 40)
    predicted = np.roll(truth, (1, 2), axis=(0, 1))
    got = pc.boundary_f(predicted, truth, 4, tolerance=1.5)
    for c in range(3):
        mine, theirs = outline(predicted == c), outline(truth == c)
        assert (got.predicted[c], got.truth[c]) == (mine.sum(), theirs.sum())
        assert got.predicted_hits[c] == hits(mine, theirs, 1.5)
        assert got.truth_hits[c] == hits(theirs, mine, 1.5)
        p, r = hits(mine, theirs, 1.5) / mine.sum(), hits(theirs, mine, 1.5) / theirs.sum()
        assert (got.precision[c], got.recall[c]) == pytest.approx((p, r))
        assert got.f[c] == pytest.approx(2 * p * r / (p + r) if p + r > 0 else 0)
    assert np.isnan(got.f[3])
    assert got.mean_f == pytest.approx(np.nanmean(got.f))
    assert 0 < got.mean_f < 1
    assert pc.boundary_f(truth, truth, 4).mean_f == 1
    with pytest.raises(ValueError, match="boundary_f: classes is 0"):
        pc.boundary_f(truth, truth, 0)
    with pytest.raises(ValueError, match="boundary_f: tolerance is nan"):
        pc.boundary_f(truth, truth, 4, tolerance=np.nan)
    with pytest.raises(
        ValueError, match=r"boundary_f: predicted\(0,41\) is 2 but there are 2 classes"
    ):
        pc.boundary_f(truth, truth, 2)


def inner_band(mask, width):
    padded = np.pad(mask, width)
    eroded = np.ones_like(mask)
    for dy in range(2 * width + 1):
        for dx in range(2 * width + 1):
            eroded &= padded[dy : dy + mask.shape[0], dx : dx + mask.shape[1]]
    return mask & ~eroded


def test_boundary_iou(rng):
    y, x = np.mgrid[:60, :80]
    a, b = (y - 30) ** 2 + (x - 40) ** 2 < 500, (y - 32) ** 2 + (x - 41) ** 2 < 450
    for ratio, width in ((0.02, 2), (0.05, 5)):
        expected = overlap(inner_band(a, width), inner_band(b, width))
        assert pc.boundary_iou(a, b, ratio=ratio) == pytest.approx(expected, rel=1e-14)
    assert np.isnan(pc.boundary_iou(a & False, a & False))
    with pytest.raises(ValueError, match=r"boundary_iou: ratio is 2, outside \[0,1\]"):
        pc.boundary_iou(a, b, ratio=2)
