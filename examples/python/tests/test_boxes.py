"""Box supervision beside NumPy."""

import numpy as np
import pytest

import pycambium as pc


def expected(mean, log_variance, boxes, tau_lo, tau_hi, confidence, unsure):
    """The rule for each cell, without what boxes put back."""
    inside = np.zeros(mean.shape, bool)
    for top, left, bottom, right in boxes:
        inside[max(top, 0) : bottom, max(left, 0) : right] = True
    sigma = np.exp(log_variance.astype(np.float64) / 2)
    logit = mean / np.sqrt(1 + np.pi / 8 * sigma**2)
    background = inside & (
        ((mean < 0) & (1 / (1 + np.exp(-logit)) <= 1 - confidence)) | (sigma > tau_hi)
    )
    foreground = inside & ~background & (mean > 0) & (sigma < tau_lo)
    target, trusted = inside.astype(np.float32), np.where(inside, 2, 1).astype(np.uint8)
    target[background], trusted[background], trusted[foreground] = 0, 1, 1
    if unsure == "ignore":
        rest = inside & ~background & ~foreground
        target[rest], trusted[rest] = 0, 0
    return target, trusted, background, foreground


@pytest.mark.parametrize("unsure", ["keep_box", "ignore"])
def test_cells_become_what_the_network_is_sure_of(rng, unsure):
    mean = rng.normal(0, 4, (20, 25)).astype(np.float32)
    log_variance = rng.normal(0, 1.5, (20, 25)).astype(np.float32)
    boxes = np.array([[2, 3, 12, 15], [8, 10, 30, 40]])
    got = pc.bootstrap(mean, log_variance, boxes, 5, unsure=unsure, min_fill=0.0, tight=False)
    target, trusted, background, foreground = expected(mean, log_variance, boxes, 1, 4, 0.9, unsure)
    np.testing.assert_array_equal(got.target, target)
    np.testing.assert_array_equal(got.trusted, trusted)
    assert (got.foreground, got.background, got.restored) == (foreground.sum(), background.sum(), 0)


def test_a_box_keeps_its_share_and_its_sides(rng):
    mean, log_variance = np.full((20, 20), -9, np.float32), np.full((20, 20), -3, np.float32)
    box = np.array([[4, 5, 14, 15]])
    filled = pc.bootstrap(mean, log_variance, box, 0, min_fill=0.3, tight=False)
    assert filled.target.sum() == 30 and filled.restored == 30
    tight = pc.bootstrap(mean, log_variance, box, 0, min_fill=0.0).target[4:14, 5:15]
    assert tight.any(axis=0).all() and tight.any(axis=1).all()
    off = pc.bootstrap(mean, log_variance, box, 0, mode="off")
    assert off.target.sum() == 100 and (off.trusted[4:14, 5:15] == 2).all()
    waiting = pc.bootstrap(mean, log_variance, box, 9, warm_up=10)
    np.testing.assert_array_equal(waiting.target, off.target)
    assert pc.bootstrap(mean, log_variance, None, 0).target.sum() == 0


def test_the_loss_of_a_batch(rng):
    mean = rng.normal(0, 1, (2, 1, 9, 8)).astype(np.float32)
    log_variance = rng.normal(-1, 0.5, (2, 1, 9, 8)).astype(np.float32)
    boxes = [np.array([[1, 1, 6, 5]]), None]
    got = pc.box_supervision(mean, log_variance, 0, boxes=boxes, mode="off")
    target = np.zeros((2, 1, 9, 8), np.float32)
    target[0, 0, 1:6, 1:5] = 1
    np.testing.assert_array_equal(got.target, target)
    assert (got.boxed, got.certain) == (20, 124) and got.trusted.shape == (2, 1, 9, 8)
    kappa = 1 / np.sqrt(1 + np.pi / 8 * np.exp(log_variance.astype(np.float64)))
    z = mean * np.where(target == 1, kappa, 1)  # only boxed cells are softened
    loss = np.log1p(np.exp(-z)) * target + np.log1p(np.exp(z)) * (1 - target)
    np.testing.assert_allclose(got.value, loss.mean(), rtol=1e-4)
    step = 1e-2
    for at in ((0, 0, 2, 2), (1, 0, 4, 4)):
        moved = mean.copy()
        moved[at] += step
        up = pc.box_supervision(moved, log_variance, 0, boxes=boxes, mode="off").value
        np.testing.assert_allclose((up - got.value) / step, got.by_mean[at], rtol=0.05, atol=2e-5)


