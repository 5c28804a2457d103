"""BoxInst's losses of boxes and what they need: against NumPy loops and finite differences."""

import math

import numpy as np
import pytest

import pycambium as pc


@pytest.fixture
def draw():
    return np.random.default_rng(7)


def probability(z):
    return 1 / (1 + np.exp(-z))


def neighbours(size, dilation):
    reach = range(-(size // 2), size // 2 + 1)
    return [(dilation * dy, dilation * dx) for dy in reach for dx in reach if dy or dx]


def projection_by_loops(logits, boxes, smooth=1e-5):
    total = 0.0
    for z, (top, left, bottom, right) in zip(logits, boxes, strict=True):
        p = probability(z)
        for m, begin, end in ((p.max(1), top, bottom), (p.max(0), left, right)):
            t = np.zeros(len(m))
            t[begin:end] = 1
            total += 1 - 2 * (m * t).sum() / ((m * m).sum() + (t * t).sum() + smooth)
    return total / len(logits)


def pairwise_by_loops(logits, boxes, pairs, images, size=3, dilation=2, warm=1.0):
    total, count = 0.0, 0
    _, H, W = logits.shape
    for z, (top, left, bottom, right), image in zip(logits, boxes, images, strict=True):
        p = probability(z)
        for y in range(top, bottom):
            for x in range(left, right):
                for k, (dy, dx) in enumerate(neighbours(size, dilation)):
                    if not pairs[image, y, x] >> k & 1:
                        continue
                    count += 1
                    if 0 <= y + dy < H and 0 <= x + dx < W:
                        a, b = p[y, x], p[y + dy, x + dx]
                        total -= math.log(a * b + (1 - a) * (1 - b))
    return warm * total / max(1, count)


def slopes(loss, logits, step=1e-6):
    out = np.zeros_like(logits)
    for at in np.ndindex(logits.shape):
        up, down = logits.copy(), logits.copy()
        up[at] += step
        down[at] -= step
        out[at] = (loss(up) - loss(down)) / (2 * step)
    return out


BOXES = np.array([[1, 2, 5, 6], [0, 0, 3, 8], [2, 1, 7, 4]])


def test_projection(draw):
    logits = draw.normal(0, 2, (3, 7, 8))
    got = pc.box_projection_loss(logits, BOXES)
    assert got.value == pytest.approx(projection_by_loops(logits, BOXES), rel=1e-12)
    expected = slopes(lambda z: projection_by_loops(z, BOXES), logits)
    np.testing.assert_allclose(got.gradient, expected, atol=1e-8)
    other = pc.box_projection_loss(logits, BOXES.astype(np.int32), smooth=0.5)
    assert other.value == pytest.approx(projection_by_loops(logits, BOXES, 0.5), rel=1e-12)
    single = pc.box_projection_loss(logits.astype(np.float32), BOXES)
    assert single.gradient.dtype == np.float32 and single.value == pytest.approx(
        got.value, rel=1e-5
    )


@pytest.mark.parametrize("size, dilation", [(3, 2), (3, 1), (5, 1)])
def test_pairs(draw, size, dilation):
    logits = draw.normal(0, 2, (3, 7, 8))
    pairs = draw.integers(0, 2 ** (size * size - 1), (2, 7, 8)).astype(np.int32)
    images = [1, 0, 1]
    kind = {"size": size, "dilation": dilation, "warm": 0.25}
    got = pc.pairwise_loss(logits, BOXES, pairs, images=images, **kind)
    expected = pairwise_by_loops(logits, BOXES, pairs, images, **kind)
    assert expected > 0.01 and got.value == pytest.approx(expected, rel=1e-12)
    by = slopes(lambda z: pairwise_by_loops(z, BOXES, pairs, images, **kind), logits)
    np.testing.assert_allclose(got.gradient, by, atol=1e-8)
    single = pc.pairwise_loss(logits.astype(np.float32), BOXES, pairs, images=images, **kind)
    assert single.value == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(single.gradient, by, atol=1e-6)


def test_one_image_needs_no_list(draw):
    logits, pairs = draw.normal(0, 2, (3, 7, 8)), np.full((1, 7, 8), 255, np.int32)
    listed = pc.pairwise_loss(logits, BOXES, pairs, images=np.zeros(3, int))
    assert pc.pairwise_loss(logits, BOXES, pairs).value == listed.value


def test_wrong_arguments_are_named():
    logits, pairs = np.zeros((3, 7, 8), np.float32), np.zeros((1, 7, 8), np.int32)
    with pytest.raises(ValueError, match="pairwise_loss: pairs"):
        pc.pairwise_loss(logits, BOXES, pairs + 256)
    with pytest.raises(ValueError, match="pairwise_loss: pairs"):
        pc.pairwise_loss(logits, BOXES, pairs - 1)
    with pytest.raises(ValueError, match=r"instances\(0\) is in image 1"):
        pc.pairwise_loss(logits, BOXES, pairs, images=[1, 0, 0])
    with pytest.raises(ValueError, match="images has 2 entries of 3 boxes"):
        pc.pairwise_loss(logits, BOXES, pairs, images=[0, 0])
    with pytest.raises(ValueError, match="boxes is int64"):
        pc.box_projection_loss(logits, BOXES[:, :3].copy())
    with pytest.raises(ValueError, match="of a map"):
        pc.box_projection_loss(logits, BOXES + 5)
    with pytest.raises(TypeError, match="boxes"):
        pc.box_projection_loss(logits, BOXES.astype(np.float32))


def lab_of(photograph):
    """sRGB to L*a*b* by its definition, with D65's white."""
    v = photograph.astype(float) / 255
    linear = np.where(v > 0.04045, ((v + 0.055) / 1.055) ** 2.4, v / 12.92)
    matrix = [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
    t = linear @ np.array(matrix).T / [0.95047, 1, 1.08883]
    f = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_colours_and_pairs(draw):
    photograph = draw.integers(100, 116, (26, 31, 3), dtype=np.uint8)
    small = pc.small_photograph(photograph, 4)
    blocks = photograph[:24, :28].reshape(6, 4, 7, 4, 3).astype(int)
    np.testing.assert_array_equal(small, blocks.sum((1, 3)) // 16)
    lab = pc.lab_colours(photograph)
    np.testing.assert_allclose(lab, lab_of(photograph), atol=1e-4)

    counts = (draw.random((26, 31)) < 0.9).astype(np.uint8)
    similarity = pc.colour_similarity(lab, counts, size=5, dilation=1)
    pairs = pc.similar_pairs(lab, counts, size=5, dilation=1, threshold=0.2)
    expected = np.zeros((24, 26, 31))
    for k, (dy, dx) in enumerate(neighbours(5, 1)):
        for y in range(26):
            for x in range(31):
                inside = 0 <= y + dy < 26 and 0 <= x + dx < 31
                if inside and counts[y + dy, x + dx]:
                    difference = lab[:, y, x].astype(float) - lab[:, y + dy, x + dx]
                    expected[k, y, x] = math.exp(-math.sqrt(difference @ difference) / 2)
    np.testing.assert_allclose(similarity, expected, rtol=1e-4, atol=1e-7)
    assert pairs.dtype == np.int32
    bits = (pairs >> np.arange(24)[:, None, None]) & 1
    clear = np.abs(expected - 0.2) > 1e-5
    assert 0 < bits.mean() < 1
    np.testing.assert_array_equal(bits[clear], (expected >= 0.2)[clear])


def test_boxes_and_masks_at_samples(draw):
    H, W, stride = 9, 11, 4
    corners = draw.uniform(-6, 50, (40, 2, 2))
    corners = np.concatenate([corners.min(1), corners.max(1)], 1)
    got = pc.sampled_box(corners, stride, (H, W))
    rows, columns = (stride // 2 + stride * np.arange(n) for n in (H, W))
    for (x1, y1, x2, y2), (top, left, bottom, right) in zip(np.trunc(corners), got, strict=True):
        inside = ((rows >= y1) & (rows <= y2))[:, None] & ((columns >= x1) & (columns <= x2))
        mine = np.zeros((H, W), bool)
        mine[top:bottom, left:right] = True
        np.testing.assert_array_equal(mine, inside)
    with pytest.raises(ValueError, match=r"corners\(0\) are 100, 100, 20, 30; expected x1 <= x2"):
        pc.sampled_box(np.array([[100.0, 100, 20, 30]]), 4, (50, 50))  # x, y, width, height
    mask = (draw.random((26, 31)) < 0.5).astype(np.uint8)
    np.testing.assert_array_equal(pc.sampled_mask(mask, 4), mask[2:24:4, 2:28:4])
    with pytest.raises(ValueError, match="stride is 0"):
        pc.sampled_mask(mask, 0)


def test_aligned_enlargement(draw):
    maps = draw.normal(size=(2, 4, 5))
    got = pc.aligned_bilinear(maps, 4)
    expected = np.zeros((2, 16, 20))
    for y in range(16):
        for x in range(20):
            v, u = max(y - 2, 0) / 4, max(x - 2, 0) / 4
            i, j = min(int(v), 3), min(int(u), 4)
            a, b = (0.0 if i == 3 else v - i), (0.0 if j == 4 else u - j)
            k, m = min(i + 1, 3), min(j + 1, 4)
            above = (1 - b) * maps[:, i, j] + b * maps[:, i, m]
            below = (1 - b) * maps[:, k, j] + b * maps[:, k, m]
            expected[:, y, x] = (1 - a) * above + a * below
    np.testing.assert_allclose(got, expected, atol=1e-12)
    with pytest.raises(ValueError, match="factor"):
        pc.aligned_bilinear(maps, 2**40)


def test_warm_up():
    assert pc.pairwise_warm_up(1, 4) == 0.25 and pc.pairwise_warm_up(9, 4) == 1
    with pytest.raises(ValueError, match="iteration is 0"):
        pc.pairwise_warm_up(0)
