"""Losses against their definitions in NumPy, and gradients against finite differences."""

import numpy as np
import pytest

import pycambium as pc


def slopes(value, at, step=1e-6):
    """The gradient of value(array) by central differences, cell by cell."""
    out = np.empty_like(at)
    for i in np.ndindex(at.shape):
        up, down = at.copy(), at.copy()
        up[i] += step
        down[i] -= step
        out[i] = (value(up) - value(down)) / (2 * step)
    return out


def same_slopes(got, value, at):
    np.testing.assert_allclose(got, slopes(value, at), atol=2e-8, rtol=2e-6)


@pytest.fixture
def guided(rng):
    output, target = rng.normal(size=(2, 2, 3, 3, 4))
    weight = rng.random((2, 1, 3, 4)) * (rng.random((2, 1, 3, 4)) < 0.7)
    return output, target, weight


# --- cross entropy -----------------------------------------------------------------------------


def pixel_losses(logits, labels):
    largest = logits.max(axis=1, keepdims=True)
    normaliser = largest[:, 0] + np.log(np.exp(logits - largest).sum(axis=1))
    known = np.where(labels == 255, 0, labels)
    at_label = np.take_along_axis(logits, known[:, None], axis=1)[:, 0]
    return np.where(labels == 255, 0, normaliser - at_label)


def hardest(logits, labels, fraction, of):
    losses, counts = pixel_losses(logits, labels), labels != 255
    pool = np.ones(labels.shape, bool) if of == "all" else counts
    k = max(1, int(fraction * pool.sum()))
    order = np.sort(losses[pool])[::-1]
    return order[:k].sum() / k, k


@pytest.mark.parametrize("integers", [np.int32, np.int64, np.uint8])
def test_cross_entropy(rng, integers):
    logits = rng.normal(size=(2, 4, 3, 5)) * 3
    labels = rng.integers(0, 4, (2, 3, 5)).astype(integers)
    labels[0, 1, :3] = 255
    got = pc.cross_entropy(logits, labels)
    assert got.pixels == 27
    assert got.value == pytest.approx(pixel_losses(logits, labels).sum() / 27, rel=1e-13)
    assert got.gradient.dtype == np.float64
    assert np.all(got.gradient[0, :, 1, :3] == 0)
    same_slopes(got.gradient, lambda z: pc.cross_entropy(z, labels).value, logits)
    in_float = pc.cross_entropy(logits.astype(np.float32), labels)
    assert in_float.gradient.dtype == np.float32
    assert in_float.value == pytest.approx(got.value, rel=1e-6)


def test_cross_entropy_of_nothing_is_zero():
    got = pc.cross_entropy(np.ones((1, 2, 2, 2)), np.full((1, 2, 2), 255))
    assert (got.value, got.pixels) == (0, 0)
    assert not got.gradient.any()
    assert pc.cross_entropy(np.ones((0, 2, 2, 2)), np.zeros((0, 2, 2), int)).gradient.shape == (
        0,
        2,
        2,
        2,
    )


@pytest.mark.parametrize("of", ["all", "labelled"])
@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.55, 1.0])
def test_hardest_pixels(rng, fraction, of):
    logits = rng.normal(size=(2, 3, 4, 5))
    labels = rng.integers(0, 3, (2, 4, 5))
    labels[rng.random(labels.shape) < 0.3] = 255
    got = pc.hardest_pixels_cross_entropy(logits, labels, fraction=fraction, of=of)
    value, pixels = hardest(logits, labels, fraction, of)
    assert got.value == pytest.approx(value, rel=1e-13)
    assert got.pixels == pixels
    same_slopes(
        got.gradient,
        lambda z: pc.hardest_pixels_cross_entropy(z, labels, fraction=fraction, of=of).value,
        logits,
    )


# --- guided losses -----------------------------------------------------------------------------


@pytest.mark.parametrize("over", ["pixels", "values", "ones"])
@pytest.mark.parametrize("power", [1, 2])
def test_guided_errors(guided, over, power):
    output, target, weight = guided
    target.reshape(-1)[::5] = 1
    loss = pc.guided_square_error if power == 2 else pc.guided_absolute_error
    pixels = (weight > 0).sum()
    divisor = {"pixels": pixels, "values": 3 * pixels, "ones": (target == 1).sum()}[over]
    got = loss(output, target, weight, over=over)
    expected = (weight * np.abs(output - target) ** power).sum() / divisor
    assert got.value == pytest.approx(expected, rel=1e-13)
    same_slopes(got.gradient, lambda o: loss(o, target, weight, over=over).value, output)