def test_masks_are_certain(rng):
    mean, log_variance = np.zeros((1, 3, 4, 4), np.float32), np.zeros((1, 1, 4, 4), np.float32)
    mask = np.full((4, 4), 255, np.int32)
    mask[0], mask[1] = 1, 2
    ignored = np.zeros((4, 4), bool)
    ignored[3] = True
    got = pc.box_supervision(
        mean,
        log_variance,
        0,
        boxes=[np.array([[2, 0, 3, 4]])],
        categories=[[1]],
        mask=[mask],
        ignored=[ignored],
        classes="mean_field",
        mode="off",
    )
    assert got.trusted[0, 0].tolist() == [[1] * 4, [1] * 4, [2] * 4, [0] * 4]
    assert got.target[0].argmax(0)[:3].tolist() == [[1] * 4, [2] * 4, [2] * 4]


def test_errors_name_the_argument():
    mean = np.zeros((4, 4), np.float32)
    with pytest.raises(ValueError, match="bootstrap: boxes is"):
        pc.bootstrap(mean, mean, np.zeros((2, 3), np.int64), 0)
    with pytest.raises(ValueError, match="bootstrap: iteration -1"):
        pc.bootstrap(mean, mean, None, -1)
    with pytest.raises(ValueError, match="bootstrap: mode is 'x'"):
        pc.bootstrap(mean, mean, None, 0, mode="x")
    with pytest.raises(ValueError, match="bootstrap: tau_lo is 5"):
        pc.bootstrap(mean, mean, None, 0, tau_lo=5.0)
    batch = np.zeros((2, 1, 4, 4), np.float32)
    with pytest.raises(ValueError, match="box_supervision: boxes has 1 entries of 2 images"):
        pc.box_supervision(batch, batch, 0, boxes=[None])
    with pytest.raises(ValueError, match="category of box 0 is 1"):
        pc.box_supervision(
            batch, batch, 0, boxes=[np.array([[0, 0, 1, 1]]), None], categories=[[1], None]
        )
    with pytest.raises(ValueError, match="box_supervision: samples is 0"):
        pc.box_supervision(batch, batch, 0, samples=0)


def test_boxes_that_are_none():
    mean = np.zeros((18, 27), np.float32)
    batch = mean[None, None]
    for boxes, error, says in (
        (np.array([[0.9, 0.2, 1.7, 2.9]]), TypeError, "boxes is float64 .*expected dtype int64"),
        (np.array([[0.0, 0, 2, 3]]), TypeError, "boxes is float64 .*expected dtype int64"),
        (np.array([[5, 5, 1, 1]]), ValueError, r"boxes\(0\) has rows 5..1 and columns 5..1"),
        (np.array([[1, 5, 3, 4]]), ValueError, r"boxes\(0\) has rows 1..3 and columns 5..4"),
    ):
        with pytest.raises(error, match="bootstrap: " + says):
            pc.bootstrap(mean, mean, boxes, 0)
        with pytest.raises(error, match="box_supervision: " + says):
            pc.box_supervision(batch, batch, 0, boxes=[boxes])
    with pytest.raises(ValueError, match=r"boxes\(0,1\) is 0.2; expected a whole number"):
        pc.bootstrap(mean, mean, np.array([[0, 0.2, 2, 3]]), 0, copy=True)
    want = pc.bootstrap(mean, mean, np.array([[1, 2, 4, 6]]), 0, mode="off").target
    assert want.sum() == 12
    for given in (np.array([[1, 2, 4, 6]], np.int32), np.array([[1.0, 2, 4, 6]])):
        got = pc.bootstrap(mean, mean, given, 0, mode="off", copy=given.dtype == float)
        np.testing.assert_array_equal(got.target, want)
    for empty in (np.zeros((0, 4)), np.zeros((0, 4), np.int64)):
        assert pc.bootstrap(mean, mean, empty, 0).target.sum() == 0
    outside = np.array([[-3, 20, 2, 40], [30, 30, 40, 40]])
    assert pc.bootstrap(mean, mean, outside, 0, mode="off").target.sum() == 14
