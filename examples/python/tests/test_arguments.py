"""Arrays as arguments: what is viewed, converted or refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import pycambium as pc

BIG = 2**32 + 1
WHOLE = "floating-point numbers are not converted to integers"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_integers_are_not_made_of_floats(dtype):
    scores = np.array([[0.9, 0.8, 0.1], [0.2, 0.95, 0.99]], dtype)
    calls = {
        "connected: mask": lambda x: pc.connected(x, copy=True),
        "pack_masks: masks": lambda x: pc.pack_masks(x[None], copy=True),
        "mask_iou: predicted": lambda x: pc.mask_iou(x[None], x[None], copy=True),
        "boundary_iou: predicted": lambda x: pc.boundary_iou(x, x, copy=True),
        "encode_rle: mask": lambda x: pc.encode_rle(x, copy=True),
        "sampled_mask: mask": lambda x: pc.sampled_mask(x, 1, copy=True),
        "lab_colours: photograph": lambda x: pc.lab_colours(np.stack([x] * 3, -1), copy=True),
        "skeleton: found": lambda x: pc.skeleton(x, copy=True),
        "cross_entropy: labels": lambda x: pc.cross_entropy(
            np.zeros((1, 2, 2, 3), np.float32), x[None], copy=True
        ),
        "bootstrap: boxes": lambda x: pc.bootstrap(
            np.zeros((4, 4), np.float32), np.zeros((4, 4), np.float32), x[:, :2].repeat(2, 1), 0
        ),
    }
    for what, call in calls.items():
        with pytest.raises(TypeError, match=what) as refused:
            call(scores)
        assert WHOLE in str(refused.value) and "copy=True" not in str(refused.value), what
    with pytest.raises(TypeError, match=rf"connected: mask is .*{WHOLE}$"):
        pc.connected(scores)
    with pytest.raises(TypeError, match="complex numbers are not converted"):
        pc.normalise(np.ones((1, 2, 2), np.complex64), copy=True)


def test_integers_that_do_not_fit_are_refused():
    labels = np.array([[0, BIG, 1]])
    with pytest.raises(
        ValueError, match=r"statistics: labels\(0,1\) is 4294967297; int32 holds -2147483648 to"
    ):
        pc.statistics(np.array([[0, BIG, 1]], np.uint64), copy=True)
    for call in (
        lambda: pc.Components(labels, copy=True),
        lambda: pc.ConfusionMatrix(3).accumulate(labels.astype(np.uint64), labels, copy=True),
        lambda: pc.relabel(labels, np.arange(3, dtype=np.int32), copy=True),
    ):
        with pytest.raises(ValueError, match=r"\(0,1\) is 4294967297; int32 holds"):
            call()
    with pytest.raises(ValueError, match=r"photograph\(0,0,1\) is -5; uint8 holds 0 to 255"):
        pc.lab_colours(np.array([[[200, -5, 0]]]), copy=True)
    with pytest.raises(ValueError, match=r"photograph\(0,0,0\) is 256; uint8 holds 0 to 255"):
        pc.lab_colours(np.array([[[256, 5, 0]]]), copy=True)


def test_what_fits_is_converted():
    labels = np.array([[0, 2, 1]])
    for dtype in (np.int8, np.int16, np.uint16, np.uint32, np.uint64, np.int64):
        assert pc.statistics(labels.astype(dtype), copy=True).area.tolist() == [1, 1, 1]
    extremes = np.array([[-(2**31), 0, 2**31 - 1]])
    assert pc.connected_equal(extremes, copy=True).count == 2
    assert pc.Components(np.zeros((0, 3)), copy=True).count == 0  # no number of it is a fraction
    maps = np.arange(6).reshape(1, 2, 3)
    want = pc.normalise(maps.astype(np.float32))
    np.testing.assert_array_equal(pc.normalise(maps, copy=True), want)
    np.testing.assert_array_equal(pc.normalise(maps.astype(np.float16), copy=True), want)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.uint64])
def test_a_mask_is_inside_where_it_is_not_zero(dtype):
    mask = np.array([[64, 0, 1], [0, 0, 0]]).astype(dtype) * (-2 if dtype == np.int8 else 4)
    assert int(mask[0, 0]) in (256, -128)
    assert pc.connected(mask, copy=True).label.tolist() == [[1, 0, 2], [0, 0, 0]]
    assert pc.pack_masks(mask[None], copy=True).area.tolist() == [2]
    assert pc.rle_area(pc.encode_rle(mask, copy=True)) == 2
    assert pc.mask_iou(mask[None], (mask != 0)[None], copy=True).tolist() == [[1]]
    assert pc.connected(mask.T, copy=True).label.tolist() == [[1, 0], [0, 0], [2, 0]]


def test_a_finite_number_stays_finite():
    maps = np.array([[[1.0, 1e39, 2.0]]])
    half = (2 - 2.0**-24) * 2.0**127  # between the largest float32 and the next, which is none
    boundary = np.zeros((1, 3))
    with pytest.raises(
        ValueError, match=r"irnet: cams\(0,0,1\) is 1e\+39, more than float32 holds"
    ):
        pc.irnet(maps, [0], boundary, (1, 9), copy=True)
    mean = np.array([[np.nextafter(half, 0)]])  # rounded down
    assert mean[0, 0] > float(np.finfo(np.float32).max)
    with np.errstate(all="raise"):
        pc.bootstrap(mean, np.zeros((1, 1)), None, 0, copy=True)
    mean[0, 0] = half
    with pytest.raises(ValueError, match=r"bootstrap: mean\(0,0\) is 3.4028235677973366e\+38, more"):
        pc.bootstrap(mean, np.zeros((1, 1)), None, 0, copy=True)
    with pytest.raises(ValueError, match=r"ImageResult: score\(1\) is -1e\+300"):
        pc.ImageResult([0, 0], [0.5, -1e300], [], [])


def test_memory_maps_are_viewed(tmp_path, rng):
    maps = rng.random((3, 5, 7)).astype(np.float32)
    np.save(tmp_path / "maps.npy", maps)
    want = pc.normalise(maps)
    for mode in ("r", "r+", "c"):
        mapped = np.load(tmp_path / "maps.npy", mmap_mode=mode)
        np.testing.assert_array_equal(pc.normalise(mapped), want)
        np.testing.assert_array_equal(pc.normalise(mapped[:, ::-1], copy=True), want[:, ::-1])

    class Own(np.ndarray):
        pass

    own = maps.view(Own)
    own.flags.writeable = False
    np.testing.assert_array_equal(pc.normalise(own), want)
    boundary = np.zeros((5, 7), np.float32)
    step = pc.make_transition(pc.path_affinity(boundary))
    out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.float32, maps.shape)
    pc.random_walk(maps, step, steps=4, out=out)
    np.testing.assert_array_equal(out, pc.random_walk(maps, step, steps=4))
    with pytest.raises(ValueError, match="random_walk: out is read-only"):
        pc.random_walk(maps, step, out=np.load(tmp_path / "out.npy", mmap_mode="r"))


def test_masked_arrays_are_refused(rng):
    maps = rng.random((3, 5, 7)).astype(np.float32)
    masked = np.ma.masked_array(maps, maps > 0.3)
    for call in (
        lambda: pc.threshold_labels(masked, 0.5),
        lambda: pc.threshold_labels(masked, 0.5, copy=True),
        lambda: pc.ImageResult(np.ma.masked_array([1, 2], [0, 1]), [0.5, 0.5], [], []),
        lambda: pc.Pairwise(compat=np.ma.masked_array([1.0, 2.0], [0, 1])),
    ):
        with pytest.raises(TypeError, match=r"a masked array with masked cells: say \.filled"):
            call()
    whole = np.ma.masked_array(maps, np.zeros(maps.shape, bool))
    np.testing.assert_array_equal(pc.threshold_labels(whole, 0.5), pc.threshold_labels(maps, 0.5))
    np.testing.assert_array_equal(
        pc.threshold_labels(masked.filled(0), 0.5),
        pc.threshold_labels(np.where(maps > 0.3, 0, maps), 0.5),
    )


def test_an_output_is_not_converted():
    maps = np.ones((1, 4, 4), np.float32)
    step = pc.make_transition(pc.path_affinity(np.zeros((4, 4), np.float32)))
    for copy in (False, True):
        with pytest.raises(TypeError, match=r"out is float64 \(1,4,4\); expected dtype float32$"):
            pc.random_walk(maps, step, out=np.empty((1, 4, 4)), copy=copy)
        with pytest.raises(ValueError, match=r"out is .*; expected C order without gaps$"):
            pc.random_walk(maps, step, out=np.empty((1, 4, 8), np.float32)[..., ::2], copy=copy)
    with pytest.raises(ValueError, match=r"seeds is .* without gaps \(copy=True copies it\)$"):
        pc.random_walk(np.ones((1, 4, 8), np.float32)[..., ::2], step)


def test_negative_bit():
    torch = pytest.importorskip("torch")
    maps = torch.rand(2, 4, 5) + 0.1
    negative = torch._neg_view(maps)
    conjugate = torch.complex(maps, maps).conj().imag
    for x in (negative, conjugate):
        assert x.is_neg()
        for copy in (False, True):
            with pytest.raises(TypeError, match=r"maps is .* say \.resolve_neg\(\)"):
                pc.threshold_labels(x, 0.05, copy=copy)
        assert pc.threshold_labels(x.resolve_neg().contiguous(), 0.05).max() == 0
    step = pc.make_transition(pc.path_affinity(np.zeros((4, 5), np.float32)))
    with pytest.raises(TypeError, match="random_walk: out is a tensor with the negative bit"):
        pc.random_walk(maps, step, out=torch._neg_view(torch.empty(2, 4, 5)))


def test_bfloat16():
    torch = pytest.importorskip("torch")
    maps = torch.rand(2, 4, 5).bfloat16()
    with pytest.raises(TypeError, match=r"maps is bfloat16 \(2,4,5\); .*copy=True converts it"):
        pc.normalise(maps)
    np.testing.assert_array_equal(pc.normalise(maps, copy=True), pc.normalise(maps.float()))
    turned = maps.transpose(1, 2)
    np.testing.assert_array_equal(
        pc.normalise(turned, copy=True), pc.normalise(turned.float().contiguous())
    )
    with pytest.raises(TypeError, match=WHOLE):
        pc.connected(maps[0], copy=True)
    with pytest.raises(TypeError, match="normalise: maps is ") as refused:
        pc.normalise(maps.to(torch.float8_e5m2), copy=True)
    assert "nanobind" not in str(refused.value)


def test_lists_of_classes_are_no_flags():
    cams = np.ones((3, 4, 4), np.float32)
    boundary = np.zeros((4, 4), np.float32)
    for keys in ([True, False, True], np.array([True, False, True])):
        with pytest.raises(TypeError, match="irnet: keys: entry 0 is .*bool.*; expected a list of"):
            pc.irnet(cams, keys, boundary, (16, 16))
    with pytest.raises(ValueError, match="irnet: keys names 5 twice"):
        pc.irnet(cams, [5, 1, 5], boundary, (16, 16))
    with pytest.raises(TypeError, match="DenseCRF: present: entry 0 is bool"):
        crf = pc.DenseCRF(np.zeros((4, 4, 3), np.uint8))
        crf.infer(np.zeros((2, 4, 4), np.float32), present=[False, True])
    flags = [np.bool_(True), False, 1]
    made = pc.make_cams([cams], (16, 16), flags)
    assert made.keys.tolist() == [0, 2]


def test_a_thread_that_lives_at_the_end_is_no_leak():
    code = (
        "import numpy as np, pycambium as pc, threading, time\n"
        "c = pc.connected(np.ones((4, 4), np.uint8))\n"
        "threading.Thread(target=lambda: time.sleep(100), daemon=True).start()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