def test_mean_errors(guided):
    output, target, _ = guided
    square, absolute = pc.mean_square_error(output, target), pc.mean_absolute_error(output, target)
    assert square.value == pytest.approx(((output - target) ** 2).mean(), rel=1e-13)
    assert absolute.value == pytest.approx(np.abs(output - target).mean(), rel=1e-13)
    np.testing.assert_allclose(square.gradient, 2 * (output - target) / output.size, rtol=1e-13)
    np.testing.assert_allclose(
        absolute.gradient, np.sign(output - target) / output.size, rtol=1e-13
    )


def test_focal_loss(rng):
    p, t = rng.uniform(0.05, 0.95, (2, 2, 3, 3, 4))
    t.reshape(-1)[::7] = 1
    weight = rng.random((2, 1, 3, 4))
    ones = t == 1
    terms = np.where(ones, -np.log(p) * (1 - p) ** 2, -np.log1p(-p) * p**2 * (1 - t) ** 4)
    got = pc.focal_loss(p, t, weight)
    assert got.value == pytest.approx((weight * terms).sum() / ones.sum(), rel=1e-12)
    same_slopes(got.gradient, lambda q: pc.focal_loss(q, t, weight).value, p)
    clipped = pc.focal_loss(
        np.zeros((1, 1, 1, 1)), np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 1)), clip=0.01
    )
    assert clipped.value == pytest.approx(-np.log(0.01) * 0.99**2, rel=1e-12)


# --- IRNet's loss ------------------------------------------------------------------------------


def cells_between(dy, dx):
    """The cells of a path from (0,0) to (dy,dx): those nearer to the line than one cell."""
    cells = []
    for y in range(dy + 1):
        for x in range(min(dx, 0), max(dx, 0) + 1):
            if (dy * x - dx * y) ** 2 < dy**2 + dx**2:
                cells.append((y, x))
    return cells


def irnet_parts(logits, displacement, labels, radius):
    """Means over pairs, pair by pair, as the paper's equations say."""
    boundary = 1 / (1 + np.exp(-logits))
    batch, height, width = labels.shape
    reach = radius - 1
    sums, counts = np.zeros(5), np.zeros(3, int)
    for b in range(batch):
        for dy, dx in pc.disc(radius):
            for y in range(height - reach):
                for x in range(reach, width - reach):
                    one, other = labels[b, y, x], labels[b, y + dy, x + dx]
                    if 255 in (one, other):
                        continue
                    most = max(boundary[b, y + v, x + u] for v, u in cells_between(dy, dx))
                    kind = 2 if one != other else 0 if one == 0 else 1
                    counts[kind] += 1
                    sums[kind] += -np.log((most if kind == 2 else 1 - most) + 1e-5)
                    if displacement is not None and kind < 2:
                        off = displacement[b, :, y, x] - displacement[b, :, y + dy, x + dx]
                        sums[3 + kind] += np.abs(off - (dy, dx) if kind == 1 else off).sum()
    per_pair = sums[:3] / (counts + 1e-5)
    fields = sums[3:] / (2 * counts[:2] + 1e-5)
    return per_pair, fields, counts


@pytest.mark.parametrize("with_field", [True, False])
def test_affinity_displacement_loss(rng, with_field):
    logits = rng.normal(size=(2, 6, 8))
    labels = rng.choice(np.array([0, 0, 1, 1, 2, 255], np.int32), (2, 6, 8))
    field = rng.normal(size=(2, 2, 6, 8)) if with_field else None
    got = pc.affinity_displacement_loss(logits, field, labels, radius=3)
    (background, foreground, negative), (of_background, of_object), counts = irnet_parts(
        logits, field, labels, 3
    )
    assert got.pairs == tuple(counts)
    assert got.background == pytest.approx(background, rel=1e-12)
    assert got.foreground == pytest.approx(foreground, rel=1e-12)
    assert got.negative == pytest.approx(negative, rel=1e-12)
    assert got.field_background == pytest.approx(of_background, rel=1e-12)
    assert got.field_foreground == pytest.approx(of_object, rel=1e-12)
    total = (background + foreground) / 4 + negative / 2 + (of_background + of_object) / 2
    assert got.value == pytest.approx(total, rel=1e-12)

    def loss(z, d):
        return pc.affinity_displacement_loss(z, d, labels, radius=3).value

    same_slopes(got.by_logits, lambda z: loss(z, field), logits)
    if with_field:
        same_slopes(got.by_displacement, lambda d: loss(logits, d), field)
    else:
        assert got.by_displacement is None


