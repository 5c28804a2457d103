"""The dense CRF against mean field over all pairs of pixels, in NumPy."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import pycambium as pc


def features(image, sxy, srgb):
    """[D,N] positions and, if srgb is not 0, colours, in standard deviations."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float64)
    axes = [x / sxy, y / sxy]
    if srgb:
        axes += [image[..., c] / srgb for c in range(image.shape[2])]
    return np.stack([a.ravel() for a in axes])


def weights_of_pairs(of, by):
    """[N,N] Gaussian weights of features [D,N], normalised."""
    distance = ((of[:, :, None] - of[:, None, :]) ** 2).sum(axis=0)
    weight = np.exp(-distance / 2)
    total = weight.sum(axis=1)
    if by == "before":
        weight = weight / total[None, :]
    if by == "after":
        weight = weight / total[:, None]
    if by == "symmetric":
        weight = weight / np.sqrt(total[:, None] * total[None, :])
    return weight


def mean_field(unary, kernels, steps):
    """Marginals [L,N] of energies [L,N] and of kernels: pairs of weights [N,N] and costs [L,L]."""

    def softmax(energy):
        p = np.exp(energy.min(axis=0) - energy)
        return p / p.sum(axis=0)

    q = softmax(unary)
    for _ in range(steps):
        energy = unary.astype(np.float64)
        for weight, cost in kernels:
            energy = energy + cost @ (q @ weight.T)
        q = softmax(energy)
    return q


@pytest.fixture
def picture(rng):
    image = rng.integers(0, 40, (9, 11, 3))
    image[:, 6:] += 120
    return image.astype(np.uint8), rng.random((3, 9, 11)).astype(np.float32) * 2


def costs(compat, labels):
    """[L,L] energies of a kernel's weights, as Pairwise documents them."""
    compat = np.asarray(compat, np.float64)
    return compat if compat.ndim == 2 else np.diag(np.broadcast_to(-compat, labels))


TABLE = [[-1, 0.5, 0.2], [0.5, -2, 0.25], [0.2, 0.25, -0.5]]


@pytest.mark.parametrize("by", ["none", "before", "after", "symmetric"])
@pytest.mark.parametrize(
    "compat", [2.0, [1, 0.5, 2], np.array(TABLE, np.float32)], ids=["number", "vector", "table"]
)
def test_exact_kernels_are_mean_field_over_all_pairs(picture, by, compat):
    image, unary = picture
    if by == "none":
        compat = np.asarray(compat) / 20
    kernels = [
        pc.Pairwise(sxy=1.5, compat=0.5, by=by),
        pc.Pairwise(sxy=4, srgb=20, compat=compat, by=by),
    ]
    got = pc.dense_crf(image, unary, kernels=kernels, iterations=4, exact=True)
    pairs = [
        (weights_of_pairs(features(image, 1.5, 0), by), costs(0.5, 3)),
        (weights_of_pairs(features(image, 4, 20), by), costs(compat, 3)),
    ]
    assert got.dtype == np.float32 and got.shape == unary.shape
    expected = mean_field(unary.reshape(3, -1), pairs, 4)
    np.testing.assert_allclose(got.reshape(3, -1), expected, atol=2e-5)


def test_the_lattice_is_near_the_exact_kernels(picture):
    image, unary = picture
    exact = pc.dense_crf(image, unary, iterations=5, exact=True)
    lattice = pc.dense_crf(image, unary, iterations=5)
    assert 1e-6 < np.abs(exact - lattice).mean() < 0.05
    np.testing.assert_allclose(lattice.sum(axis=0), 1, atol=1e-5)


