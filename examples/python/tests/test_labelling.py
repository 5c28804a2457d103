"""pycambium.labelling: rows of a table, against the program label on folders."""

import errno
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from drawn import npy, run_label, sample, write_folders

import pycambium as pc
from pycambium import labelling
from pycambium.labelling import Labeller

pytestmark = pytest.mark.skipif(
    not (Path(pc.__file__).parent / "bin" / "programs").exists(),
    reason="this package was built without the programs",
)

IDS = ["c.v1", "c.v2", "p/q r", 'a "b" # c', "7"]


@pytest.fixture
def samples(tmp_path):
    return {id: sample(i, tmp_path) for i, id in enumerate(IDS)}


def batch_of(samples):
    names = next(iter(samples.values()))
    return {"id": list(samples), **{n: [row[n] for row in samples.values()] for n in names}}


def label_folders(folder, samples, *more):
    """What `label` makes of folders: semantic, instances and record of each image."""
    words = write_folders(folder, samples)
    quoted = {id: '"' + id.replace('"', '""') + '"' for id in samples}
    for name in ("ids", "tags"):
        tags = " 3 7" if name == "tags" else ""
        (folder / name).write_text("".join(f"{quoted[id]}{tags}\n" for id in samples))
    ended = run_label(*words, "--out", str(folder / "out"), *more)
    assert ended.returncode in (0, 1), ended.stderr
    out = folder / "out"
    return {
        id: (
            (out / f"semantic/{id}.png").read_bytes(),
            (out / f"instances/{id}.png").read_bytes(),
            (out / f"records/{id}.json").read_text(),
        )
        for id in samples
        if (out / f"records/{id}.json").exists()
    }


def answers(got):
    columns = zip(got["id"], got["semantic"], got["instances"], got["record"], got["error"])
    return {id: (s, i, r) for id, s, i, r, error in columns if not error}


def test_bytes_are_those_of_label_on_folders(tmp_path, samples):
    expected = label_folders(tmp_path, samples, "--exp-times", "4", "--fragments", "drop")
    assert len(expected) == len(IDS) and len({e[0] for e in expected.values()}) > 1
    labeller = Labeller(exp_times=4, fragments="drop")
    assert answers(labeller(batch_of(samples))) == expected
    # in batches of one, as arrays, with classes as numbers, and after another process's pickle
    labeller = pickle.loads(pickle.dumps(labeller))
    for id, row in samples.items():
        arrays = {
            "id": np.array([id], object),
            "image": [row["image"]],
            "cam": np.stack([np.load(tmp_path / f"cam/{id}.npy")]),
            "boundary": np.stack([np.load(tmp_path / f"boundary/{id}.npy")]),
            "classes": np.array([[3, 7]]),
        }
        assert answers(labeller(arrays)) == {id: expected[id]}
    labels = pc.read_label_map(tmp_path / "out/semantic/c.v1.png")
    assert {0, 7} <= set(np.unique(labels)) <= {0, 3, 7}


def test_a_photograph_may_be_an_array(tmp_path, samples):
    expected = label_folders(tmp_path, samples)
    batch = batch_of(samples)
    batch["image"] = [pc.read_photograph(tmp_path / f"image/{id}.png") for id in samples]
    assert answers(Labeller()(batch)) == expected


def test_without_classes_a_channel_is_a_class(tmp_path, samples):
    batch = batch_of(samples)
    del batch["classes"]
    got = Labeller()(batch)
    assert all(json.loads(record)["tags"] is None for record in got["record"])
    assert all(json.loads(record)["classes"] == [1, 2] for record in got["record"])


@pytest.mark.parametrize(
    "column, value, reason",
    [
        ("image", b"no photograph", "image of c.v2: is neither a JPEG nor a PNG file"),
        ("image", b"", "image of c.v2: is empty"),
        ("image", None, "c.v2 has no image"),
        ("image", np.zeros((3, 3)), "image of c.v2: "),
        ("cam", None, "c.v2 has no cam"),
        ("cam", float("nan"), "c.v2 has no cam"),
        ("cam", b"\x93NUMPY", "cam of c.v2: "),
        ("cam", np.zeros((2, 16, 20), object), "cam of c.v2: Object arrays cannot be saved"),
        ("cam", np.full((2, 16, 20), np.nan), "cam of c.v2: "),
        ("boundary", np.zeros((4, 4), np.float32), "boundary of c.v2: the image is 64 x 80, so "),
        ("boundary", "text", "boundary of c.v2: "),
        ("classes", None, "c.v2 has no classes; where no image has them"),
        ("classes", b"3 x", "classes of c.v2: "),
        ("classes", [0, 3], "classes of c.v2: class 0 is outside 1..254; do the classes count"),
        ("classes", [3, 3], "classes of c.v2: class 3 is named twice"),
        ("classes", [3.5, 7], "classes of c.v2: class 3.5 is no whole number"),
        ("classes", [3], "names 1 classes for 'c.v2', but its CAM has 2 channels"),
        ("id", "../c", "'../c' cannot be an id"),
        ("id", "", "'' cannot be an id"),
        ("id", "a//b", "'a//b' cannot be an id"),
        ("id", "a\nb", "the id 'a\\nb' holds control characters"),
        ("id", "\ud800", "is no text in UTF-8"),
        ("id", "x" * 300, "File name too long"),
    ],
)
def test_a_row_fails_alone(tmp_path, samples, column, value, reason):
    batch = batch_of(samples)
    expected = answers(Labeller()(batch))
    batch[column][1] = value
    got = Labeller()(batch)
    assert reason in got["error"][1], got["error"]
    assert "/" not in got["error"][1].replace("p/q", "").replace("../c", "").replace("a//b", "")
    assert (got["semantic"][1], got["record"][1]) == (b"", "")
    del expected["c.v2"]
    assert answers(got) == expected