def test_sources(rng):
    logits, labels = rng.normal(size=(1, 5, 6)), np.ones((1, 5, 6), np.int32)
    inner = pc.affinity_displacement_loss(logits, None, labels, radius=3)
    every = pc.affinity_displacement_loss(logits, None, labels, radius=3, sources="all")
    assert sum(inner.pairs) < sum(every.pairs)
    assert sum(every.pairs) == sum((5 - dy) * (6 - abs(dx)) for dy, dx in pc.disc(3))


def test_quarter_labels(rng):
    labels = rng.integers(0, 9, (8, 12)).astype(np.uint8)
    got = pc.quarter_labels(labels)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, labels[2::4, 2::4])


# --- label uncertainty -------------------------------------------------------------------------


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@pytest.mark.parametrize("channels", [1, 3])
def test_label_uncertainty(rng, channels):
    mean = rng.normal(size=(2, 3, 3, 4)) * 2
    log_variance = rng.normal(size=(2, channels, 3, 4)) * 2
    target = rng.random((2, 3, 3, 4))
    trusted = rng.integers(0, 3, (2, 1, 3, 4)).astype(np.uint8)
    kappa = np.where(trusted == 2, 1 / np.sqrt(1 + np.pi / 8 * np.exp(log_variance)), 1)
    p = sigmoid(kappa * mean)
    terms = -target * np.log(p) - (1 - target) * np.log(1 - p)
    weight = np.broadcast_to(np.choose(trusted, (0, 1, 0.25)), terms.shape)
    got = pc.label_uncertainty_loss(mean, log_variance, target, trusted, box_weight=0.25)
    assert got.value == pytest.approx((weight * terms).sum() / weight.sum(), rel=1e-10)
    assert (got.certain, got.boxed) == ((trusted == 1).sum(), (trusted == 2).sum())
    assert got.by_log_variance.shape == log_variance.shape

    def loss(m, s):
        return pc.label_uncertainty_loss(m, s, target, trusted, box_weight=0.25).value

    same_slopes(got.by_mean, lambda m: loss(m, log_variance), mean)
    same_slopes(got.by_log_variance, lambda s: loss(mean, s), log_variance)


@pytest.mark.parametrize("classes", ["mean_field", "sampled"])
def test_label_uncertainty_under_a_softmax(rng, classes):
    mean, log_variance = rng.normal(size=(2, 1, 3, 2, 3))
    target = rng.random((1, 3, 2, 3))
    target /= target.sum(axis=1, keepdims=True)
    trusted = np.array([[[[0, 1, 2], [2, 2, 1]]]], np.uint8)

    def loss(m, s):
        return pc.label_uncertainty_loss(m, s, target, trusted, classes=classes, samples=5, seed=3)

    got = loss(mean, log_variance)
    same_slopes(got.by_mean, lambda m: loss(m, log_variance).value, mean)
    same_slopes(got.by_log_variance, lambda s: loss(mean, s).value, log_variance)
    if classes == "mean_field":
        kappa = np.where(trusted == 2, 1 / np.sqrt(1 + np.pi / 8 * np.exp(log_variance)), 1)
        log_p = kappa * mean - np.log(np.exp(kappa * mean).sum(axis=1, keepdims=True))
        per_pixel = -(target * log_p).sum(axis=1)[trusted[:, 0] > 0]
        assert got.value == pytest.approx(per_pixel.mean(), rel=1e-12)


def test_expected_sigmoid(rng):
    mean, log_variance = rng.normal(size=(2, 3, 4, 5)) * 3
    kappa = 1 / np.sqrt(1 + np.pi / 8 * np.exp(log_variance))
    got = pc.expected_sigmoid(mean, log_variance)
    np.testing.assert_allclose(got, sigmoid(kappa * mean), rtol=1e-12)
    capped = pc.expected_sigmoid(mean, np.full((1, 4, 5), 80.0), largest_sigma=2.0)
    np.testing.assert_allclose(capped, sigmoid(mean / np.sqrt(1 + np.pi / 2)), rtol=1e-12)


# --- errors ------------------------------------------------------------------------------------


