"""pycambium.shards: tar shards, against Python's tarfile and the program tar."""

import gzip
import itertools
import json
import re
import shutil
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from drawn import write_tar

from pycambium import labelling, shards


FOUR = ("image", "cam", "boundary", "classes")
THREE = ("image", "cam", "classes")


def rows(path, columns=FOUR):
    return list(shards.read_shard(path, columns))


def cells(row):
    return {name: value for name, value in row.items() if name not in ("id", "shard", "error")}


@pytest.mark.parametrize(
    "pattern, names",
    [
        ("a.tar", ["a.tar"]),
        ("s-{008..010}.tar", ["s-008.tar", "s-009.tar", "s-010.tar"]),
        ("{9..10}/{0..1}", ["9/0", "9/1", "10/0", "10/1"]),
        ("{8..010}", ["008", "009", "010"]),
        ("{id}.tar", ["{id}.tar"]),
        ("set{id}-{0..2}.tar", ["set{id}-0.tar", "set{id}-1.tar", "set{id}-2.tar"]),
    ],
)
def test_braces(pattern, names):
    assert shards.braces(pattern) == names


@pytest.mark.parametrize("pattern", ["{2..1}", "{a..b}", "{..3}", "{1..-1}"])
def test_braces_that_mean_nothing(pattern):
    with pytest.raises(ValueError, match="expected two numbers"):
        shards.braces(pattern)


def test_braces_that_mean_too_much():
    for pattern in ("{0..10000000}", "{0..9999}{0..9999}"):
        with pytest.raises(ValueError, match="more than ten million"):
            shards.braces(pattern)


def test_an_id_keeps_its_dots_and_folders(tmp_path):
    files = [
        ("c.v1.jpg", b"1"),
        ("c.v1.cam.npy", b"2"),
        ("c.v1.txt", b"of no column"),
        ("c.v1.cls", b"3"),
        ("c.v2.JPEG", b"4"),
        ("c.v2.boundary.npy", b"5"),
        ("./p.q/ü d.png", b"6"),
        ("./p.q/ü d.cam.npy", b"7"),
        ("p.q/.png", b"has no stem"),
    ]
    write_tar(tmp_path / "s.tar", files)
    one, two, three = rows(tmp_path / "s.tar")
    assert [row["id"] for row in (one, two, three)] == ["c.v1", "c.v2", "p.q/ü d"]
    assert {row["error"] for row in (one, two, three)} == {""}
    assert {row["shard"] for row in (one, two, three)} == {"s.tar"}
    assert cells(one) == {"image": b"1", "cam": b"2", "boundary": None, "classes": b"3"}
    assert cells(two) == {"image": b"4", "cam": None, "boundary": b"5", "classes": None}
    assert cells(three) == {"image": b"6", "cam": b"7", "boundary": None, "classes": None}


def test_columns_are_those_asked_for(tmp_path):
    write_tar(tmp_path / "s.tar", [("a.jpg", b"1"), ("a.displacement.npy", b"2"), ("a.cls", b"3")])
    (row,) = rows(tmp_path / "s.tar", ("displacement",))
    assert cells(row) == {"displacement": b"2"}
    with pytest.raises(ValueError, match="no column 'depth'; there are image, cam"):
        shards.read_shard(tmp_path / "s.tar", ("depth",))
    assert shards.columns_of(tmp_path / "s.tar") == ("image", "displacement", "classes")
    (row,) = shards.read_shard(tmp_path / "s.tar")
    assert cells(row) == {"image": b"1", "displacement": b"2", "classes": b"3"}
    for use in (shards.columns_of, rows, shards.read_shard):
        with pytest.raises(FileNotFoundError):
            list(use(tmp_path / "none.tar"))