def test_a_row_that_ends_the_program_fails_alone(tmp_path, samples):
    labeller = Labeller()
    expected = answers(labeller(batch_of(samples)))
    poisoned = tmp_path / "label"
    poisoned.write_text(
        f"#!/bin/sh\nfor word; do case $word in */ids) list=$word;; esac; done\n"
        f'grep -q c.v2 "$list" && kill -SEGV $$\nexec {labeller._program} "$@"\n'
    )
    poisoned.chmod(0o755)
    labeller._program = poisoned
    got = labeller(batch_of(samples))
    assert list(got["error"]) == ["", f"label ended by signal {int(signal.SIGSEGV)}", "", "", ""]
    del expected["c.v2"]
    assert answers(got) == expected


def test_rows_of_one_id_are_labelled_each(samples):
    batch = batch_of(samples)
    expected = answers(Labeller()(batch))
    batch["id"] = ["x"] * len(IDS)
    got = Labeller()(batch)
    assert list(got["error"]) == [""] * len(IDS)
    assert list(got["semantic"]) == [expected[id][0] for id in IDS]


def test_an_error_that_comes_with_a_row_stays(samples):
    nothing = float("nan")  # as pandas writes it
    given = ["", "was cut", nothing, None, ""]
    batch = {**batch_of(samples), "error": given, "shard": list("abcde")}
    got = Labeller(keep=["shard"])(batch)
    assert list(got["error"]) == ["", "was cut", "", "", ""]
    assert list(got["shard"]) == list("abcde")
    assert got["semantic"][0] and got["semantic"][1] == b""


def test_an_empty_batch():
    got = Labeller()({"id": [], "image": [], "cam": [], "boundary": []})
    assert {name: len(column) for name, column in got.items()} == dict.fromkeys(
        ("id", "semantic", "instances", "record", "error"), 0
    )


@pytest.mark.parametrize(
    "settings, reason",
    [
        ({"method": "irn"}, "no method 'irn'; there are irnet, bestie"),
        ({"columns": ["image", "mu"]}, "irnet reads no column 'mu'"),
        ({"outputs": ["masks"]}, "no output 'masks'; there are semantic"),
        ({"out": "x"}, "out is no option here"),
        ({"cams": "x"}, "cams is no option here"),
        ({"truth_semantic": "x"}, "truth_semantic scores a whole set"),
        ({"beta_": 3}, "--beta-"),
        ({"exp_times": 21}, "--exp-times: Value 21 not in range"),
        ({"crf": True, "refine": "par"}, "--crf and --refine: give one of the two"),
        ({"columns": ["image", "cam"]}, "--boundaries is required"),
        ({"columns": ["displacement"]}, "the table has no column 'displacement'"),
        ({"keep": ["split"]}, "the table has no column 'split' to keep"),
        ({"keep": ["error"]}, "keep='error' is a column of the result"),
        ({"keep": ["semantic"]}, "keep='semantic' is a column of the result"),
        ({"names": ["a", "b"]}, "names is ['a', 'b']; expected text, a number or a path"),
    ],
)
def test_mistakes_are_said_before_work(samples, settings, reason):
    with pytest.raises(ValueError) as said:
        Labeller(**settings).check(batch_of(samples))
    assert reason in str(said.value) and tempfile.gettempdir() not in str(said.value)
    with pytest.raises(ValueError, match="no column 'id'"):
        Labeller()({"image": []})


def test_other_methods(tmp_path, samples):
    scribbles = np.full((64, 80), 255, np.int32)
    scribbles[30:34, 36:44], scribbles[2, :] = 5, 0
    pc.write_label_map(tmp_path / "s.png", scribbles)
    batch = {
        "id": ["a", "b"],
        "image": batch_of(samples)["image"][:2],
        "scribbles": [scribbles] * 2,
    }
    batch["scribbles"][1] = (tmp_path / "s.png").read_bytes()
    got = Labeller("scribbles", outputs=["semantic"], image_cost=0.5)(batch)
    assert list(got["error"]) == ["", ""] and "instances" not in got
    (tmp_path / "a.png").write_bytes(got["semantic"][0])
    labels = pc.read_label_map(tmp_path / "a.png")
    assert np.all(labels[scribbles != 255] == scribbles[scribbles != 255])

    weak = np.zeros((64, 80), np.int32)
    weak[10:30, 10:30] = 5
    points = {"id": ["a"], "semantic": [weak], "points": ["20 20 4 0.9\n"]}
    got = Labeller("bestie", targets=True, outputs=["instances", "centre", "offset"])(points)
    assert list(got["error"]) == [""]
    assert got["centre"][0].startswith(b"\x93NUMPY") and got["offset"][0].startswith(b"\x93NUMPY")
    (detection,) = json.loads(got["record"][0])["detections"]
    assert (detection["category_id"], detection["area"]) == (5, 400)


