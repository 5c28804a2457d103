import numpy as np
import pytest

import pycambium as pc
from golden import golden_cases

TYPES = [np.float32, np.float64]


def resized(image, height, width):
    """Bilinear, align_corners=False: half-pixel centres, clipped at 0."""

    def taps(count, of):
        at = np.maximum((np.arange(count) + 0.5) * of / count - 0.5, 0)
        low = at.astype(int)
        return low, np.minimum(low + 1, of - 1), at - low

    y0, y1, fy = taps(height, image.shape[-2])
    x0, x1, fx = taps(width, image.shape[-1])
    rows = image[..., y0, :] * (1 - fy)[:, None] + image[..., y1, :] * fy[:, None]
    return rows[..., x0] * (1 - fx) + rows[..., x1] * fx


@pytest.mark.parametrize("dtype", TYPES)
def test_normalise(rng, dtype):
    maps = rng.normal(size=(3, 5, 7)).astype(dtype)
    maps[1] = 0
    top = maps.max(axis=(1, 2), keepdims=True)
    low = maps.min(axis=(1, 2), keepdims=True)
    got = pc.normalise(maps)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, maps / (top + 1e-5), rtol=1e-6)
    np.testing.assert_allclose(
        pc.normalise(maps, by="min_max"),
        (maps - low) / np.where(top > low, top - low, 1),
        atol=1e-6,
    )
    np.testing.assert_allclose(
        pc.normalise(maps, by="largest_of_all"), maps / maps.max(), rtol=1e-6
    )
    np.testing.assert_allclose(
        pc.normalise(maps, relu=True, eps=0.5),
        np.maximum(maps, 0) / (np.maximum(top, 0) + 0.5),
        rtol=1e-6,
    )
    with pytest.raises(
        ValueError, match="normalise: by is 'mean'; expected one of 'largest', 'min_max'"
    ):
        pc.normalise(maps, by="mean")
    with pytest.raises(ValueError, match="normalise: eps is -1"):
        pc.normalise(maps, eps=-1)


def test_fuse_sums_resized_maps(rng):
    maps = [rng.random((2, h, w)).astype(np.float32) for h, w in ((3, 4), (6, 9), (5, 2))]
    want = resized(maps[0], 8, 10) + resized(maps[1], 8, 10)[..., ::-1] + resized(maps[2], 8, 10)
    got = pc.fuse(maps, (8, 10), mirrored=[False, True, False])
    np.testing.assert_allclose(got, want, rtol=1e-5)
    np.testing.assert_array_equal(
        pc.fuse(maps, (8, 10), mirrored=[0, 1, 0], size=(7, 6)), got[:, :7, :6]
    )
    with pytest.raises(TypeError, match=r"fuse: maps\[1\] is float64"):
        pc.fuse([maps[0], maps[1].astype(float)], (8, 10))
    with pytest.raises(ValueError, match="fuse: mirrored has 1 entries, but there are 3 maps"):
        pc.fuse(maps, (8, 10), mirrored=[True])
    with pytest.raises(ValueError, match="fuse: maps is empty"):
        pc.fuse([], (8, 10))
    with pytest.raises(
        ValueError, match=r"fuse: resized has 3 entries; expected \(height, width\)"
    ):
        pc.fuse(maps, (1, 8, 10))
    with pytest.raises(
        ValueError, match="fuse: resized is 8 x 10000000; expected sides below 65536"
    ):
        pc.fuse(maps, (8, 10**7))
    with pytest.raises(TypeError, match="fuse: resized is NoneType; expected a list of integers"):
        pc.fuse(maps, None)
    with pytest.raises(TypeError, match="fuse: maps is int; expected a list of arrays"):
        pc.fuse(3, (8, 10))


def test_make_cams_takes_the_present_classes(rng):
    image, labels = (21, 30), [0, 1, 0, 1]
    maps = [rng.random((4, h, w)).astype(np.float32) for h, w in ((2, 2), (4, 5))]
    cams = pc.make_cams(maps, image, labels)
    assert repr(cams) == "Cams(strided=(2, 6, 8), full=(2, 21, 30))"
    np.testing.assert_array_equal(cams.keys, [1, 3])
    for got, want in (
        (cams.strided, sum(resized(m[[1, 3]], 6, 8) for m in maps)),
        (cams.full, sum(resized(m[[1, 3]], 32, 32) for m in maps)[:, :21, :30]),
    ):
        np.testing.assert_allclose(
            got, want / (want.max(axis=(1, 2), keepdims=True) + 1e-5), rtol=1e-5
        )
    with pytest.raises(ValueError, match="make_cams: maps are .* but there are 3 labels"):
        pc.make_cams(maps, image, [1, 0, 1])