def test_a_crf_serves_many_energies(picture, rng):
    image, unary = picture
    crf = pc.DenseCRF(image)
    assert crf.size == (9, 11) and crf.kernels == 2
    for labels in (1, 2, 3, 8):
        unary = rng.random((labels, 9, 11)).astype(np.float32)
        inference = crf.infer(unary, iterations=3)
        np.testing.assert_array_equal(
            inference.marginals(), pc.dense_crf(image, unary, iterations=3)
        )
        assert inference.steps == 3 and inference.labels == labels
        np.testing.assert_array_equal(
            inference.argmax_labels(), inference.marginals().argmax(axis=0)
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_and_restart(picture, dtype):
    image, unary = picture
    unary = unary.astype(dtype)
    crf = pc.DenseCRF(image)
    inference = crf.start(unary)
    softmax = np.exp(-unary) / np.exp(-unary).sum(axis=0)
    np.testing.assert_allclose(inference.marginals(), softmax, atol=1e-6)
    inference.step()
    inference.step(count=2)
    np.testing.assert_array_equal(inference.marginals(), crf.infer(unary, iterations=3).marginals())
    inference.restart()
    np.testing.assert_allclose(inference.marginals(), softmax, atol=1e-6)
    assert inference.steps == 0


def test_labels_that_take_no_part(picture, rng):
    image, _ = picture
    unary = rng.random((7, 9, 11)).astype(np.float32)
    few = pc.DenseCRF(image).infer(unary, iterations=3, present=[5, 0, 2])
    assert few.present == [5, 0, 2]
    got = few.marginals()
    assert not got[[1, 3, 4, 6]].any()
    expected = pc.dense_crf(image, unary[[5, 0, 2]], iterations=3)
    np.testing.assert_array_equal(got[[5, 0, 2]], expected)
    assert set(np.unique(few.argmax_labels())) <= {0, 2, 5}


def test_kernels_added_later(picture):
    image, unary = picture
    crf = pc.DenseCRF.of_size(9, 11)
    inference = crf.prepare(unary)
    with pytest.raises(ValueError, match=r"restart\(\) begins it"):
        inference.marginals()
    crf.add(features(image, 3, 0).astype(np.float32), compat=3.0)
    crf.add_image(image, sxy=(50, 50), srgb=[5, 5, 5], compat=10.0)
    with pytest.raises(ValueError, match=r"restart\(\) begins it"):
        inference.step()
    inference.restart()
    inference.step(4)
    np.testing.assert_array_equal(inference.marginals(), pc.dense_crf(image, unary, iterations=4))


def test_deviations_of_each_axis_and_band(picture):
    image, unary = picture
    crf = pc.DenseCRF.of_size(9, 11, exact=True)
    crf.add_image(image, sxy=(2, 5), srgb=(10, 20, 40), compat=2.0)
    crf.add_image(None, sxy=(1, 3), compat=1.0)
    y, x = np.mgrid[:9, :11]
    near = np.stack([(x / 1).ravel(), (y / 3).ravel()])
    alike = np.stack(
        [(x / 2).ravel(), (y / 5).ravel()]
        + [(image[..., c] / s).ravel() for c, s in enumerate((10, 20, 40))]
    )
    pairs = [
        (weights_of_pairs(alike, "symmetric"), costs(2, 3)),
        (weights_of_pairs(near, "symmetric"), costs(1, 3)),
    ]
    got = crf.infer(unary, iterations=3).marginals()
    np.testing.assert_allclose(
        got.reshape(3, -1), mean_field(unary.reshape(3, -1), pairs, 3), atol=2e-5
    )


def test_divergence_of_the_package_and_of_the_distribution(picture):
    image, unary = picture
    kernels = [pc.Pairwise(sxy=2, compat=1.5), pc.Pairwise(sxy=4, srgb=20, compat=TABLE)]
    inference = pc.DenseCRF(image, kernels, exact=True).infer(unary, iterations=2)
    q = inference.marginals().reshape(3, -1).astype(np.float64)
    energy = (q * (np.log(q) + unary.reshape(3, -1))).sum()
    once = twice = 0.0
    for of, cost in (
        (features(image, 2, 0), costs(1.5, 3)),
        (features(image, 4, 20), costs(TABLE, 3)),
    ):
        weight = weights_of_pairs(of, "symmetric")
        twice += (q * (cost @ q @ weight)).sum()
        np.fill_diagonal(weight, 0)
        once += (q * (cost @ q @ weight)).sum() / 2
    assert inference.divergence() == pytest.approx(energy + once, abs=1e-3)
    assert inference.divergence(package=True) == pytest.approx(energy + twice, abs=1e-3)


def test_marginals_without_a_copy(picture, rng):
    image, unary = picture
    crf = pc.DenseCRF(image)
    expected = crf.infer(unary, iterations=3).marginals().reshape(3, -1)
    inference = crf.prepare(unary)
    got = inference.run(3)
    np.testing.assert_array_equal(got, expected)
    with pytest.raises(ValueError, match=r"restart\(\) begins it"):
        inference.marginals()
    again = inference.run(2)
    for q in (again, np.array(again, order="C"), np.array(again, order="F")):
        inference.step_at(q)
        np.testing.assert_array_equal(q, expected)
        assert inference.divergence_at(q) == pytest.approx(
            crf.infer(unary, iterations=3).divergence(package=True)
        )
    frozen = expected.copy()
    frozen.flags.writeable = False
    assert np.isfinite(inference.divergence_at(frozen))
    for wrong in (None, frozen, expected.astype(np.float64), expected[0], "q"):
        with pytest.raises(
            TypeError, match=r"MeanField.step_at: q is .*; expected a writable array of float32"
        ):
            inference.step_at(wrong)
    with pytest.raises(ValueError, match=r"MeanField.step_at: q is \(2,99\); expected \(3,99\)"):
        inference.step_at(expected[:2])


def test_refine_labels_is_inference_on_energies_of_labels(picture, rng):
    image, _ = picture
    labels = rng.integers(0, 4, (9, 11))
    crf = pc.DenseCRF(image)
    for dtype in (np.int32, np.uint8, np.int64):
        unary = pc.unary_from_labels(labels.astype(dtype), 4, gt_prob=0.6)
        expected = crf.infer(unary, iterations=2).argmax_labels()
        got = crf.refine_labels(labels.astype(dtype), 4, gt_prob=0.6, iterations=2)
        assert got.dtype == np.int32
        np.testing.assert_array_equal(got, expected)


def test_unary_energies(rng):
    labels = rng.integers(0, 4, (5, 6)).astype(np.int32)
    chance = np.where(np.arange(3)[:, None, None] == labels - 1, 0.7, 0.15)
    chance[:, labels == 0] = 1 / 3
    got = pc.unary_from_labels(labels, 3, gt_prob=0.7, zero_unsure=True)
    np.testing.assert_allclose(got, -np.log(chance), rtol=1e-6)
    p = rng.random((4, 5, 6))
    p[0, 0, 0] = 0
    for dtype in (np.float32, np.float64):
        got = pc.unary_from_probabilities(p.astype(dtype), clip=1e-3, scale=0.8)
        np.testing.assert_allclose(got, -np.log(np.clip(0.8 * p + 0.05, 1e-3, 1)), atol=1e-6)
        scores = (p * 20 - 10).astype(dtype)
        q = np.exp(3 * scores.astype(np.float64))
        got = pc.unary_from_scores(scores, scale=3)
        np.testing.assert_allclose(got, -np.log(q / q.sum(axis=0)), atol=1e-4)


def test_a_lattice_is_a_gaussian_filter(rng):
    of = rng.random((3, 200)).astype(np.float32) * 4
    values = rng.random((200, 2)).astype(np.float32)
    lattice = pc.Lattice(of)
    assert (lattice.dimension, lattice.positions) == (3, 200) and lattice.points > 4
    got = lattice.filter(values)
    total = lattice.filter(np.ones((200, 1), np.float32))
    weight = weights_of_pairs(of.astype(np.float64), "after")
    np.testing.assert_allclose(got / total, weight @ values, rtol=0.15)
    one = np.zeros((200, 200), np.float32)
    np.fill_diagonal(one, 1)
    matrix = lattice.filter(one)
    np.testing.assert_allclose(lattice.filter(one, reverse=True), matrix.T, atol=1e-6)
    np.testing.assert_allclose(lattice.own_shares(), np.diag(matrix), rtol=1e-4)


def test_threads_give_the_same_bits(rng):
    image = rng.integers(0, 255, (300, 400, 3), dtype=np.uint8)
    unary = rng.random((5, 300, 400)).astype(np.float32)
    one = pc.dense_crf(image, unary, iterations=2, threads=1)
    np.testing.assert_array_equal(pc.dense_crf(image, unary, iterations=2, threads=3), one)


def test_one_inference_and_one_crf_in_many_threads(picture):
    image, unary = picture
    crf = pc.DenseCRF(image)
    shared = crf.start(unary)
    failed = []

    def work():
        try:
            for _ in range(20):
                shared.step()
                shared.marginals()
                crf.infer(unary, iterations=1, threads=1)
                crf.add_image(None, sxy=2)
                shared.restart()
        except ValueError as e:
            if "restart() begins it" not in str(e):
                failed.append(e)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failed


def test_any_array_of_colours(picture):
    image, unary = picture
    expected = pc.dense_crf(image, unary)
    for dtype in (np.uint16, np.float32, np.float64):
        np.testing.assert_array_equal(pc.dense_crf(image.astype(dtype), unary), expected)
    for bands in (1, 6):
        assert pc.dense_crf(np.zeros((9, 11, bands), np.uint8), unary).shape == unary.shape
    swapped = np.ascontiguousarray(image.transpose(2, 0, 1)).transpose(1, 2, 0)
    with pytest.raises(ValueError, match="dense_crf: image is uint8 .* with gaps or permuted axes"):
        pc.dense_crf(swapped, unary)
    np.testing.assert_array_equal(pc.dense_crf(swapped, unary, copy=True), expected)


def test_torch_tensors(picture):
    torch = pytest.importorskip("torch")
    image, unary = picture
    got = pc.dense_crf(torch.from_numpy(image), torch.from_numpy(unary))
    np.testing.assert_array_equal(got, pc.dense_crf(image, unary))


IMAGE, UNARY = np.zeros((4, 5, 3), np.uint8), np.zeros((2, 4, 5), np.float32)
NAN = np.full((2, 4, 5), np.nan, np.float32)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: pc.dense_crf(None, UNARY), TypeError, "dense_crf: image is NoneType"),
        (lambda: pc.dense_crf(IMAGE, None), TypeError, "dense_crf: unary is NoneType"),
        (
            lambda: pc.dense_crf(IMAGE.astype(np.int32), UNARY),
            TypeError,
            "dense_crf: image is int32 .*uint8",
        ),
        (
            lambda: pc.dense_crf(IMAGE[0], UNARY),
            ValueError,
            "dense_crf: image is .* with 2 axes; expected 3",
        ),
        (
            lambda: pc.dense_crf(IMAGE[:0], UNARY[:, :0]),
            ValueError,
            "dense_crf: image .* has no pixels",
        ),
        (
            lambda: pc.dense_crf(np.zeros((4, 5, 7), np.uint8), UNARY),
            ValueError,
            "7 bands; at most 6",
        ),
        (
            lambda: pc.dense_crf(IMAGE, UNARY[:, :3].copy()),
            ValueError,
            r"dense_crf: unary is \[2,3,5\] but the image is 4 x 5",
        ),
        (lambda: pc.dense_crf(IMAGE, UNARY[:0]), ValueError, r"dense_crf: unary is \[0,4,5\]"),
        (lambda: pc.dense_crf(IMAGE, NAN), ValueError, r"dense_crf: unary\(0,0,0\) is nan"),
        (lambda: pc.dense_crf(IMAGE, UNARY, iterations=-1), ValueError, "iterations is -1"),
        (
            lambda: pc.dense_crf(IMAGE, UNARY, present=[2]),
            ValueError,
            "label 2 takes part but there are 2",
        ),
        (lambda: pc.dense_crf(IMAGE, UNARY, present=[0, 0]), ValueError, "label 0 is named twice"),
        (lambda: pc.dense_crf(IMAGE, UNARY, threads=-1), ValueError, "dense_crf: threads is -1"),
        (lambda: pc.dense_crf(IMAGE, UNARY, most_bytes=1), ValueError, "raise options.most_bytes"),
        (lambda: pc.dense_crf(IMAGE, UNARY, kernels=[pc.Pairwise(sxy=0)]), ValueError, "sxy is 0"),
        (
            lambda: pc.dense_crf(IMAGE, UNARY, kernels=[pc.Pairwise(srgb=-1)]),
            ValueError,
            "srgb is -1",
        ),
        (
            lambda: pc.dense_crf(IMAGE, UNARY, kernels=[pc.Pairwise(compat=[1, 2, 3])]),
            ValueError,
            "compat has 3 weights",
        ),
        (
            lambda: pc.dense_crf(IMAGE, UNARY, kernels=[pc.Pairwise(compat=np.inf)]),
            ValueError,
            "compat is inf",
        ),
        (
            lambda: pc.dense_crf(IMAGE, UNARY, kernels=[pc.Pairwise(compat=[[1, 2], [3, 4]])]),
            ValueError,
            r"compat\(1,0\) is not compat\(0,1\)",
        ),
        (
            lambda: pc.Pairwise(compat=np.zeros((2, 3))),
            ValueError,
            "Pairwise: compat is a table of 2 rows and 6 weights",
        ),
        (
            lambda: pc.Pairwise(compat=np.zeros((2, 2, 2))),
            ValueError,
            "Pairwise: compat has 3 axes",
        ),
        (lambda: pc.Pairwise(compat="x"), TypeError, "Pairwise: compat is str"),
        (
            lambda: pc.Pairwise(by="both"),
            ValueError,
            "Pairwise: by is 'both'; expected one of 'none'",
        ),
        (lambda: pc.crf_preset("coco"), ValueError, "crf_preset: name is 'coco'"),
        (lambda: pc.DenseCRF.of_size(0, 5), ValueError, "DenseCRF.of_size: the size is 0 x 5"),
        (lambda: pc.DenseCRF.of_size(2**30, 2**30), ValueError, "DenseCRF.of_size: the size is"),
        (lambda: pc.DenseCRF.of_size(-1, -5), ValueError, "DenseCRF.of_size: the size is -1 x -5"),
        (
            lambda: pc.DenseCRF.of_size(4, 5).add(np.zeros((2, 19), np.float32)),
            ValueError,
            "there are 20 pixels",
        ),
        (
            lambda: pc.DenseCRF.of_size(4, 5).add(np.zeros((9, 20), np.float32)),
            ValueError,
            "expected 1 to 8",
        ),
        (
            lambda: pc.DenseCRF.of_size(4, 5).add(np.full((2, 20), np.inf, np.float32)),
            ValueError,
            "features.* is inf",
        ),
        (
            lambda: pc.DenseCRF.of_size(4, 5).add_image(IMAGE[:3]),
            ValueError,
            "add_image: image is .*expected 4 x 5",
        ),
        (
            lambda: pc.DenseCRF.of_size(4, 5).add_image(IMAGE, sxy=(1, 2, 3)),
            ValueError,
            "sxy has 3 numbers",
        ),
        (
            lambda: pc.DenseCRF.of_size(4, 5).add_image(IMAGE, srgb=0),
            ValueError,
            "srgb is 0; it must be finite",
        ),
        (lambda: pc.DenseCRF.of_size(4, 5).add_image(IMAGE, sxy=np.nan), ValueError, "sxy is nan"),
        (lambda: pc.Lattice(np.zeros((9, 4), np.float32)), ValueError, "1..8|1 to 8"),
        (lambda: pc.Lattice(np.zeros((2, 4))), TypeError, "Lattice: features is float64"),
        (
            lambda: pc.Lattice(np.zeros((2, 4), np.float32)).filter(np.zeros((3, 1), np.float32)),
            ValueError,
            "4 positions",
        ),
        (lambda: pc.unary_from_labels(np.full((2, 2), 3), 3), ValueError, "label"),
        (lambda: pc.unary_from_labels(np.zeros((2, 2), np.int32), 0), ValueError, "0 labels"),
        (
            lambda: pc.unary_from_labels(np.zeros((2, 2)), 2),
            TypeError,
            "unary_from_labels: labels is float64",
        ),
        (
            lambda: pc.unary_from_labels(np.zeros((2, 2), np.int32), 2, gt_prob=1),
            ValueError,
            "gt_prob is 1",
        ),
        (
            lambda: pc.unary_from_probabilities(UNARY + 2),
            ValueError,
            r"probabilities\(0,0,0\) is 2",
        ),
        (lambda: pc.unary_from_probabilities(UNARY, clip=0), ValueError, "clip is 0"),
        (lambda: pc.unary_from_scores(NAN), ValueError, "scores.* is nan"),
        (lambda: pc.unary_from_scores(UNARY, scale=0), ValueError, "scale is 0"),
        (lambda: pc.DenseCRF(IMAGE).refine_labels(np.full((4, 5), 2), 2), ValueError, "label"),
        (
            lambda: pc.DenseCRF(IMAGE).refine_labels(np.zeros((4, 4), np.int32), 2),
            ValueError,
            "4 x 5",
        ),
        (lambda: pc.DenseCRF(IMAGE).start(UNARY).step(-1), ValueError, "count is -1"),
    ],
)
def test_errors_name_the_argument(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_no_label_is_no_choice(picture):
    image, unary, *_ = picture
    crf = pc.DenseCRF(image)
    for call in (
        lambda: crf.infer(unary, present=[]),
        lambda: crf.start(unary, present=[]),
        lambda: crf.prepare(unary, present=[]),
        lambda: pc.dense_crf(image, unary, present=[]),
    ):
        with pytest.raises(ValueError, match="present is empty; expected labels, or None for all"):
            call()
    assert len(crf.infer(unary, present=None).present) == len(unary)
    assert crf.infer(unary, present=np.array([1, 0])).present == [1, 0]


def test_texts(picture):
    image, unary = picture
    assert (
        repr(pc.Pairwise(sxy=3, compat=[1, 2]))
        == "Pairwise(sxy=3, srgb=0, compat=2 weights, by='symmetric')"
    )
    crf = pc.DenseCRF(image)
    assert repr(crf) == "DenseCRF(9 x 11 pixels, 2 kernels)"
    assert repr(crf.infer(unary, iterations=2)) == "MeanField(3 labels, 9 x 11 pixels, 2 steps)"
    assert [(k.sxy, k.srgb, k.by) for k in pc.crf_preset("deeplab")] == [
        (1, 0, "symmetric"),
        (67, 3, "symmetric"),
    ]