def test_the_scratch_folder_goes(tmp_path, samples):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    labeller = Labeller(scratch=str(scratch))
    labeller(batch_of(samples))
    (own,) = scratch.iterdir()
    assert list(own.iterdir()) == []

    # a process that is killed leaves its folder to the next one; that of a living one stays
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pycambium.labelling import _Scratch
scratch = _Scratch({str(scratch)!r})
(scratch.path / "file").touch()
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert len(list(scratch.iterdir())) == 2
    other = Labeller(scratch=str(scratch))
    other(batch_of(samples))
    assert own in scratch.iterdir() and len(list(scratch.iterdir())) == 2
    other.close()
    own.rmdir()  # a disk that is cleaned
    assert set(labeller(batch_of(samples))["error"]) == {""}
    labeller.close()
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("problem", [errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS])
def test_a_disk_without_locks(tmp_path, samples, monkeypatch, problem):
    def refuse(*_):
        raise OSError(problem, os.strerror(problem))

    (tmp_path / "pycambium-label-others").mkdir()
    monkeypatch.setattr(labelling.fcntl, "flock", refuse)
    labeller = Labeller(scratch=str(tmp_path))
    names = {path.name for path in tmp_path.iterdir()}
    assert set(labeller(batch_of(samples))["error"]) == {""}
    new = {path.name for path in tmp_path.iterdir()} - names
    assert len(new) == 1 and (tmp_path / "pycambium-label-others").is_dir()
    labeller.close()
    assert {path.name for path in tmp_path.iterdir()} == names


def test_a_forked_process_leaves_its_parents_folder(tmp_path, samples):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    labeller = Labeller(scratch=str(scratch))
    expected = answers(labeller(batch_of(samples)))
    (own,) = scratch.iterdir()
    child = os.fork()
    if child == 0:
        same = answers(labeller(batch_of(samples))) == expected  # in a folder of its own
        apart = len(list(scratch.iterdir())) == 2
        labeller.close()
        os._exit(0 if same and apart else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert list(scratch.iterdir()) == [own]
    child = os.fork()
    if child == 0:
        labeller.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert list(scratch.iterdir()) == [own]
    assert answers(labeller(batch_of(samples))) == expected


def test_paths_of_options_are_those_of_the_maker(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = labelling._words({"names": "names.txt", "boxes": Path("a/b.json"), "beta": 3})
    names, boxes = str(tmp_path / "names.txt"), str(tmp_path / "a/b.json")
    assert words == ["--names", names, "--boxes", boxes, "--beta", "3"]


def test_ids_of_other_letters_in_any_locale(tmp_path, samples):
    rows = {"ü/ö": samples["c.v1"]}
    expected = label_folders(tmp_path, rows)
    (tmp_path / "batch").write_bytes(pickle.dumps(batch_of(rows)))
    code = """
import pickle, sys
from pycambium.labelling import Labeller
batch = pickle.load(open(sys.argv[1], "rb"))
pickle.dump(dict(Labeller()(batch)), open(sys.argv[2], "wb"))
"""
    plain = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    words = [sys.executable, "-c", code, str(tmp_path / "batch"), str(tmp_path / "got")]
    subprocess.run(words, check=True, env=plain)
    assert answers(pickle.loads((tmp_path / "got").read_bytes())) == expected


def test_a_full_disk_is_no_fault_of_a_row(tmp_path, samples):
    labeller = Labeller()
    full = tmp_path / "label"
    full.write_text(
        "#!/bin/sh\nprintf '\\n1 of 1 images failed:\\n  c.v1: x: No space left on device\\n' >&2\n"
        "exit 1\n"
    )
    full.chmod(0o755)
    labeller._program = full
    one = {name: column[:1] for name, column in batch_of(samples).items()}
    with pytest.raises(OSError, match="No space left"):
        labeller(one)


def test_one_thread_by_default(samples, monkeypatch):
    lines = []
    run = subprocess.run
    monkeypatch.setattr(
        subprocess, "run", lambda words, **more: lines.append(words) or run(words, **more)
    )
    Labeller()(batch_of(samples))
    Labeller(threads=2)(batch_of(samples))
    assert {line[line.index("--threads") + 1] for line in lines[:2]} == {"1"}
    assert {line[line.index("--threads") + 1] for line in lines[2:]} == {"2"}


def test_npy_of_arrays_is_numpys(tmp_path):
    from pycambium.labelling import _write

    array = np.arange(6, dtype=np.float16).reshape(1, 2, 3)
    _write(tmp_path / "a.npy", "cam", array)
    assert (tmp_path / "a.npy").read_bytes() == npy(array)