@pytest.mark.parametrize("case", golden_cases("irnet", "s6_make_cam"))
def test_cams_of_the_original(case):
    scales = [np.maximum(case[f"out{i}"], 0) for i in range(len(case.params["scales"]))]
    got = pc.make_cams(
        scales, (case.params["image_height"], case.params["image_width"]), case["label"] != 0
    )
    case.close(got.keys, "keys")
    case.close(got.strided, "cam_f64")
    if "high_res_f64" in case:
        case.close(got.full, "high_res_f64")


def test_class_maps(rng):
    maps = rng.normal(size=(3, 4, 5)).astype(np.float32)
    want = np.zeros((3, 9, 11))
    up = resized(np.maximum(maps[2], 0), 9, 11)
    want[2] = up / (up.max() + 1e-5)
    np.testing.assert_allclose(pc.class_maps(maps, (9, 11), np.array([2])), want, atol=1e-6)
    with pytest.raises(ValueError, match=r"class_maps: class 3 is outside 0..2"):
        pc.class_maps(maps, (9, 11), [3])


@pytest.mark.parametrize("dtype", TYPES)
def test_maps_of_two_images(rng, dtype):
    a, b = rng.normal(size=(2, 3, 5, 6)).astype(dtype)
    np.testing.assert_allclose(pc.mean_with_mirrored(a, b), (a + b[..., ::-1]) / 2, rtol=1e-5)
    got = pc.boundary_from_logits(a[0], b[0], size=(4, 5))
    want = 1 / (1 + np.exp(-(a[0, :4, :5] + b[0][:4, :5][:, ::-1]) / 2))
    np.testing.assert_allclose(got, want, rtol=1e-5)
    assert pc.boundary_from_logits(a[0], b[0]).shape == (5, 6)
    with pytest.raises(TypeError, match="mean_with_mirrored: mirrored is NoneType"):
        pc.mean_with_mirrored(a, None)
    with pytest.raises(ValueError, match="boundary_from_logits: size is 6 x 6 but logits are"):
        pc.boundary_from_logits(a[0], b[0], size=(6, 6))


def test_with_background_and_thresholds(rng):
    maps = rng.random((3, 4, 6))
    got = pc.with_background(maps, 0.25)
    np.testing.assert_array_equal(got, np.concatenate([np.full((1, 4, 6), 0.25), maps]))
    labels = pc.threshold_labels(maps, 0.5)
    np.testing.assert_array_equal(labels, np.where(maps.max(0) > 0.5, maps.argmax(0) + 1, 0))
    assert labels.dtype == np.int32
    low = pc.threshold_labels(maps, 0.3)
    np.testing.assert_array_equal(
        pc.join_confident(labels, low), np.where(labels > 0, labels, np.where(low == 0, 0, 255))
    )
    with pytest.raises(ValueError, match="with_background: score is inf"):
        pc.with_background(maps, np.inf)
    with pytest.raises(ValueError, match="threshold_labels: thres is nan"):
        pc.threshold_labels(maps, np.nan)


@pytest.mark.parametrize("dtype", TYPES)
def test_extract_peaks(rng, dtype):
    maps = rng.random((3, 12, 15)).astype(dtype)
    maps[2] = 0
    kernel, most, threshold = 5, 4, 0.6
    want = []
    for c, image in enumerate(maps):
        padded = np.pad(image, kernel // 2, constant_values=-np.inf)
        top = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel)).max(axis=(2, 3))
        found = [
            (-image[y, x], y, x) for y, x in np.argwhere((image == top) & (image >= threshold))
        ]
        want += [(y, x, c, -score) for score, y, x in sorted(found)[:most]]
    got = pc.extract_peaks(maps, kernel=kernel, most=most, threshold=threshold)
    assert len(got) == len(want) > 4
    np.testing.assert_array_equal(np.c_[got.at, got.category, got.score], np.array(want))
    plateau = np.zeros((1, 5, 5), dtype)
    plateau[0, 1:4, 1:4] = 1
    assert len(pc.extract_peaks(plateau, kernel=3)) == 9
    np.testing.assert_array_equal(
        pc.extract_peaks(plateau, kernel=3, plateaus="one_cell").at, [[2, 2]]
    )
    assert len(pc.extract_peaks(np.zeros((0, 4, 4), dtype))) == 0
    for wrong, says in (
        ({"kernel": 4}, "kernel is 4"),
        ({"most": 0}, "most is 0"),
        ({"threshold": np.nan}, "threshold is nan"),
        ({"plateaus": "all"}, "plateaus is 'all'; expected one of 'every_cell', 'one_cell'"),
    ):
        with pytest.raises(ValueError, match=says):
            pc.extract_peaks(maps, **wrong)