def test_the_longest_ending_counts(tmp_path):
    others = ["instances.png", "overlay.jpg", "scores.png", "trust.png", "truth_semantic.png"]
    others += ["overlay.JPG", "SEMANTIC.PNG", "Scribbles.png"]
    files = [("a.PNG", b"1"), ("a.semantic.png", b"2"), ("a.CAM.NPY", b"3")]
    write_tar(tmp_path / "s.tar", files + [("a." + other, b"4") for other in others])
    (row,) = rows(tmp_path / "s.tar", ("image", "semantic", "cam"))
    assert (row["id"], row["image"], row["semantic"]) == ("a", b"1", b"2")
    assert row["cam"] is None


def test_archives_joined_with_cat(tmp_path, rng):
    files = three_samples(rng)
    write_tar(tmp_path / "s.tar", files)
    whole = rows(tmp_path / "s.tar")
    write_tar(tmp_path / "one.tar", files[:4])  # within a sample
    write_tar(tmp_path / "two.tar", files[4:])
    joined = (tmp_path / "one.tar").read_bytes() + (tmp_path / "two.tar").read_bytes()
    (tmp_path / "s.tar").write_bytes(joined)
    assert rows(tmp_path / "s.tar") == whole
    with tarfile.open(tmp_path / "two.tar") as archive:
        cut = (tmp_path / "one.tar").stat().st_size + archive.getmember("c.jpg").offset
    (tmp_path / "s.tar").write_bytes(joined[:cut])
    a, damage, b = rows(tmp_path / "s.tar", THREE)
    assert (a["id"], b["id"], b["error"]) == ("a", "b.1", "")
    assert damage["error"] == f"s.tar: is cut at byte {cut}"


@pytest.mark.skipif(shutil.which("tar") is None, reason="the program tar is not here")
@pytest.mark.parametrize("form", ["ustar", "gnu", "pax"])
def test_tars_of_the_program_tar(tmp_path, form):
    deep = "/".join(["d" * 30] * 4) if form == "ustar" else "/".join(["ö" * 60] * 4)
    (tmp_path / "in" / deep).mkdir(parents=True)
    (tmp_path / "in" / deep / "a.v2.jpg").write_bytes(b"x" * 700)
    (tmp_path / "in" / deep / "a.v2.cam.npy").write_bytes(b"y" * 512)
    (tmp_path / "in" / deep / "link.jpg").symlink_to("a.v2.jpg")
    words = [
        "tar",
        "cf",
        tmp_path / "s.tar",
        f"--format={form}",
        "--sort=name",
        "-C",
        tmp_path / "in",
        ".",
    ]
    subprocess.run(words, check=True)
    row, link = rows(tmp_path / "s.tar", ("image", "cam"))
    assert row["id"] == deep + "/a.v2" and row["error"] == ""
    assert link["error"] == f"s.tar: {deep}/link.jpg is a link"
    assert (row["image"], row["cam"]) == (b"x" * 700, b"y" * 512)


def three_samples(rng):
    files = []
    for id in ("a", "b.1", "c"):
        files += [
            (id + end, rng.bytes(size))
            for end, size in ((".jpg", 900), (".cam.npy", 512), (".cls", 3))
        ]
    return files


def test_a_cut_shard_gives_what_lies_before_the_cut(tmp_path, rng):
    path = tmp_path / "s.tar"
    write_tar(path, three_samples(rng))
    whole, content = rows(path, THREE), path.read_bytes()
    with tarfile.open(path) as archive:
        infos = archive.getmembers()
        ends = {info.name: info.offset_data + info.size for info in infos}
    for cut in [
        0,
        *rng.integers(1, max(ends.values()), 60),
        *(i.offset for i in infos),
        *ends.values(),
    ]:
        path.write_bytes(content[:cut])
        found = rows(path, THREE)
        for row in found:
            if row["id"] and not row["error"]:
                there = {n: v for n, v in cells(row).items() if v is not None}
                full = cells(next(w for w in whole if w["id"] == row["id"]))
                assert there == {n: v for n, v in full.items() if v is not None}
        sound = {r["id"]: r for r in found if not r["error"]}
        for row in whole:
            names = [n for n in ends if n.startswith(row["id"] + ".")]
            if all(ends[name] <= cut for name in names):
                assert sound[row["id"]] == row
        said = [row["error"] for row in found if not row["id"]]
        assert len(said) == 1 and said[0].startswith("s.tar: is cut "), (cut, said)


