import math

import numpy as np
import pytest

import pycambium as pc
from golden import golden_cases

DIRECTIONS = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]


def at(values, y, x):
    """The cell, or the nearest one of the map."""
    height, width = values.shape[-2:]
    return values[..., min(max(y, 0), height - 1), min(max(x, 0), width - 1)]


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def weights(image, y, x, steps, kind):
    """Of the neighbours of one pixel, as the papers write them."""
    middle = at(image, y, x)
    near = np.stack([at(image, y + dy, x + dx) for dy, dx in steps])
    if kind == "pamr":
        around = np.concatenate([near] + [middle[None]] * (len(steps) // 8))
        return softmax(-(np.abs(near - middle) / (1e-8 + 0.1 * around.std(0, ddof=1))).mean(1))
    deviation = near.std(0, ddof=1) + 1e-8
    colour = softmax(-((np.abs(near - middle) / deviation / 0.3) ** 2).mean(1))
    far = np.array([math.hypot(dy, dx) for dy, dx in steps])
    return colour + 0.01 * softmax(-((far / (far.std(ddof=1) + 1e-8) / 0.3) ** 2))


def refined(image, masks, dilations, rounds, kind):
    steps = [(d * dy, d * dx) for d in dilations for dy, dx in DIRECTIONS]
    height, width = image.shape[1:]
    cells = [(y, x) for y in range(height) for x in range(width)]
    weight = {cell: weights(image, *cell, steps, kind) for cell in cells}
    for _ in range(rounds):
        new = np.empty_like(masks)
        for y, x in cells:
            near = np.stack([at(masks, y + dy, x + dx) for dy, dx in steps])
            new[:, y, x] = weight[y, x] @ near
        masks = new
    return masks


@pytest.mark.parametrize("kind", ["par", "pamr"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_the_plain_loops(rng, kind, dtype):
    image = rng.integers(0, 256, (3, 6, 9)).astype(dtype)
    masks = rng.random((4, 6, 9)).astype(dtype)
    expected = refined(image.astype(np.float64), masks.astype(np.float64), (1, 3), 3, kind)
    got = getattr(pc, kind)(image, masks, dilations=(1, 3), steps=3)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected, atol=1e-5 if dtype == np.float32 else 1e-12)


def test_weights_of_par_sum_to_more_than_one(rng):
    image = rng.random((3, 5, 7)).astype(np.float32)
    flat = np.ones((1, 5, 7), np.float32)
    np.testing.assert_allclose(pc.par(image, flat), 1.01**10, rtol=1e-5)
    np.testing.assert_allclose(pc.par(image, flat, normalise=True), 1, rtol=1e-5)
    np.testing.assert_allclose(pc.pamr(image, flat), 1, rtol=1e-5)


def test_sizes_and_batches(rng):
    image = rng.random((2, 3, 8, 10)).astype(np.float32)
    masks = rng.random((2, 5, 4, 5)).astype(np.float32)
    together = pc.par(image, masks)
    assert together.shape == (2, 5, 8, 10)
    np.testing.assert_array_equal(together, [pc.par(i, m) for i, m in zip(image, masks)])
    assert pc.pamr(image[0], masks[0], size="masks").shape == (5, 4, 5)
    assert pc.par(image[0], masks[0, :0]).shape == (0, 8, 10)
    resized = pc.par(image[0], masks[0], steps=0)
    np.testing.assert_array_equal(resized[:, ::7, ::9], masks[0, :, ::3, ::4])


def test_errors_name_the_argument(rng):
    image = rng.random((3, 4, 4)).astype(np.float32)
    masks = rng.random((1, 4, 4)).astype(np.float32)
    with pytest.raises(TypeError, match=r"par: image is uint8 \(3,4,4\); expected dtype float32"):
        pc.par(image.astype(np.uint8), masks)
    with pytest.raises(ValueError, match="1 to 32"):
        pc.par(image, masks, dilations=())
    with pytest.raises(ValueError, match="dilation 1 is 0"):
        pc.pamr(image, masks, dilations=(1, 0))
    with pytest.raises(ValueError, match="pamr: steps is -1"):
        pc.pamr(image, masks, steps=-1)
    with pytest.raises(ValueError, match="par: size is 'both'; expected one of 'image', 'masks'"):
        pc.par(image, masks, size="both")
    with pytest.raises(ValueError, match=r"par: masks\(0,1,2\) is nan"):
        masks[0, 1, 2] = np.nan
        pc.par(image, masks)


@pytest.mark.parametrize("case", golden_cases("blocks", "par"))
def test_par_of_the_original(case):
    p = case.params
    case.close(pc.par(case["image"], case["masks"], dilations=p["dilations"], steps=p["num_iter"]), "refined_f64")