def test_points():
    p = pc.Points(np.array([[1, 2.5], [3, 4]]), category=[7, 8], score=np.array([0.5, 1]))
    assert repr(p) == "Points(2)" and len(p) == 2
    np.testing.assert_array_equal(
        np.c_[p.at, p.category, p.score], [[1, 2.5, 7, 0.5], [3, 4, 8, 1]]
    )
    with pytest.raises(ValueError, match=r"Points: at is float64 \(2,3\); expected \[N,2\]"):
        pc.Points(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="Points: category has 1 entries of 2 points"):
        pc.Points(np.zeros((2, 2)), category=[1])
    with pytest.raises(ValueError, match="Points: category: entry 0 does not fit 32 bits"):
        pc.Points(np.zeros((1, 2)), category=[2**40])
    with pytest.raises(AttributeError):
        p.at = None


@pytest.mark.parametrize("dtype", TYPES)
def test_peak_attention_and_its_gradient(rng, dtype):
    maps = rng.normal(size=(4, 6, 5)).astype(dtype)
    maps[3] = -1
    kept = (maps > 0) & (maps >= dtype(0.7) * np.maximum(maps.max(axis=(1, 2), keepdims=True), 0))
    np.testing.assert_array_equal(pc.peak_attention(maps), np.where(kept, maps, 0))
    gradient = rng.normal(size=maps.shape).astype(dtype)
    np.testing.assert_array_equal(
        pc.peak_attention_gradient(maps, gradient), np.where(kept, gradient, 0)
    )
    with pytest.raises(ValueError, match="peak_attention: alpha is 2"):
        pc.peak_attention(maps, alpha=2)
    with pytest.raises(TypeError, match="peak_attention_gradient: gradient is NoneType"):
        pc.peak_attention_gradient(maps, None)


def test_smooth_counts_its_padding(rng):
    maps = rng.random((2, 6, 7))
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
    want = sum(padded[:, y : y + 6, x : x + 7] for y in range(3) for x in range(3)) / 9
    np.testing.assert_allclose(pc.smooth(maps), want, rtol=1e-12)
    with pytest.raises(ValueError, match="smooth: kernel is 2"):
        pc.smooth(maps, kernel=2)


def test_select(rng):
    maps, flipped = rng.random((2, 3, 4, 5)).astype(np.float32)
    regions = rng.integers(0, 3, (4, 5)).astype(np.int32)
    channels = np.array([2, 0])
    of = np.append([0], channels)[regions]
    for other, source in ((None, maps), (flipped, (maps + flipped[..., ::-1]) / 2)):
        want = np.where(regions > 0, np.take_along_axis(source, of[None], 0)[0], 0)
        np.testing.assert_allclose(
            pc.select(maps, regions, channels, flipped=other), want, rtol=1e-6
        )
    with pytest.raises(ValueError, match="select: channel 3 is outside 0..2"):
        pc.select(maps, regions, [0, 3])
    with pytest.raises(ValueError, match="select: region"):
        pc.select(maps, regions, [0])
    with pytest.raises(TypeError, match="select: regions is int64"):
        pc.select(maps, regions.astype(np.int64), channels)
    pc.select(maps, regions.astype(np.int64), channels, copy=True)


def test_decide_and_probability_at(rng):
    scores, flipped = rng.normal(size=(2, 4, 5, 6)).astype(np.float32)
    softmax = [np.exp(s) / np.exp(s).sum(0) for s in (scores, flipped[..., ::-1])]
    for other, p in ((None, softmax[0]), (flipped, (softmax[0] + softmax[1]) / 2)):
        got = pc.decide(scores, flipped=other)
        np.testing.assert_array_equal(got.label, p.argmax(0))
        np.testing.assert_allclose(got.probability, p.max(0), rtol=1e-4)
    few = softmax[0].copy()
    few[2] = 0
    np.testing.assert_array_equal(
        pc.decide(scores, allowed=[True, True, False, True]).label, few.argmax(0)
    )
    labels = rng.integers(-1, 6, (5, 6)).astype(np.int32)
    inside = (labels > 0) & (labels < 4)
    want = np.where(
        inside, np.take_along_axis(softmax[0], np.where(inside, labels, 0)[None], 0)[0], 0
    )
    np.testing.assert_allclose(pc.probability_at(scores, labels), want, rtol=1e-4)
    with pytest.raises(ValueError, match="decide: 4 channels but 3 entries of allowed"):
        pc.decide(scores, allowed=[1, 1, 1])