def test_a_cut_member_fails_its_sample(tmp_path, rng):
    path = tmp_path / "s.tar"
    write_tar(path, three_samples(rng))
    with tarfile.open(path) as archive:
        at = archive.getmember("b.1.cam.npy").offset_data
    path.write_bytes(path.read_bytes()[: at + 100])
    a, rest, b = rows(path)
    assert (a["id"], a["error"]) == ("a", "")
    assert (b["id"], b["error"], b["cam"]) == ("b.1", "s.tar: is cut within b.1.cam.npy", None)
    assert (rest["id"], rest["error"]) == ("", "s.tar: is cut within b.1.cam.npy")


def test_a_damaged_header_is_named_and_passed(tmp_path, rng):
    path = tmp_path / "s.tar"
    write_tar(path, [*three_samples(rng), ("d.jpg", b"lacks a CAM"), ("e.cls", b"3")])
    whole = rows(path, THREE)
    with tarfile.open(path) as archive:
        info = archive.getmember("b.1.cam.npy")
    content = bytearray(path.read_bytes())
    content[info.offset + 150] ^= 0xFF  # in the sum of the header's bytes
    path.write_bytes(content)
    with tarfile.open(path) as archive:  # which is why read_shard has a loop of its own
        assert len(archive.getmembers()) == 4
    a, damage, b, *others = rows(path, THREE)
    assert (a, others) == (whole[0], whole[2:])
    behind = info.offset_data + 512
    said = f"s.tar: bytes {info.offset} to {behind} hold no member of a tar: they are skipped"
    assert (damage["id"], damage["error"]) == ("", said)
    assert b == {**whole[1], "cam": None, "error": f"b.1 may lack members, since {said}"}
    content[:512] = b"\1" * 512
    path.write_bytes(content)
    damage, a, *_ = rows(path, THREE)
    said = "s.tar: bytes 0 to 1536 hold no member of a tar: they are skipped"
    assert (damage["error"], a["error"]) == (said, f"a may lack members, since {said}")


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_damaged_first_header_of_a_long_name(tmp_path, form):
    path = tmp_path / "s.tar"
    long = "x" * 150
    with tarfile.open(path, "w", format=form) as archive:
        for name in (long + ".jpg", "b.jpg", "c.jpg"):
            archive.addfile(tarfile.TarInfo(name))
    content = bytearray(path.read_bytes())
    content[2 * 512 + 150] ^= 0xFF  # the member's own header, behind that of its name
    path.write_bytes(content)
    damage, b, c = rows(path, ("image",))
    said = "s.tar: bytes 0 to 1536 hold no member of a tar: they are skipped"
    assert (damage["error"], b["id"], c["id"]) == (said, "b", "c")
    assert (b["error"], c["error"]) == ("", "")


