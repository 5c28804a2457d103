"""Masks as run lengths, and files of COCO, VOC, label maps and points."""

import json
import os
import struct
import zlib

import numpy as np
import pytest

import pycambium as pc

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(samples, colour_type, palette=None):
    """The bytes of a PNG, without any library of images."""
    samples = np.ascontiguousarray(samples)
    height, width = samples.shape[:2]
    depth = 8 * samples.dtype.itemsize
    rows = samples.astype(samples.dtype.newbyteorder(">")).reshape(height, -1).view(np.uint8)
    raw = np.hstack([np.zeros((height, 1), np.uint8), rows]).tobytes()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))]
    if palette is not None:
        chunks.append((b"PLTE", np.asarray(palette, np.uint8).tobytes()))
    chunks += [(b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    out = SIGNATURE
    for name, data in chunks:
        out += (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )
    return out


def chunks_of(path):
    content = path.read_bytes()
    assert content.startswith(SIGNATURE)
    out, at = {}, 8
    while at < len(content):
        (size,) = struct.unpack_from(">I", content, at)
        out[content[at + 4 : at + 8]] = content[at + 8 : at + 8 + size]
        at += 12 + size
    return out


def runs(mask):
    """Lengths of runs down the columns, beginning with zeros."""
    cells = mask.T.reshape(-1) != 0
    ends = np.flatnonzero(np.diff(cells)) + 1
    counts = np.diff(np.concatenate([[0], ends, [cells.size]]))
    return [0, *counts.tolist()] if cells[0] else counts.tolist()


@pytest.fixture
def masks(rng):
    return rng.random((4, 17, 23)) < np.array([0.5, 0.1, 0, 1])[:, None, None]


# --- run lengths -------------------------------------------------------------------------------


def test_rle(masks):
    for mask in masks:
        rle = pc.encode_rle(mask, compressed=False)
        assert rle == {"size": [17, 23], "counts": runs(mask)}
        text = pc.encode_rle(mask)
        assert isinstance(text["counts"], str)
        for form in (
            rle,
            text,
            {**text, "counts": text["counts"].encode()},
            {**rle, "counts": np.array(rle["counts"])},
        ):
            np.testing.assert_array_equal(pc.decode_rle(form), mask)
            assert pc.rle_area(form) == mask.sum()
        json.dumps(text)
    several = pc.encode_rle(masks)
    assert several == [pc.encode_rle(mask) for mask in masks]
    np.testing.assert_array_equal(pc.decode_rle(several), masks)
    np.testing.assert_array_equal(pc.rle_area(several), masks.sum(axis=(1, 2)))
    assert pc.decode_rle([]).shape == (0, 0, 0)


def test_rle_boxes_overlaps_unions(masks):
    rles = pc.encode_rle(masks)
    boxes = pc.rle_box(rles)
    for mask, box in zip(masks, boxes, strict=True):
        y, x = np.nonzero(mask)
        expected = [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1] if y.size else [0, 0, 0, 0]
        np.testing.assert_array_equal(box, expected)
    np.testing.assert_array_equal(pc.rle_box(rles[1]), boxes[1])
    crowd = [False, True, False, True]
    for flags in (None, crowd):
        got = pc.rle_iou(rles, rles, flags)
        for d, a in enumerate(masks):
            for g, b in enumerate(masks):
                both, either = (a & b).sum(), a.sum() if flags and crowd[g] else (a | b).sum()
                assert got[d, g] == (both / either if both else 0)
    np.testing.assert_array_equal(pc.decode_rle(pc.merge_rle(rles[:2])), masks[0] | masks[1])
    both = pc.merge_rle(rles[:2], how="both")
    np.testing.assert_array_equal(pc.decode_rle(both), masks[0] & masks[1])


def test_rle_is_pycocotools(masks, rng):
    cocotools = pytest.importorskip("pycocotools.mask")
    theirs = cocotools.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))
    mine = pc.encode_rle(masks)
    assert [each["counts"].encode() for each in mine] == [each["counts"] for each in theirs]
    np.testing.assert_array_equal(cocotools.decode(mine).transpose(2, 0, 1), masks)
    np.testing.assert_array_equal(pc.rle_area(theirs), cocotools.area(theirs))
    np.testing.assert_array_equal(pc.rle_box(theirs), cocotools.toBbox(theirs))
    np.testing.assert_array_equal(
        pc.rle_iou(theirs, theirs, [0, 1, 0, 1]), cocotools.iou(theirs, theirs, [0, 1, 0, 1])
    )
    for how, intersect in (("either", False), ("both", True)):
        expected = cocotools.merge(theirs[:2], intersect)["counts"]
        assert pc.merge_rle(theirs[:2], how=how)["counts"].encode() == expected
    for _ in range(20):
        xy = rng.uniform(-5, 40, 2 * int(rng.integers(3, 9))).tolist()
        expected = cocotools.frPyObjects([xy], 30, 35)[0]["counts"]
        assert pc.rle_of_polygon([30, 35], xy)["counts"].encode() == expected


