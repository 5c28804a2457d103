import numpy as np
import pytest

import pycambium as pc
from golden import golden_cases


@pytest.fixture
def scene(rng):
    """Two discs of two classes, walls between them, a field that leads to their middles."""
    height, width = 16, 20
    y, x = np.indices((height, width))
    cams = np.zeros((2, height, width), np.float32)
    field = np.zeros((2, height, width), np.float32)
    boundary = np.full((height, width), 0.02, np.float32)
    for c, (cy, cx) in enumerate(((7, 5), (8, 14))):
        away = np.hypot(y - cy, x - cx)
        cams[c] = np.where(away < 3, 1 - away / 6, 0)
        inside = away < 5
        field[0][inside], field[1][inside] = (cy - y)[inside], (cx - x)[inside]
        boundary[(away >= 5) & (away < 6)] = 0.9
    return cams, [3, 7], boundary, (61, 77), field


def test_irnet_labels_two_discs(scene):
    cams, keys, boundary, image, field = scene
    got = pc.irnet(cams, keys, boundary, image, displacement=field)
    assert got.semantic.shape == got.objects.label.shape == image
    assert got.semantic.dtype == got.objects.label.dtype == np.int32
    assert set(np.unique(got.semantic)) == {0, 4, 8}
    assert got.semantic[28, 20] == 4 and got.semantic[32, 56] == 8 and got.semantic[0, 0] == 0
    objects = got.objects
    assert len(objects) >= 2 and set(objects.category) == {3, 7}
    for i in range(len(objects)):
        mask = objects.label == i + 1
        rows, columns = np.nonzero(mask)
        assert objects.area[i] == mask.sum()
        np.testing.assert_array_equal(
            objects.bounds[i], [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
        )
        small = mask.sum() < 0.01 * mask.size
        assert (objects.score[i] == 0) == small
    assert repr(got).startswith(f"ImageLabels(Instances({len(objects)}, label=(61, 77))")
    with pytest.raises(AttributeError):
        got.semantic = None


def same(a, b):
    np.testing.assert_array_equal(a.semantic, b.semantic)
    for name in ("label", "category", "score", "area", "bounds"):
        np.testing.assert_array_equal(getattr(a.objects, name), getattr(b.objects, name))


def test_walk_then_label_is_irnet(scene):
    cams, keys, boundary, image, field = scene
    for displacement in (None, field):
        scores = pc.irnet_walk(cams, keys, boundary, image, displacement=displacement)
        assert scores.classes.shape == cams.shape and not scores.classes.flags.writeable
        assert (scores.instances is None) == (displacement is None)
        for options in (
            {},
            {"sem_seg_bg_thres": 0.5, "ins_seg_bg_thres": 0.1, "small": "drop", "scale": "group"},
        ):
            same(
                pc.irnet_label(scores, keys, boundary, image, **options),
                pc.irnet(cams, keys, boundary, image, displacement=displacement, **options),
            )
    step = pc.make_transition(pc.path_affinity(boundary))
    np.testing.assert_array_equal(scores.classes, pc.random_walk(cams * (1 - boundary), step))
    np.testing.assert_array_equal(scores.classes, pc.propagate_to_edge(cams, boundary))


def test_labelling_reads_a_boundary(scene):
    cams, keys, boundary, image, field = scene
    scores = pc.irnet_walk(cams, keys, boundary, image)
    for value in (np.nan, 255.0, -0.5):
        other = boundary.copy()
        other[1, 2] = value
        with pytest.raises(ValueError, match=r"irnet_label: boundary\(1,2\) is .*\[0,1\]"):
            pc.irnet_label(scores, keys, other, image)


def test_tiles_give_the_same(scene):
    cams, keys, boundary, image, field = scene
    options = {"displacement": field, "exp_times": 2}
    whole = pc.irnet(cams, keys, boundary, image, **options)
    same(pc.irnet_tiled(cams, keys, boundary, image, tile=32, overlap=80, **options), whole)
    with pytest.raises(ValueError, match="irnet_tiling: a tile of 3 pixels"):
        pc.irnet_tiled(cams, keys, boundary, image, tile=3, **options)


def test_nothing_scores(scene):
    cams, keys, boundary, image, field = scene
    got = pc.irnet(cams * 0, keys, boundary, image, displacement=field)
    assert not got.semantic.any() and len(got.objects) == 0
    assert got.objects.bounds.shape == (0, 4)
    got = pc.irnet(cams[:0], [], boundary, image)
    assert not got.semantic.any() and len(got.objects) == 0
    got = pc.irnet(cams * 0, keys, boundary, image, empty="first_channel")
    assert (got.semantic == 4).all()


def test_errors_name_the_argument(scene):
    cams, keys, boundary, image, field = scene
    with pytest.raises(TypeError, match="irnet: got an unexpected keyword argument 'betta'"):
        pc.irnet(cams, keys, boundary, image, betta=3)
    with pytest.raises(TypeError, match="irnet: beta is str; expected a number"):
        pc.irnet(cams, keys, boundary, image, beta="a")
    with pytest.raises(TypeError, match="irnet: exp_times is float; expected an integer"):
        pc.irnet(cams, keys, boundary, image, exp_times=8.5)
    with pytest.raises(TypeError, match="irnet: radius is int; expected an integer of its range"):
        pc.irnet(cams, keys, boundary, image, radius=2**40)
    with pytest.raises(
        ValueError, match="irnet: small is 'gone'; expected one of 'score_zero', 'drop', 'keep'"
    ):
        pc.irnet(cams, keys, boundary, image, small="gone")
    with pytest.raises(ValueError, match="CAMs are .* but there are 1 keys"):
        pc.irnet(cams, [3], boundary, image)
    with pytest.raises(ValueError, match="irnet: key 255 is outside 0..253"):
        pc.irnet(cams, [3, 255], boundary, image)
    with pytest.raises(TypeError, match="irnet: keys: entry 0 is str; expected a list of integers"):
        pc.irnet(cams, ["a", "b"], boundary, image)
    with pytest.raises(ValueError, match=r"an image of 64 x 100 needs CAMs of \[C,16,25\]"):
        pc.irnet(cams, keys, boundary, (64, 100))
    with pytest.raises(ValueError, match="irnet: an image of 0 x 77"):
        pc.irnet(cams, keys, boundary, (0, 77))
    with pytest.raises(
        ValueError, match=r"irnet: displacement is float32 \(1,16,20\); expected \[2,h,w\]"
    ):
        pc.irnet(cams, keys, boundary, image, displacement=field[:1])
    with pytest.raises(TypeError, match="irnet: cams is float64"):
        pc.irnet(cams.astype(float), keys, boundary, image)
    pc.irnet(cams.astype(float), keys, boundary, image, copy=True)
    broken = cams.copy()
    broken[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="irnet: cams"):
        pc.irnet(broken, keys, boundary, image)
    with pytest.raises(TypeError, match="irnet_label"):
        pc.irnet_label(cams, keys, boundary, image)
    scores = pc.irnet_walk(cams, keys, boundary, image)
    with pytest.raises(ValueError, match="needs CAMs of"):
        pc.irnet_label(scores, keys, boundary, (160, 200))


def irnet_of(case, threshold, **more):
    """pc.irnet with the options of a golden case; `threshold` names the one that matters."""
    p = case.params
    options = {name: p[name] for name in ("radius", "beta", "exp_times", threshold)}
    edge = case["edge"].reshape(case["edge"].shape[-2:])
    size = (p["image_height"], p["image_width"])
    return pc.irnet(case["cams"], case["keys"], edge, size, **options, **more)


@pytest.mark.parametrize("case", golden_cases("irnet", "s5_make_sem_seg"))
def test_semantic_labels_of_the_original(case):
    if case.manifest.get("degenerate"):
        pytest.skip("the original gives NaN here")
    got = irnet_of(case, "sem_seg_bg_thres")
    case.close(got.semantic, "label")


@pytest.mark.parametrize("case", golden_cases("irnet", "s5_make_ins_seg"))
def test_instances_of_the_original(case):
    if case.manifest.get("degenerate") or case.manifest.get("reference_raises"):
        pytest.skip("the original gives NaN here, or raises")
    got = irnet_of(case, "ins_seg_bg_thres", displacement=case["dp"]).objects
    if case["ambiguous"].any() if "ambiguous" in case else False:
        sure = ~case["ambiguous"]
        np.testing.assert_array_equal(got.label[sure] > 0, case["det_label_map"][sure] > 0)
        return
    np.testing.assert_array_equal(got.label, case["det_label_map"])
    np.testing.assert_array_equal(got.category, case["det_class"])
    np.testing.assert_allclose(got.score, case["det_score"], rtol=3e-4)


@pytest.mark.parametrize("case", golden_cases("irnet", "s7_cam_to_ir_label"))
def test_label_mining_of_the_original(case):
    p = case.params
    got = pc.cam_to_ir_label(
        case["image"],
        case["cams"],
        case["keys"],
        conf_fg_thres=p["conf_fg_thres"],
        conf_bg_thres=p["conf_bg_thres"],
        gt_prob=p["gt_prob"],
        iterations=p["t"],
    )
    case.close(got, "conf")


def test_label_mining_errors(rng):
    image = rng.integers(0, 255, (6, 7, 3)).astype(np.uint8)
    cams = rng.random((2, 6, 7)).astype(np.float32)
    got = pc.cam_to_ir_label(image, cams, [0, 4])
    assert got.shape == (6, 7) and set(np.unique(got)) <= {0, 1, 5, 255}
    with pytest.raises(TypeError, match="cam_to_ir_label: image is float32"):
        pc.cam_to_ir_label(image.astype(np.float32), cams, [0, 4])
    with pytest.raises(ValueError, match="CAMs are .* but the image is"):
        pc.cam_to_ir_label(image[:5], cams, [0, 4])
    with pytest.raises(ValueError, match="key -1 is outside"):
        pc.cam_to_ir_label(image, cams, [0, -1])
    with pytest.raises(ValueError, match="iterations"):
        pc.cam_to_ir_label(image, cams, [0, 4], iterations=-1)
    with pytest.raises(ValueError, match="gt_prob"):
        pc.cam_to_ir_label(image, cams, [0, 4], gt_prob=1.5)