@pytest.mark.parametrize("size", [-1024, -512, -100])
def test_a_negative_size_is_damage(tmp_path, size):
    path = tmp_path / "s.tar"
    write_tar(path, [("a.jpg", b"1"), ("b.jpg", b"2"), ("c.jpg", b"3")])
    with tarfile.open(path) as archive:
        at = archive.getmember("b.jpg").offset
    content = bytearray(path.read_bytes())
    header = content[at : at + 512]
    header[124:136] = (256**12 + size).to_bytes(12, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    content[at : at + 512] = header
    path.write_bytes(content)
    damage, a, c = itertools.islice(shards.read_shard(path, ("image",)), 3)
    assert (a["image"], c["image"]) == (b"1", b"3")
    said = f"s.tar: bytes {at} to {at + 1024} hold no member of a tar: they are skipped"
    assert damage["error"] == said


def test_links_are_no_files(tmp_path):
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        for name, kind in (("a.jpg", tarfile.REGTYPE), ("a.cam.npy", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "a.jpg"
            archive.addfile(info)
        info = tarfile.TarInfo("b.jpg")
        info.type = tarfile.FIFOTYPE
        archive.addfile(info)
        info = tarfile.TarInfo("c.txt")
        info.type = tarfile.SYMTYPE
        archive.addfile(info)
    assert shards.columns_of(tmp_path / "s.tar") == ("image", "cam")
    a, b = shards.read_shard(tmp_path / "s.tar")
    assert (a["id"], a["error"]) == ("a", "s.tar: a.cam.npy is a link")
    assert (b["id"], b["error"]) == ("b", "s.tar: b.jpg is no plain file")


def test_members_of_other_columns(tmp_path):
    write_tar(tmp_path / "s.tar", [("a.jpg", b"1"), ("b.jpg", b"2"), ("b.cls", b"3")])
    assert [r["error"] for r in rows(tmp_path / "s.tar", ("image",))] == ["", ""]
    a, b = shards.read_shard(tmp_path / "s.tar", ("image",), strict=True)
    said = "s.tar: holds b.cls, but classes is not among the columns that are read; "
    assert (a["error"], b["error"]) == ("", said + "name the columns")


def test_what_is_no_tar(tmp_path):
    (tmp_path / "s.tar").write_bytes(b"\xff\xd8" + b"jpeg" * 1000)
    (row,) = rows(tmp_path / "s.tar")
    assert (row["id"], row["error"]) == ("", "s.tar: is damaged from byte 0 on")


def test_names_that_clash(tmp_path):
    files = [
        ("a.jpg", b"1"),
        ("a.png", b"2"),
        ("b.jpg", b"3"),
        ("c.jpg", b"4"),
        ("b.cam.npy", b"5"),
    ]
    write_tar(tmp_path / "s.tar", files)
    a, b, c, again = rows(tmp_path / "s.tar")
    assert a["error"] == "s.tar: a.jpg and a.png are both the image of a"
    assert (b["error"], c["error"]) == ("", "")
    assert (again["id"], again["error"]) == ("b", "s.tar: members of b do not lie together")


def test_a_name_that_is_no_text(tmp_path):
    write_tar(tmp_path / "s.tar", [("a\udcff.jpg", b"1"), ("b.jpg", b"2")])
    a, b = rows(tmp_path / "s.tar")
    assert (a["id"], a["error"]) == ("a\\xff", "s.tar: the name a\\xff.jpg is no text in UTF-8")
    assert (b["id"], b["error"]) == ("b", "")


def test_compressed_shards(tmp_path, rng):
    path = tmp_path / "s.tar"
    write_tar(path, three_samples(rng))
    whole, packed = rows(path), gzip.compress(path.read_bytes())
    path.write_bytes(packed)
    assert rows(path) == whole
    path.write_bytes(packed[: len(packed) // 2])
    assert [r["error"][:7] for r in rows(path) if not r["id"]] == ["s.tar: "]
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0x55
    path.write_bytes(damaged)
    assert any(row["error"] for row in rows(path))


def labelled(id, **more):
    return {
        "id": id,
        "semantic": b"S" + id.encode(),
        "instances": b"I\0",
        "record": "{}\n",
        "error": "",
        **more,
    }


def contents(path):
    with tarfile.open(path) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}


def test_labels_as_a_shard(tmp_path):
    path = tmp_path / "labels-000000.tar"
    given = [
        labelled("d/ü.v2"),
        labelled("a", overlay=b"O", trust=b""),
        labelled("b", error="no CAM"),
    ]
    assert shards.write_shard(path, given) == (2, [("b", "no CAM")])
    assert list(contents(path).items()) == [
        ("a.semantic.png", b"Sa"),
        ("a.instances.png", b"I\0"),
        ("a.json", b"{}\n"),
        ("a.overlay.jpg", b"O"),
        ("d/ü.v2.semantic.png", "Sd/ü.v2".encode()),
        ("d/ü.v2.instances.png", b"I\0"),
        ("d/ü.v2.json", b"{}\n"),
    ]
    reasons = tmp_path / "labels-000000.failed.jsonl"
    assert json.loads(reasons.read_text()) == {"id": "b", "error": "no CAM"}
    first = path.read_bytes()
    assert shards.write_shard(path, given[1::-1]) == (2, [])
    assert path.read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["labels-000000.tar"]
    (row,) = (r for r in rows(path, ("semantic",)) if r["id"] == "a")
    assert row["semantic"] == b"Sa"


def test_rows_of_one_id_are_refused(tmp_path):
    path = tmp_path / "l.tar"
    given = [labelled("a"), labelled("b"), labelled("a"), labelled("c"), labelled("c", error="x")]
    given += [labelled("", error="2.tar: is cut"), labelled("", error="1.tar: is cut")]
    several = "several rows have the id "
    expected = [("", "1.tar: is cut"), ("", "2.tar: is cut")]
    expected += [("a", several + "a"), ("a", several + "a"), ("c", "x")]
    for order in (given, given[::-1], given[2:] + given[:2]):
        done, failed = shards.write_shard(path, order)
        assert (done, failed) == (2, expected) and done + len(failed) == len(given)
        assert [name.split(".")[0] for name in contents(path)] == ["b"] * 3 + ["c"] * 3
    assert shards.ids_of(path) == ["b", "c"]
    assert shards.drop(str(path), {"c"}) == [("c", several + "c")]
    shards.write_shard(tmp_path / "b.tar", [labelled("b")])
    assert path.read_bytes() == (tmp_path / "b.tar").read_bytes()
    lines = (tmp_path / "l.failed.jsonl").read_text().splitlines()
    listed = [(row["id"], row["error"]) for row in map(json.loads, lines)]
    assert listed == [*expected[:4], ("c", several + "c"), ("c", "x")]


def test_the_tables_of_endings_agree():
    read, written = set(labelling._INPUTS), set(labelling._OUTPUTS)
    assert set(shards.ENDINGS) == read == set().union(*labelling._METHODS.values())
    assert set(shards.OUTPUT_ENDINGS) == written | {"record"}
    for method, columns in labelling._METHODS.items():
        words = [sys.executable, "-m", "pycambium", "label", "--method", method, "--help"]
        ended = subprocess.run(words, capture_output=True, text=True)
        if ended.returncode == 0:  # else the package was built without the programs
            flags = {labelling._INPUTS[column][0] for column in columns}
            assert flags <= set(re.findall(r"--[a-z-]+", ended.stdout)), method
    for column, (flag, kind) in labelling._INPUTS.items():
        assert column in ("image", "classes") or all(
            ending == f".{column}.{kind}" for ending in shards.ENDINGS[column]
        )
    for column, path in labelling._OUTPUTS.items():
        ending = shards.OUTPUT_ENDINGS[column]
        assert path.endswith(ending.rpartition(".")[2]) and f"{column}." in ending


def test_a_shard_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "l.tar"
    shards.write_shard(path, [labelled("a")])
    before = path.read_bytes()

    def broken():
        yield labelled("b")
        raise RuntimeError("the worker is gone")

    with pytest.raises(RuntimeError):
        shards.write_shard(path, broken())
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["l.tar"]
    assert path.stat().st_mode & 0o777 == 0o644
    with pytest.raises(OSError):
        shards.write_shard(tmp_path / "none" / "l.tar", [labelled("a")])
    (tmp_path / "folder.tar").mkdir()
    with pytest.raises(OSError):
        shards.write_shard(tmp_path / "folder.tar", [labelled("a")])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.tar", "l.tar"]


def test_many_members(tmp_path, rng):
    files = [(f"{i:05}.{end}", b"x") for i in range(2000) for end in ("jpg", "cls")]
    write_tar(tmp_path / "s.tar", files)
    found = rows(tmp_path / "s.tar")
    assert [row["id"] for row in found] == [f"{i:05}" for i in range(2000)]
    assert np.all([row["classes"] == b"x" and row["cam"] is None for row in found])