def test_rle_errors(masks):
    rle = pc.encode_rle(masks[0])
    with pytest.raises(TypeError, match="decode_rle: rle is int; expected a list of masks"):
        pc.decode_rle(3)
    with pytest.raises(TypeError, match=r"rle_area: rle\[1\] is str; expected \{'size'"):
        pc.rle_area([rle, "x"])
    with pytest.raises(ValueError, match="decode_rle: rle has no 'counts'"):
        pc.decode_rle({"size": [1, 1]})
    with pytest.raises(
        ValueError, match=r"rle\['size'\] has 3 entries; expected \(height, width\)"
    ):
        pc.decode_rle({**rle, "size": [17, 23, 1]})
    with pytest.raises(ValueError, match=r"rle\['size'\] is -1 x 23"):
        pc.decode_rle({**rle, "size": [-1, 23]})
    with pytest.raises(ValueError, match=r"rle\['counts'\]: ends inside a count"):
        pc.decode_rle({**rle, "counts": "o"})
    with pytest.raises(ValueError, match=r"decode_rle: rle\['counts'\] is a text with a lone surr"):
        pc.decode_rle({**rle, "counts": "\ud800"})
    with pytest.raises(
        ValueError, match=r"pack_rle: masks\[1\]\['counts'\] is a text with a lone surrogate"
    ):
        pc.pack_rle([rle, {**rle, "counts": "04\udfff"}])
    with pytest.raises(ValueError, match=r"rle\['counts'\]: count 1 runs past the end"):
        pc.decode_rle({"size": [2, 2], "counts": [1, 4]})
    with pytest.raises(ValueError, match="rle has .* cells; expected at most"):
        pc.decode_rle({"size": [2**20, 2**20], "counts": [2**40]})
    with pytest.raises(ValueError, match="merge_rle: no mask"):
        pc.merge_rle([])
    with pytest.raises(ValueError, match="1 flags of crowds but 2 true masks"):
        pc.rle_iou([rle], [rle, rle], [1])
    with pytest.raises(ValueError, match="a mask is 17 x 23 but another one 2 x 2"):
        pc.merge_rle([rle, pc.encode_rle(np.zeros((2, 2), bool))])
    square = np.array([[1, 1], [1, 8], [8, 8], [8, 2.0]])
    want = pc.rle_of_polygon([10, 10], square.ravel())
    assert pc.rle_of_polygon([10, 10], square) == want
    assert pc.rle_of_polygon([10, 10], square.tolist()) == want
    assert pc.rle_of_polygon([10, 10], square.ravel().tolist()) == want
    for other in (square.T, np.ones((4, 3)), np.ones((6, 1)), [square.ravel().tolist()]):
        with pytest.raises(ValueError, match=r"rle_of_polygon: xy is .*; expected \[N,2\]"):
            pc.rle_of_polygon([10, 10], other)
    with pytest.raises(ValueError, match="rle_of_polygon: 4 numbers"):
        pc.rle_of_polygon([3, 3], [0, 0, 1, 1])
    with pytest.raises(ValueError, match="encode_rle: mask is bool .* gaps or permuted axes"):
        pc.encode_rle(np.asfortranarray(masks[0]))
    np.testing.assert_array_equal(
        pc.decode_rle(pc.encode_rle(np.asfortranarray(masks[0]), copy=True)), masks[0]
    )