def test_errors_name_the_argument():
    logits, labels = np.zeros((1, 2, 3, 3)), np.zeros((1, 3, 3), int)
    with pytest.raises(
        ValueError, match=r"cross_entropy: label\(0,1,2\) is 2, outside 0..1 and not 255"
    ):
        wrong = labels.copy()
        wrong[0, 1, 2] = 2
        pc.cross_entropy(logits, wrong)
    with pytest.raises(ValueError, match="cross_entropy: logits are .* but labels are"):
        pc.cross_entropy(logits, labels[:, :2])
    with pytest.raises(
        TypeError, match=r"cross_entropy: labels is float64 \(1,3,3\); expected dtype int32"
    ):
        pc.cross_entropy(logits, labels.astype(float))
    with pytest.raises(ValueError, match=r"cross_entropy: logits.*nan"):
        pc.cross_entropy(np.full((1, 2, 3, 3), np.nan), labels)
    with pytest.raises(ValueError, match="hardest_pixels_cross_entropy: fraction is 0, outside"):
        pc.hardest_pixels_cross_entropy(logits, labels, fraction=0)
    with pytest.raises(ValueError, match="hardest_pixels_cross_entropy: fraction is nan"):
        pc.hardest_pixels_cross_entropy(logits, labels, fraction=np.nan)
    with pytest.raises(ValueError, match="of is 'most'; expected one of 'all', 'labelled'"):
        pc.hardest_pixels_cross_entropy(logits, labels, of="most")
    with pytest.raises(TypeError, match="guided_square_error: weight is NoneType"):
        pc.guided_square_error(logits, logits, None)
    with pytest.raises(ValueError, match=r"guided_square_error: .*weight is \[1,2,3,3\]"):
        pc.guided_square_error(logits, logits, logits)
    with pytest.raises(ValueError, match="guided_absolute_error: weight.*-1"):
        pc.guided_absolute_error(logits, logits, np.full((1, 1, 3, 3), -1.0))
    with pytest.raises(ValueError, match=r"focal_loss: clip is 0.5, outside \[0,0.5\)"):
        pc.focal_loss(logits, logits, logits[:, :1], clip=0.5)
    with pytest.raises(ValueError, match="focal_loss: output.*2"):
        pc.focal_loss(logits + 2, logits, logits[:, :1])
    with pytest.raises(TypeError, match="mean_square_error: target is float32"):
        pc.mean_square_error(logits, logits.astype(np.float32))
    with pytest.raises(ValueError, match="radius"):
        pc.affinity_displacement_loss(logits[0], None, np.zeros((2, 3, 3), np.int32), radius=18)
    with pytest.raises(ValueError, match="displacement is .*; expected"):
        pc.affinity_displacement_loss(
            np.zeros((0, 3, 3)), np.zeros((0, 2, 3, 3)), np.zeros((0, 3, 3), np.int32)
        )
    with pytest.raises(ValueError, match="quarter_labels.*multiples of 4"):
        pc.quarter_labels(np.zeros((4, 6), np.int32))
    trusted = np.full((1, 1, 3, 3), 3, np.uint8)
    with pytest.raises(ValueError, match="label_uncertainty_loss: trusted.* 3"):
        pc.label_uncertainty_loss(logits, logits, logits, trusted)
    with pytest.raises(
        ValueError, match="label_uncertainty_loss: samples is 5000; expected 1 to 4096"
    ):
        pc.label_uncertainty_loss(logits, logits, logits, trusted, samples=5000)
    with pytest.raises(ValueError, match="label_uncertainty_loss: largest_sigma is -1"):
        pc.label_uncertainty_loss(logits, logits, logits, trusted * 0, largest_sigma=-1)
    with pytest.raises(ValueError, match="threads is -1"):
        pc.cross_entropy(logits, labels, threads=-1)
    with pytest.raises(ValueError, match="more than 2\\^20 rows"):
        pc.mean_square_error(np.zeros((1, 2**40, 0, 1)), np.zeros((1, 2**40, 0, 1)))


def test_gaps_need_copy(rng):
    logits = rng.normal(size=(1, 3, 4, 8))
    labels = rng.integers(0, 3, (1, 4, 4))
    with pytest.raises(ValueError, match="logits is .* gaps"):
        pc.cross_entropy(logits[..., ::2], labels)
    got = pc.cross_entropy(logits[..., ::2], labels, copy=True)
    assert got.value == pc.cross_entropy(logits[..., ::2].copy(), labels).value
    assert repr(got).startswith("CrossEntropyLoss(value=")


def test_threads_do_not_change_bits(rng):
    logits, labels = rng.normal(size=(2, 5, 33, 47)).astype(np.float32), rng.integers(
        0, 5, (2, 33, 47)
    )
    one, two = (pc.cross_entropy(logits, labels, threads=n) for n in (1, 2))
    assert one.value == two.value
    np.testing.assert_array_equal(one.gradient, two.gradient)
