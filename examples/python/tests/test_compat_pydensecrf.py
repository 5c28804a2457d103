"""The stand-in for pydensecrf: beside the package where it is installed, and by NumPy alone."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import tracemalloc

import numpy as np
import pytest
from test_crf import costs, mean_field, weights_of_pairs

import pycambium.compat.pydensecrf.densecrf as ours
import pycambium.compat.pydensecrf.utils as our_utils

NORMS = ["NO_NORMALIZATION", "NORMALIZE_BEFORE", "NORMALIZE_AFTER", "NORMALIZE_SYMMETRIC"]


@pytest.fixture(scope="module")
def theirs():
    return pytest.importorskip("pydensecrf.densecrf")


@pytest.fixture(scope="module")
def their_utils():
    return pytest.importorskip("pydensecrf.utils")


def picture(height, width, labels, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = 128 + 60 * np.sin(x / 7)[..., None] * [1, 0.5, -1] + 40 * (y > height / 2)[..., None]
    image = np.clip(waves + rng.normal(0, 8, (height, width, 3)), 0, 255).astype(np.uint8)
    return image, (rng.random((labels, height * width)) * 2).astype(np.float32)


def compat_of(kind, labels, scale=1.0):
    rng = np.random.default_rng(5)
    if kind == "number":
        return 3 * scale
    if kind == "vector":
        return (np.linspace(-1, 0.4, labels) * scale).astype(np.float32)
    return ((rng.random((labels, labels)) - np.eye(labels)) * scale).astype(
        np.float32
    )  # not symmetric


def crf_of(
    package,
    image,
    unary,
    *,
    norm="NORMALIZE_SYMMETRIC",
    kernel="DIAG_KERNEL",
    kind="number",
    sxy=3,
    srgb=6,
):
    height, width = image.shape[:2]
    scale = 0.02 if norm == "NO_NORMALIZATION" else 1.0
    kind, kernel, norm = (
        compat_of(kind, len(unary), scale),
        getattr(package, kernel),
        getattr(package, norm),
    )
    crf = package.DenseCRF2D(width, height, len(unary))
    crf.setUnaryEnergy(unary)
    crf.addPairwiseGaussian(sxy, kind, kernel, norm)
    crf.addPairwiseBilateral(
        sxy=30, srgb=srgb, rgbim=image, compat=kind, kernel=kernel, normalization=norm
    )
    return crf


def same(have, want, atol=2e-6):
    have, want = np.array(have), np.array(want)
    assert (
        have.dtype == want.dtype == np.float32
        and have.shape == want.shape
        and have.strides == want.strides
    )
    np.testing.assert_allclose(have, want, atol=atol)
    near = np.sort(want, axis=0)[-2:]  # labels are equal where no tie is closer than rounding
    clear = near[-1] - near[0] > 2 * atol if len(want) > 1 else np.ones(want.shape[1], bool)
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(have.argmax(axis=0)[clear], want.argmax(axis=0)[clear])


# --- beside the package --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["number", "vector", "matrix"])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    ("height", "width", "labels"), [(17, 23, 3), (40, 52, 21), (33, 31, 2), (16, 20, 4)]
)
def test_inference_beside_the_package(theirs, height, width, labels, norm, kind):
    image, unary = picture(height, width, labels)
    mine, their = (
        crf_of(package, image, unary, norm=norm, kind=kind) for package in (ours, theirs)
    )
    for steps in (0, 1, 5, 10, -3):
        same(mine.inference(steps), their.inference(steps))


@pytest.mark.parametrize("kernel", ["CONST_KERNEL", "DIAG_KERNEL"])
@pytest.mark.parametrize(
    ("sxy", "srgb"), [(3, 6), ((5, 2), (4, 9, 20)), (np.float32(2.5), 13.0), ([-3, 4], (5, 5, 5))]
)
def test_deviations_and_kernels_beside_the_package(theirs, kernel, sxy, srgb):
    image, unary = picture(30, 41, 3)
    mine, their = (
        crf_of(package, image, unary, kernel=kernel, sxy=sxy, srgb=srgb)
        for package in (ours, theirs)
    )
    same(mine.inference(5), their.inference(5))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", ["number", "vector", "matrix"])
def test_steps_and_divergence_beside_the_package(theirs, kind, norm):
    image, unary = picture(21, 26, 5)
    mine, their = (
        crf_of(package, image, unary, norm=norm, kind=kind) for package in (ours, theirs)
    )
    q, *mine_rest = mine.startInference()
    want, *their_rest = their.startInference()
    for _ in range(4):
        same(q, want)
        assert mine.klDivergence(q) == pytest.approx(their.klDivergence(want), rel=1e-5, abs=2e-2)
        mine.stepInference(q, *mine_rest)
        their.stepInference(want, *their_rest)
        assert (
            [np.array(t).shape for t in mine_rest]
            == [np.array(t).shape for t in their_rest]
            == [(0, 0)] * 2
        )
    # marginals that the caller changes are where the next step begins
    for each in (np.asarray(q), np.asarray(want)):
        each[:] = 0
        each[1] = 1
    mine.stepInference(q, *mine_rest)
    their.stepInference(want, *their_rest)
    same(q, want)


@pytest.mark.parametrize("n", [1, 3, 4, 200, 401])
@pytest.mark.parametrize("d", [1, 3, 6, 8])
def test_any_features_beside_the_package(theirs, n, d):
    rng = np.random.default_rng(n + d)
    features = (rng.random((d, n)) * 2).astype(np.float32)
    unary = rng.random((4, n)).astype(np.float32)
    got = []
    for package in (ours, theirs):
        crf = package.DenseCRF(n, 4)
        crf.setUnaryEnergy(unary)
        crf.addPairwiseEnergy(features, 2)
        crf.addPairwiseEnergy(
            features=features[:1].copy(), compat=compat_of("matrix", 4), normalization=2
        )
        got.append(crf.inference(5))
    same(*got)


def test_energies_of_every_kind_beside_the_package(theirs):
    rng = np.random.default_rng(3)
    image, unary = picture(12, 13, 3)
    left, right = rng.random((3, 5)).astype(np.float32), rng.random((5, 156)).astype(np.float32)
    square = rng.random((156, 156)).astype(np.float32) / 156
    infinite = unary.copy()
    infinite[1, ::3] = np.inf
    for energies in (
        lambda m, c: None,
        lambda m, c: c.setUnary(m.ConstUnary(unary)),
        lambda m, c: c.setUnary(m.LogisticUnary(left, right)),
        lambda m, c: c.setUnaryEnergy(unary, square),
        lambda m, c: c.setUnaryEnergy(infinite),
        lambda m, c: (c.setUnaryEnergy(infinite), c.setUnaryEnergy(unary)),
    ):
        got = []
        for package in (ours, theirs):
            crf = package.DenseCRF2D(13, 12, 3)
            energies(package, crf)
            first = np.array(crf.inference(2))
            crf.addPairwiseBilateral(10, 20, image, compat_of("matrix", 3))
            q, a, b = crf.startInference()
            start = np.array(q)
            crf.stepInference(q, a, b)
            got.append((first, start, np.array(q), np.array(crf.inference(3))))
        for have, want in zip(*got):
            np.testing.assert_allclose(have, want, atol=2e-6)


def test_a_kernel_may_come_at_any_time(theirs):
    image, unary = picture(12, 13, 3)
    results = []
    for package in (ours, theirs):
        crf = package.DenseCRF2D(13, 12, 3)
        crf.addPairwiseGaussian(3, 3)
        crf.setUnaryEnergy(unary)
        kept = [np.array(crf.inference(2))]
        crf.addPairwiseBilateral(10, 20, image, 5)
        kept.append(np.array(crf.inference(2)))
        crf.setUnaryEnergy(np.ascontiguousarray(unary[::-1]))
        kept.append(np.array(crf.inference(2)))
        results.append(kept)
    for have, want in zip(*results):
        same(have, want)


def test_utils_beside_the_package(their_utils):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, (7, 9))
    for args in (
        (labels, 3, 0.7),
        (labels, 4, 0.6, False),
        (labels.astype(np.int16), 5, 0.51, True),
    ):
        have, want = (u.unary_from_labels(*args) for u in (our_utils, their_utils))
        assert have.dtype == want.dtype and have.flags.c_contiguous
        np.testing.assert_array_equal(have, want)
    p = rng.random((3, 7, 9))
    p[0, 0] = 0
    for array in (p, p.astype(np.float32), p.transpose(0, 2, 1)):
        for options in (
            {},
            {"scale": 0.7},
            {"scale": 0.5, "clip": 1e-3},
            {"scale": 1.0, "clip": 0.2},
        ):
            have, want = (u.unary_from_softmax(array, **options) for u in (our_utils, their_utils))
            assert have.dtype == want.dtype and have.flags.c_contiguous and have.shape == want.shape
            np.testing.assert_allclose(have, want, rtol=1e-6)
    with np.errstate(divide="ignore"):
        have, want = (u.unary_from_softmax(p, clip=None) for u in (our_utils, their_utils))
    np.testing.assert_array_equal(have, want)
    image = rng.integers(0, 255, (7, 9, 3), dtype=np.uint8)
    for name, args in [
        ("create_pairwise_gaussian", ((3, 5), (7, 9))),
        ("create_pairwise_gaussian", ([2, 3, 4], [5, 6, 7])),
        ("create_pairwise_bilateral", ((3, 5), (7, 8, 9), image, 2)),
        ("create_pairwise_bilateral", ((3, 5), 4, image.transpose(2, 0, 1), 0)),
        ("create_pairwise_bilateral", ((3, 5), (0.01,), image[..., 0] / 255)),
        ("create_pairwise_bilateral", ((3, 5, 7), 4, image)),
        ("compute_unary", (labels, 3)),
        ("softmax_to_unary", (p + 0.01, 0.8)),
    ]:
        have, want = (getattr(u, name)(*args) for u in (our_utils, their_utils))
        assert have.dtype == want.dtype and have.shape == want.shape and have.flags.c_contiguous
        np.testing.assert_allclose(have, want, rtol=1e-6)


def failures(package):
    """What each wrong call raises: its type and the beginning of its message."""
    image, unary = picture(3, 4, 2)
    crf, general = package.DenseCRF2D(4, 3, 2), package.DenseCRF(12, 2)
    vector = np.ones(2, np.float32)
    calls = {
        "unary none": lambda: crf.setUnaryEnergy(None),
        "unary float64": lambda: crf.setUnaryEnergy(unary.astype(float)),
        "unary order": lambda: crf.setUnaryEnergy(np.asfortranarray(unary)),
        "unary axes": lambda: crf.setUnaryEnergy(unary.reshape(2, 3, 4)),
        "unary list": lambda: crf.setUnaryEnergy(unary.tolist()),
        "unary shape": lambda: crf.setUnaryEnergy(unary[:, :6].copy()),
        "unary kind": lambda: crf.setUnary(unary),
        "image shape": lambda: crf.addPairwiseBilateral(3, 3, np.zeros((4, 3, 3), np.uint8), 3),
        "image channels": lambda: crf.addPairwiseBilateral(3, 3, np.zeros((3, 4, 4), np.uint8), 3),
        "image dtype": lambda: crf.addPairwiseBilateral(3, 3, image.astype(np.float32), 3),
        "image axes": lambda: crf.addPairwiseBilateral(3, 3, np.zeros((3, 4), np.uint8), 3),
        "image none": lambda: crf.addPairwiseBilateral(3, 3, None, 3),
        "image order": lambda: crf.addPairwiseBilateral(3, 3, image[:, ::-1], 3),
        "compat float64": lambda: crf.addPairwiseGaussian(3, vector.astype(float)),
        "compat list": lambda: crf.addPairwiseGaussian(3, [1, 2]),
        "compat axes": lambda: crf.addPairwiseGaussian(3, np.ones((2, 2, 2), np.float32)),
        "compat none": lambda: crf.addPairwiseGaussian(3, None),
        "compat complex": lambda: crf.addPairwiseGaussian(3, 1j),
        "sxy short": lambda: crf.addPairwiseGaussian((1,), 3),
        "sxy text": lambda: crf.addPairwiseGaussian(["a", "b"], 3),
        "kernel text": lambda: crf.addPairwiseGaussian(3, 3, "a"),
        "features shape": lambda: general.addPairwiseEnergy(np.ones((2, 11), np.float32), 3),
        "features axes": lambda: general.addPairwiseEnergy(np.ones(12, np.float32), 3),
        "few": lambda: package.DenseCRF(3),
        "marginals": lambda: crf.klDivergence([1]),
        "no wrong call": lambda: crf.addPairwiseGaussian(True, np.float32(3), 1, 3),
    }
    found = {}
    for name, call in calls.items():
        try:
            call()
            found[name] = None
        except Exception as e:
            found[name] = type(e), str(e)
    return found


def test_errors_beside_the_package(theirs):
    mine, their = failures(ours), failures(theirs)
    assert {n: e and e[0] for n, e in mine.items()} == {n: e and e[0] for n, e in their.items()}
    for name, (_, text) in [(n, e) for n, e in mine.items() if e]:
        for words in (
            "Bad shape for unary energy (Need (2, 12), got (2, 6))",
            "Bad shape for pairwise",
            "Buffer",
            "must not",
        ):
            if their[name][1].startswith(words):
                assert text.startswith(words), name


def test_names_beside_the_package(theirs, their_utils):
    for mine, their in ((ours, theirs), (our_utils, their_utils)):
        missing = (
            {n for n in dir(their) if not n.startswith("_")}
            - set(dir(mine))
            - {"Number", "eigen", "warning"}
        )
        assert not missing
    for name in ("CONST_KERNEL", "DIAG_KERNEL", "FULL_KERNEL", *NORMS):
        assert getattr(ours, name) == getattr(theirs, name)
        assert type(getattr(ours, name)).__name__ == type(getattr(theirs, name)).__name__


# --- without the package -------------------------------------------------------------------------


def lattice_pairs(features, norm):
    """[N,N] weights as the lattice of this package sees them."""
    import pycambium as pc

    count = features.shape[1]
    lattice = pc.Lattice(features, pad=True)
    weight = lattice.filter(np.eye(count, dtype=np.float32)).astype(np.float64)
    total = lattice.filter(np.ones((count, 1), np.float32))[:, 0].astype(np.float64)
    if norm == "NORMALIZE_BEFORE":
        weight = weight / total[None, :]
    if norm == "NORMALIZE_AFTER":
        weight = weight / total[:, None]
    if norm == "NORMALIZE_SYMMETRIC":
        weight = weight / np.sqrt(total[:, None] * total[None, :])
    return weight


@pytest.mark.parametrize("kind", ["number", "vector", "matrix"])
@pytest.mark.parametrize("norm", NORMS)
def test_inference_is_mean_field_over_all_pairs(norm, kind):
    image, unary = picture(9, 11, 3)
    crf = crf_of(ours, image, unary, norm=norm, kind=kind, sxy=(2, 4), srgb=(9, 12, 15))
    x, y = np.meshgrid(np.arange(11, dtype=np.float32), np.arange(9, dtype=np.float32))
    near = np.stack([x.ravel() / 2, y.ravel() / 4])
    colours = [image[..., c].ravel() / np.float32(s) for c, s in enumerate((9, 12, 15))]
    alike = np.stack([x.ravel() / 30, y.ravel() / 30, *colours]).astype(np.float32)
    compat = compat_of(kind, 3, 0.02 if norm == "NO_NORMALIZATION" else 1.0)
    cost = {
        "number": lambda: costs(compat, 3),
        "vector": lambda: np.diag(compat.astype(np.float64)),  # energies: they repel
        "matrix": lambda: (compat + compat.T).astype(np.float64) / 2,
    }[kind]()
    pairs = [(lattice_pairs(f, norm), cost) for f in (near, alike)]
    got = crf.inference(4)
    expected = mean_field(unary, pairs, 4)
    np.testing.assert_allclose(got, expected, atol=3e-5)
    assert got.flags.f_contiguous or got.strides[0] == 4

    q, a, b = crf.startInference()
    for _ in range(4):
        crf.stepInference(q, a, b)
    np.testing.assert_allclose(q, expected, atol=3e-5)
    q = q.astype(np.float64)
    divergence = (q * (np.log(q) + unary)).sum() + sum(
        (q * (cost @ q @ w.T)).sum() for w, cost in pairs
    )
    assert crf.klDivergence(q.astype(np.float32)) == pytest.approx(divergence, rel=1e-4, abs=2e-3)


def test_the_lattice_is_near_the_exact_kernels():
    image, unary = picture(9, 11, 3)
    crf = ours.DenseCRF2D(11, 9, 3)
    crf.setUnaryEnergy(unary)
    crf.addPairwiseGaussian((2, 4), 3)
    x, y = np.meshgrid(np.arange(11), np.arange(9))
    weight = weights_of_pairs(np.stack([x.ravel() / 2, y.ravel() / 4]), "symmetric")
    exact = mean_field(unary, [(weight, costs(3, 3))], 5)
    assert np.abs(crf.inference(5) - exact).mean() < 0.05


def test_unary_utils():
    labels = np.array([[0, 1], [2, 3]], np.uint8)
    got = our_utils.unary_from_labels(labels, 3, 0.7)
    chance = np.full((3, 4), 0.15)
    chance[:, 0] = 1 / 3
    chance[range(3), range(1, 4)] = 0.7
    np.testing.assert_allclose(got, -np.log(chance), rtol=1e-6)
    got = our_utils.unary_from_labels(labels, 4, 0.7, zero_unsure=False)
    np.testing.assert_allclose(got, -np.log(np.where(np.eye(4), 0.7, 0.1)), rtol=1e-6)
    for wrong in (labels.astype(int) - 1, labels + 1):
        with pytest.raises(IndexError, match=r"labels are .*; expected 0\.\.3"):
            our_utils.unary_from_labels(wrong, 3, 0.7)
    with pytest.raises(IndexError, match="expected integers"):
        our_utils.unary_from_labels(labels.astype(float), 3, 0.7)
    with pytest.raises(AssertionError, match="gt_prob"):
        our_utils.unary_from_labels(labels, 3, 1)
    p = np.array([[0, 0.25], [1, 0.75]])
    np.testing.assert_allclose(
        our_utils.unary_from_softmax(p), -np.log([[1e-5, 0.25], [1, 0.75]]), rtol=1e-6
    )
    scaled = our_utils.unary_from_softmax(p, scale=0.5)
    np.testing.assert_allclose(scaled, -np.log(0.5 * p + 0.25), rtol=1e-6)
    kept = p.copy()
    our_utils.unary_from_softmax(p, clip=None if (p > 0).all() else 1e-5)
    np.testing.assert_array_equal(p, kept)
    with pytest.raises(AssertionError, match="scale"):
        our_utils.unary_from_softmax(p, scale=2)


def test_features_are_by_axis_and_deviations_of_2d_by_x():
    """sdims is (rows, columns), sxy is (x, y)."""
    image, unary = picture(8, 12, 3)
    general, flat = ours.DenseCRF(96, 3), ours.DenseCRF2D(12, 8, 3)
    for crf in (general, flat):
        crf.setUnaryEnergy(unary)
    general.addPairwiseEnergy(our_utils.create_pairwise_gaussian((5, 2), (8, 12))[::-1].copy(), 3)
    general.addPairwiseEnergy(
        our_utils.create_pairwise_bilateral((40, 20), (5, 6, 7), image, 2)[[1, 0, 2, 3, 4]], 4
    )
    flat.addPairwiseGaussian((2, 5), 3)
    flat.addPairwiseBilateral((20, 40), (5, 6, 7), image, 4)
    np.testing.assert_array_equal(general.inference(4), flat.inference(4))


def test_a_change_of_the_callers_arrays_has_no_effect():
    image, unary = picture(8, 12, 3)
    expected = crf_of(ours, image, unary).inference(4)
    crf = crf_of(ours, image, unary)
    image[:], unary[:] = 0, 0
    np.testing.assert_array_equal(crf.inference(4), expected)
    result = crf.inference(4)
    result[:] = 7
    np.testing.assert_array_equal(crf.inference(4), expected)


def test_read_only_arrays_are_enough():
    image, unary = picture(8, 12, 3)
    expected = crf_of(ours, image, unary).inference(4)
    image.flags.writeable = unary.flags.writeable = False
    np.testing.assert_array_equal(crf_of(ours, image, unary).inference(4), expected)


def test_results_are_what_scripts_do_with_them():
    image, unary = picture(8, 12, 3)
    q = crf_of(ours, image, unary).inference(5)
    labels = np.argmax(q, axis=0).reshape(8, 12)
    assert np.array(q).shape == (3, 96) and labels.shape == (8, 12)
    np.testing.assert_array_equal(np.array(q).reshape(3, 8, 12).argmax(axis=0), labels)
    np.testing.assert_array_equal(np.asarray(memoryview(q)), q)
    np.testing.assert_allclose(np.array(q).sum(axis=0), 1, atol=1e-5)


def test_errors_without_the_package():
    image, unary = picture(8, 12, 3)
    crf = ours.DenseCRF2D(12, 8, 3)
    with pytest.raises(ValueError, match="FULL_KERNEL differs .* use DIAG_KERNEL"):
        crf.addPairwiseGaussian(3, 3, kernel=ours.FULL_KERNEL)
    with pytest.raises(ValueError, match="kernel is 7"):
        crf.addPairwiseGaussian(3, 3, 7)
    with pytest.raises(ValueError, match="normalization is 4"):
        crf.addPairwiseGaussian(3, 3, 1, 4)
    for compat in (np.ones(2, np.float32), np.ones((3, 2), np.float32)):
        with pytest.raises(ValueError, match="Bad shape for compat"):
            crf.addPairwiseGaussian(3, compat)
    with pytest.raises(ValueError, match="compat is nan"):
        crf.addPairwiseGaussian(3, float("nan"))
    for sxy in (0, (3, np.inf)):
        with pytest.raises(ValueError, match="sxy is .*; it must be finite and not 0"):
            crf.addPairwiseGaussian(sxy, 3)
    with pytest.raises(ValueError, match="channels, not 4; use utils.create_pairwise_bilateral"):
        crf.addPairwiseBilateral(3, 3, np.zeros((8, 12, 4), np.uint8), 3)
    unary[1, 5] = np.nan
    with pytest.raises(ValueError, match="unary.* is nan"):
        crf.setUnaryEnergy(unary)
    with pytest.raises(ValueError, match="expected 1 to 8"):
        ours.DenseCRF(96, 3).addPairwiseEnergy(np.zeros((9, 96), np.float32), 3)
    with pytest.raises(
        ValueError, match=r"Bad shape for marginals \(Need \(3, 96\), got \(2, 96\)\)"
    ):
        crf.stepInference(np.zeros((2, 96), np.float32))
    with pytest.raises(TypeError, match="Argument 'Q'"):
        crf.klDivergence(None)
    with pytest.raises(ValueError, match="Bad shape for logistic unary"):
        ours.LogisticUnary(np.zeros((3, 4), np.float32), np.zeros((5, 96), np.float32))
    for wrong in ((0, 8, 3), (12, -8, 3), (12, 8, 0), (2**20, 2**20, 2)):
        with pytest.raises(ValueError, match="the size is|nlabels is"):
            ours.DenseCRF2D(*wrong)
    with pytest.raises(TypeError, match="an integer is required"):
        ours.DenseCRF("3", 3)


def test_no_array_is_copied():
    """NumPy's arrays are traced, the memory of the library is not."""
    image, unary = picture(200, 300, 21)
    crf_of(ours, image, unary).inference(1)
    tracemalloc.start()
    try:
        crf = crf_of(ours, image, unary)
        q = crf.inference(1)
        np.argmax(q[:, :5], axis=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert unary.nbytes > 5_000_000 and peak < 100_000


def test_a_subclass_works():
    """pydensecrf's own classes crash the interpreter there."""

    class Mine(ours.DenseCRF2D):
        pass

    image, unary = picture(8, 12, 3)
    crf = Mine(12, 8, 3)
    crf.setUnaryEnergy(unary)
    np.testing.assert_allclose(crf.inference(0).sum(axis=0), 1, atol=1e-6)


def run(code):
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_init_as_pydensecrf():
    code = """
        import pycambium.compat
        pycambium.compat.init_as_pydensecrf()
        pycambium.compat.init_as_pydensecrf()
        import pydensecrf.densecrf as dcrf
        import pydensecrf.utils
        from pydensecrf.utils import unary_from_labels
        import numpy as np
        d = dcrf.DenseCRF2D(5, 4, 2)
        d.setUnaryEnergy(unary_from_labels(np.ones((4, 5), int), 2, 0.7))
        d.addPairwiseGaussian(sxy=3, compat=3)
        print(dcrf.__name__, np.argmax(d.inference(2), axis=0).max())
    """
    assert run(code) == "pycambium.compat.pydensecrf.densecrf 0"


def test_init_as_pydensecrf_does_not_mix_two_packages():
    code = """
        import sys, types
        import pycambium.compat
        other = sys.modules["pydensecrf"] = types.ModuleType("pydensecrf")
        sys.modules["pydensecrf.eigen"] = types.ModuleType("pydensecrf.eigen")
        try:
            pycambium.compat.init_as_pydensecrf()
        except RuntimeError as e:
            assert "pydensecrf itself was imported already" in str(e), e
            assert sys.modules["pydensecrf"] is other and "pydensecrf.utils" not in sys.modules
            pycambium.compat.init_as_pydensecrf(force=True)
            import pydensecrf.densecrf
            print(pydensecrf.densecrf.__name__, "pydensecrf.eigen" in sys.modules)
    """
    assert run(code) == "pycambium.compat.pydensecrf.densecrf False"


def test_processes_of_a_pool():
    """A forked process must not wait for threads that it does not have."""
    code = """
        import multiprocessing
        import numpy as np
        import pycambium.compat.pydensecrf.densecrf as dcrf

        def work(seed):
            rng = np.random.default_rng(seed)
            d = dcrf.DenseCRF2D(200, 300, 3)
            d.setUnaryEnergy(rng.random((3, 60000), dtype=np.float32))
            d.addPairwiseGaussian(3, 3)
            return float(d.inference(2).sum())

        if __name__ == "__main__":
            work(0)
            with multiprocessing.get_context("fork").Pool(2) as pool:
                print([round(v) for v in pool.map(work, range(4))])
    """
    assert run(code) == "[60000, 60000, 60000, 60000]"


def test_more_deviations_than_axes_are_refused():
    image = np.zeros((5, 6), np.uint8)
    for call in (
        lambda: our_utils.create_pairwise_bilateral((3, 4), 5, image, chdim=0),
        lambda: our_utils.create_pairwise_bilateral((3, 4, 5), 5, image),
        lambda: our_utils.create_pairwise_gaussian((3, 4), (4,)),
    ):
        with pytest.raises(IndexError, match="sdims has . deviations; expected at most"):
            call()
    assert our_utils.create_pairwise_bilateral((3, 4), 5, image).shape == (3, 30)