# --- COCO --------------------------------------------------------------------------------------


@pytest.fixture
def dataset(masks):
    return {
        "images": [{"id": 7, "height": 17, "width": 23, "file_name": "a.jpg"}],
        "categories": [{"id": 18, "name": "dog", "supercategory": "animal"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 7,
                "category_id": 18,
                "segmentation": pc.encode_rle(masks[0]),
                "iscrowd": 1,
            },
            {
                "id": 2,
                "image_id": 7,
                "category_id": 18,
                "segmentation": [[1, 1, 9, 1, 9, 7]],
                "area": 5.5,
            },
            {"id": 3, "image_id": 7, "category_id": 18, "bbox": [1, 2, 3, 4.5]},
        ],
    }


def test_coco_files(tmp_path, dataset, masks):
    path = tmp_path / "set.json"
    pc.write_coco(path, dataset)
    written = json.loads(path.read_text())
    first, second, third = written["annotations"]
    assert first["segmentation"] == dataset["annotations"][0]["segmentation"]
    assert (first["area"], first["iscrowd"]) == (masks[0].sum(), 1)
    assert first["bbox"] == pc.rle_box(pc.encode_rle(masks[0])).tolist()
    assert (second["area"], second["segmentation"]) == (5.5, [[1, 1, 9, 1, 9, 7]])
    assert "segmentation" not in third
    got = pc.read_coco(path)
    assert got.pop("notes") == []
    assert got == written
    path.write_text(json.dumps(dataset))
    assert pc.read_coco(os.fsencode(path))["annotations"] == written["annotations"]


def test_coco_results_files(tmp_path, masks):
    path = tmp_path / "results.json"
    results = [
        {"image_id": 7, "category_id": 18, "segmentation": pc.encode_rle(m), "score": i / 8}
        for i, m in enumerate(masks)
    ]
    pc.write_coco_results(str(path), results)
    assert json.loads(path.read_text()) == results
    assert pc.read_coco_results(path) == results


def test_coco_errors_say_where(tmp_path, dataset):
    path = tmp_path / "set.json"
    dataset["annotations"][1]["image_id"] = 8
    path.write_text(json.dumps(dataset))
    with pytest.raises(
        OSError, match=r"set.json: annotations\[1\].image_id: there is no image 8 \(id 2\)"
    ):
        pc.read_coco(path)
    path.write_text('{"images": [')
    with pytest.raises(OSError, match="set.json: "):
        pc.read_coco(path)
    with pytest.raises(
        ValueError, match=r"write_coco: dataset.annotations\[1\].image_id: there is no image 8"
    ):
        pc.write_coco(path, dataset)
    dataset["annotations"][1]["image_id"] = "7"
    with pytest.raises(
        TypeError, match=r"dataset.annotations\[1\].image_id is str; expected an integer"
    ):
        pc.write_coco(path, dataset)
    dataset["annotations"][1]["image_id"] = 7
    named = {**dataset["images"][0], "file_name": "\ud800.jpg"}
    with pytest.raises(ValueError, match=r"dataset.images\[0\].file_name is a text with a lone"):
        pc.write_coco(path, {**dataset, "images": [named]})
    with pytest.raises(ValueError, match="write_coco: dataset.images is missing"):
        pc.write_coco(path, {})
    with pytest.raises(TypeError, match="write_coco: dataset is list; expected a dict"):
        pc.write_coco(path, [])
    with pytest.raises(ValueError, match=r"write_coco_results: results\[0\].score is missing"):
        pc.write_coco_results(path, [{"image_id": 1, "category_id": 1}])
    assert path.read_text() == '{"images": ['


def test_categories():
    assert (pc.sparse_category(80), pc.contiguous_category(90), pc.sparse_category(0)) == (
        90,
        80,
        0,
    )
    with pytest.raises(ValueError, match="COCO has no category 12"):
        pc.contiguous_category(12)


# --- label maps --------------------------------------------------------------------------------


def test_label_maps(tmp_path, rng):
    path = tmp_path / "labels.png"
    labels = rng.integers(0, 256, (9, 14))
    for integers in (np.uint8, np.int32, np.int64):
        pc.write_label_map(path, labels.astype(integers))
        got = pc.read_label_map(path)
        assert got.dtype == np.int32
        np.testing.assert_array_equal(got, labels)
    palette = np.frombuffer(chunks_of(path)[b"PLTE"], np.uint8).reshape(-1, 3)
    np.testing.assert_array_equal(palette, pc.voc_palette())
    assert palette[[0, 1, 15, 255]].tolist() == [
        [0, 0, 0],
        [128, 0, 0],
        [192, 128, 128],
        [224, 224, 192],
    ]
    path.write_bytes(png(labels.astype(np.uint8), 0))
    np.testing.assert_array_equal(pc.read_label_map(path), labels)
    np.testing.assert_array_equal(pc.read_instance_map(path), np.where(labels == 255, -1, labels))
    ids = labels * 200
    pc.write_instance_map(path, ids)
    np.testing.assert_array_equal(pc.read_instance_map(path), ids)
    assert chunks_of(path)[b"IHDR"][8:10] == bytes([16, 0])


def test_label_map_errors(tmp_path):
    path = tmp_path / "labels.png"
    with pytest.raises(ValueError, match="256"):
        pc.write_label_map(path, np.full((2, 2), 256))
    with pytest.raises(ValueError, match="write_label_map: labels holds 4294967297"):
        pc.write_label_map(path, np.full((2, 2), 2**32 + 1))
    assert not path.exists()
    path.write_bytes(png(np.arange(27, dtype=np.uint8).reshape(3, 3, 3), 2))
    with pytest.raises(OSError, match="labels.png: is a colour image"):
        pc.read_label_map(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(OSError, match="labels.png: "):
        pc.read_label_map(path)
    with pytest.raises(FileNotFoundError, match="none.png"):
        pc.read_label_map(tmp_path / "none.png")
    with pytest.raises(IsADirectoryError):
        pc.read_label_map(tmp_path)
    with pytest.raises(TypeError):
        pc.read_label_map(3.5)
    with pytest.raises(ValueError, match="null"):
        pc.read_label_map("a\0b")


def test_photographs(tmp_path, rng):
    path = tmp_path / "photo.jpg"  # the name does not matter
    image = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    path.write_bytes(png(image, 2))
    np.testing.assert_array_equal(pc.read_photograph(path), image)
    pc.write_photograph(path, image[::-1], copy=True)
    np.testing.assert_array_equal(pc.read_photograph(path), image[::-1])
    with pytest.raises(
        ValueError, match=r"write_photograph: image is uint8 \(7,3,5\); expected \[H,W,3\]"
    ):
        pc.write_photograph(path, np.zeros((7, 3, 5), np.uint8))
    path.write_bytes(b"GIF89a")
    with pytest.raises(OSError, match="photo.jpg: "):
        pc.read_photograph(path)


# --- VOC ---------------------------------------------------------------------------------------


def test_voc_segmentation(tmp_path):
    label = np.array([[0, 1, 1, 0], [2, 2, 0, 0], [0, 0, 3, 3]], np.int32)
    ignored = np.array([[0, 0, 0, 1], [0] * 4, [0] * 4], bool)
    paths = tmp_path / "classes" / "a.png", tmp_path / "objects" / "a.png"
    pc.write_voc_segmentation(*paths, label, [15, 7, 15], ignored=ignored)
    classes = np.array([0, 15, 7, 15])[label]
    np.testing.assert_array_equal(pc.read_label_map(paths[0]), np.where(ignored, 255, classes))
    np.testing.assert_array_equal(pc.read_instance_map(paths[1]), np.where(ignored, -1, label))
    got = pc.read_voc_segmentation(*paths)
    np.testing.assert_array_equal(got.objects.label, label)
    np.testing.assert_array_equal(got.objects.category, [15, 7, 15])
    np.testing.assert_array_equal(got.objects.area, [2, 2, 2])
    np.testing.assert_array_equal(got.ignored, ignored)
    pc.write_label_map(paths[0], np.where(label == 1, 3, classes) + (label == 1) * np.arange(4))
    with pytest.raises(OSError, match="a.png: object 1 has pixels of class 4 and of class 5"):
        pc.read_voc_segmentation(*paths)
    with pytest.raises(ValueError, match="a label is 3, outside 0..2"):
        pc.write_voc_segmentation(*paths, label, [1, 2])


XML = """<annotation><filename>a.jpg</filename><size><width>50</width><height>40</height></size>
<object><name>dog</name><difficult>1</difficult>
<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>50</xmax><ymax>4</ymax></bndbox></object></annotation>"""


def test_voc_annotation(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(XML)
    got = pc.read_voc_annotation(path)
    assert (got["filename"], got["height"], got["width"], got["notes"]) == ("a.jpg", 40, 50, [])
    assert got["objects"] == [
        {"name": "dog", "box": (1, 0, 4, 50), "difficult": True, "truncated": False}
    ]
    path.write_text(XML.replace("<ymax>4", "<ymax>1"))
    with pytest.raises(OSError, match="a.xml: object 0: bndbox: ymin is 2 and ymax 1"):
        pc.read_voc_annotation(path)
    path.write_text(XML.replace("size>", "sizes>"))
    with pytest.raises(OSError, match="a.xml: size is missing"):
        pc.read_voc_annotation(path)
    assert pc.read_voc_annotation(path, size=(40, 50))["width"] == 50


def test_voc_list_and_names(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("2007_000032 1 15\n/JPEGImages/2007_000033.jpg /Labels/2007_000033.png\n")
    first, second = pc.read_voc_list(path)
    assert first == {"id": "2007_000032", "image": "", "labels": "", "tags": [1, 15]}
    assert (second["id"], second["labels"]) == ("2007_000033", "/Labels/2007_000033.png")
    path.write_text("a\nb\na\n")
    with pytest.raises(OSError, match="train.txt:3: 'a' is in line 1 already"):
        pc.read_voc_list(path)
    assert (pc.voc_class("person"), pc.voc_name(15), pc.voc_name(0)) == (15, "person", "background")
    with pytest.raises(ValueError, match="VOC has no class 'unicorn'"):
        pc.voc_class("unicorn")


# --- points ------------------------------------------------------------------------------------


def test_points(tmp_path):
    path = tmp_path / "a.txt"
    at = np.array([[3.0, 7], [0, 2]])
    points = pc.Points(at, category=[14, 0], score=np.array([0.75, 0.5]))
    pc.write_points(path, points)
    assert path.read_text() == "7 3 14 0.750\n2 0 0 0.500\n"
    got = pc.read_points(path)
    for name in ("at", "category", "score"):
        np.testing.assert_array_equal(getattr(got, name), getattr(points, name))
    assert pc.read_points(path, threshold=0.5).at.tolist() == [[3, 7]]
    path.write_text("1 2 3\n1 two 3\n")
    with pytest.raises(OSError, match="a.txt:2: y is 'two'"):
        pc.read_points(path)
    with pytest.raises(ValueError, match=r"point 0 is at \(1.5,1\), not on a pixel"):
        pc.write_points(path, np.array([[1.5, 1]]))
    with pytest.raises(TypeError, match="write_points: points"):
        pc.write_points(path, None)



def test_a_file_that_cannot_be_written(tmp_path, masks):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file/labels.png: "):
        pc.write_label_map(tmp_path / "file" / "labels.png", masks[0].astype(np.uint8))
    name = os.fsencode(tmp_path) + b"/\xff.txt"  # no UTF-8
    pc.write_points(name, np.array([[1.0, 2.0]]))
    assert pc.read_points(name).at.tolist() == [[1, 2]]
    with open(name, "w") as broken:
        broken.write("x")
    with pytest.raises(OSError, match="\udcff.txt:1: 1 words"):
        pc.read_points(name)
