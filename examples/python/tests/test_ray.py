"""pycambium.ray: Ray Data sets labelled on one machine and on a cluster that loses a node."""

import ast
import gc
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest
from drawn import members, run_label, sample, write_folders, write_tar


def test_without_ray_a_sentence_says_what_is_missing():
    code = "import sys; sys.modules['ray'] = None; import pycambium; import pycambium.ray"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = ended.stderr.strip().splitlines()[-1]
    assert last == "ImportError: pycambium.ray needs Ray Data: pip install pycambium[ray]"


def test_pycambium_does_not_import_ray():
    code = "import pycambium.labelling, pycambium.shards, sys; print('ray' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"


@pytest.fixture(scope="module")
def here():
    """Ray with one node of two cores."""
    os.environ.update(SETTINGS)
    ray = pytest.importorskip("ray")
    start(
        ray.init,
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=MEMORY,
        log_to_driver=False,
    )
    yield ray
    ray.shutdown()


SETTINGS = {
    "RAY_AUTH_MODE": "disabled",  # a cluster of this machine alone
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # a machine that compiles at the same time starts Python slowly
    "RAY_worker_register_timeout_seconds": "300",
}
SLOW = "timed out during startup"  # what Ray says after 30 s: a machine under load


def start(what, **how):
    for _ in range(4):
        try:
            return what(**how)
        except Exception as problem:
            if SLOW not in str(problem):
                raise
    pytest.fail("Ray does not start on this machine, which is under load")


MEMORY = 120_000_000  # below what Docker gives /dev/shm with --shm-size=256m


def write_set(folder, count, shards):
    """Shards of drawn samples, whose ids have dots; the samples by id."""
    samples = {f"p/c.v{i:03}": sample(i, folder) for i in range(count)}
    ids = list(samples)
    for shard in range(shards):
        files = [m for id in ids[shard::shards] for m in members(id, samples[id])]
        write_tar(folder / f"set-{shard:03}.tar", files)
    return samples


def of_one_process(folder, samples, *more):
    """The members that labels must have: what `label` makes of folders with the same files."""
    words = write_folders(folder, samples)
    out = folder / "one"
    ran = run_label(*words, "--out", str(out), "--threads", "1", *more)
    assert ran.returncode == 0, ran.stderr
    found = {}
    for id in samples:
        found[f"{id}.semantic.png"] = (out / f"semantic/{id}.png").read_bytes()
        found[f"{id}.instances.png"] = (out / f"instances/{id}.png").read_bytes()
        found[f"{id}.json"] = (out / f"records/{id}.json").read_bytes()
    return found


def contents(folder):
    found = {}
    for path in sorted(folder.glob("labels-*.tar")):
        with tarfile.open(path) as archive:
            for info in archive:
                assert info.name not in found
                found[info.name] = archive.extractfile(info).read()
    return found


def test_shards_in_and_out(here, tmp_path):
    import pycambium.ray as pr

    samples = write_set(tmp_path, 40, 4)
    expected = of_one_process(tmp_path, samples, "--exp-times", "4")
    # more damage than a shard of good samples: one member, one sample, one cut
    lost = {"p/c.v001", "p/c.v013", "p/c.v017", "p/c.v038"}
    files = members("p/c.v001", {**samples["p/c.v001"], "cam": None})
    files += members("p/c.v005", samples["p/c.v005"])
    files += members("p/c.v013", {**samples["p/c.v013"], "image": b"damaged"})
    files += [
        m
        for i in range(9, 40, 4)
        for m in members(f"p/c.v{i:03}", samples[f"p/c.v{i:03}"])
        if i not in (13, 17)
    ]
    files += members("p/c.v017", samples["p/c.v017"])
    files += members("p/c.v006", {**samples["p/c.v006"], "image": b"whole in set-002.tar"})
    write_tar(tmp_path / "set-001.tar", files)
    with tarfile.open(tmp_path / "set-002.tar") as archive:
        cut = archive.getmember("p/c.v038.png").offset
    os.truncate(tmp_path / "set-002.tar", cut)
    again = members("p/c.v017", samples["p/c.v017"])
    with tarfile.open(tmp_path / "set-003.tar", "a") as archive:  # labelled in two shards
        for name, content in [*again, ("p/c.v099.displacement.npy", b"")]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    (tmp_path / "set-004.tar").mkdir()

    # as many actors as there are cores: reading and writing must not wait for them
    labels = pr.label(
        pr.read_shards(tmp_path / "set-{000..004}.tar"), exp_times=4, concurrency=2, batch_size=4
    )
    total = pr.write_shards(labels, tmp_path / "out", rows_per_shard=10)
    several = "several rows have the id p/c.v017"
    expected_errors = sorted(
        [
            "p/c.v001: p/c.v001 has no cam",
            "p/c.v006: image of p/c.v006: is neither a JPEG nor a PNG file",
            "p/c.v013: image of p/c.v013: is neither a JPEG nor a PNG file",
            f"p/c.v017: {several}",
            f"p/c.v017: {several}",
            "p/c.v099: set-003.tar: holds p/c.v099.displacement.npy, but displacement is not among "
            "the columns that are read; name the columns",
            f"set-002.tar: is cut at byte {cut}",
            "set-004.tar: Is a directory",
        ]
    )
    assert sorted(total.errors) == expected_errors
    assert (total.labelled, total.failed) == (36, 8), total
    got = contents(tmp_path / "out")
    assert len(total.shards) >= 2
    assert {name for name in expected if name not in got} == {
        f"{id}{end}" for id in lost for end in (".semantic.png", ".instances.png", ".json")
    }
    assert all(expected[name] == content for name, content in got.items())
    listed = [
        json.loads(line)
        for path in (tmp_path / "out").glob("*.failed.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert sorted(filter(None, (pr._said(row["id"], row["error"]) for row in listed))) == (
        expected_errors
    )
    assert {path.name.partition("-")[0] for path in (tmp_path / "out").iterdir()} == {"labels"}

    with pytest.raises(ValueError, match="holds labels-000000.* of an earlier run"):
        pr.write_shards(labels, tmp_path / "out")


@pytest.mark.parametrize("rows_per_shard", [1, 100])
def test_rows_of_one_id_fail_in_whatever_shards(here, tmp_path, rows_per_shard):
    import pycambium.ray as pr

    row = {"semantic": b"S", "instances": b"I", "record": "{}", "error": ""}
    rows = [{"id": id, **row} for id in "abcbab"]
    rows += [{**rows[0], "id": "c", "error": "has no cam"}]
    table = here.data.from_items(rows, override_num_blocks=7)
    total = pr.write_shards(table, tmp_path / "out", rows_per_shard=rows_per_shard)
    assert (len(total.shards) > 2) == (rows_per_shard == 1)
    several = [f"{id}: several rows have the id {id}" for id in "aabbb"]
    assert sorted(total.errors) == sorted([*several, "c: has no cam"])
    assert (total.labelled, total.failed) == (1, 6)
    assert list(contents(tmp_path / "out")) == ["c.semantic.png", "c.instances.png", "c.json"]


def test_an_overwritten_folder_is_whole_until_the_end(here, tmp_path):
    import pycambium.ray as pr

    out = tmp_path / "out"
    row = {"semantic": b"S", "instances": b"I", "record": "{}", "error": ""}
    table = here.data.from_items([{"id": f"{i}", **row} for i in range(4)], override_num_blocks=4)
    pr.write_shards(table, out, rows_per_shard=1)
    (out / "labels-000099.tar").write_bytes(b"of an earlier run")
    (out / "labels-000099.failed.jsonl").write_bytes(b"{}")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert len(before) > 2

    def fail(batch):
        if "3" in list(batch["id"]):
            raise RuntimeError("the disk is full")
        return batch

    with pytest.raises(Exception, match="the disk is full"):
        pr.write_shards(table.map_batches(fail, batch_size=1), out, overwrite=True)
    kept = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert kept == before
    total = pr.write_shards(table, out, rows_per_shard=100, overwrite=True)
    assert (total.labelled, total.shards) == (4, ["labels-000000.tar"])
    assert [path.name for path in out.iterdir()] == ["labels-000000.tar"]
    assert len(contents(out)) == 12


def test_rows_of_a_table(here, tmp_path):
    import numpy as np

    import pycambium.ray as pr

    samples = {f"{i}": sample(i, tmp_path) for i in range(6)}
    expected = of_one_process(tmp_path, samples)
    rows = [
        {
            "id": id,
            "image": cells["image"],
            "cam": np.load(io.BytesIO(cells["cam"])),
            "boundary": np.load(io.BytesIO(cells["boundary"])),
            "classes": [3, 7],
            "split": "train",
        }
        for id, cells in samples.items()
    ]
    rows[4]["boundary"] = rows[4]["boundary"][:5]
    table = here.data.from_items(rows)
    with pytest.raises(ValueError, match="call materialize"):
        pr.summarise(pr.label(table))
    with pytest.raises(ValueError, match="--exp-times: Value 99 not in range"):
        pr.label(table, columns=["image", "cam", "boundary"], exp_times=99)
    with pytest.raises(ValueError, match="no column 'fold' to keep"):
        pr.label(table, keep=["fold"])
    unknown = table.map_batches(lambda batch: batch)  # Ray knows no columns before it has run
    pr.label(unknown, columns=["image", "cam", "boundary"], keep=["split"])
    labels = pr.label(table, keep=["split"], outputs=["semantic"], concurrency=1).materialize()
    assert labels.columns() and set(labels.columns()) == {
        *("id", "semantic", "record", "error", "split")
    }
    total = pr.summarise(labels)
    assert (total.labelled, total.failed) == (5, 1)
    assert total.errors == [
        "4: boundary of 4: the image is 64 x 80, so [16,20] is needed; it holds [5,20]"
    ]
    assert str(total).startswith("5 labelled, 1 failed\n  4: ")
    for row in labels.iter_rows():
        assert row["split"] == "train"
        if not row["error"]:
            assert row["semantic"] == expected[f"{row['id']}.semantic.png"]
            assert row["record"].encode() == expected[f"{row['id']}.json"]


def test_shards_are_files_that_are_there(here, tmp_path):
    import pycambium.ray as pr

    with pytest.raises(ValueError, match="no file matches"):
        pr.read_shards(tmp_path / "set-*.tar")
    with pytest.raises(ValueError, match="no column 'depth'"):
        pr.read_shards("a.tar", ["depth"])
    write_set(tmp_path, 2, 2)
    said = "set-001.tar: there is no such file; 3 of 4 shards are missing"
    (tmp_path / "set-001.tar").unlink()
    with pytest.raises(FileNotFoundError, match=said):
        pr.read_shards(tmp_path / "set-{000..003}.tar")


def test_types_of_the_module(tmp_path):
    pytest.importorskip("ray")
    pytest.importorskip("mypy")
    words = ["--strict", "--cache-dir", str(tmp_path), "-p", "pycambium.ray"]
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *words], capture_output=True, text=True, cwd=tmp_path
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_example(tmp_path):
    pytest.importorskip("ray")
    example = Path(__file__).parents[1] / "tour" / "many_photographs.py"
    for _ in range(4):
        ended = subprocess.run(
            [sys.executable, example, tmp_path / "set"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **SETTINGS},
        )
        if SLOW not in ended.stderr:
            break
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0] == "46 labelled, 2 failed, " + lines[0].split(", ")[-1]
    assert lines[1].strip().startswith("photograph.0.1: image of photograph.0.1: ")
    assert lines[2].strip() == "photograph.1.2: photograph.1.2 has no cam"
    classes = ast.literal_eval(lines[3].split(": ", 1)[1])
    assert set(classes) == {0, 5} and 0.1 < classes[5] / sum(classes.values()) < 0.3


def test_a_node_that_is_killed_costs_a_retry_and_nothing_else(tmp_path, monkeypatch):
    """Two nodes that both label. One is killed when a quarter of the images is labelled."""
    os.environ.update(SETTINGS)
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    import pycambium.ray as pr

    ray.shutdown()  # that of the other tests
    samples = write_set(tmp_path, 120, 6)
    expected = of_one_process(tmp_path, samples)
    marks = tmp_path / "marks"  # a file for each batch that begins or ends, with its node
    marks.mkdir()

    class Marked(pr.Labeller):
        def __call__(self, batch):
            node = ray.get_runtime_context().get_node_id()
            first = batch["id"][0].replace("/", "_") if len(batch["id"]) else "none"
            (marks / f"begun {node} {first} {time.time_ns()}").touch()
            got = super().__call__(batch)
            (marks / f"ended {node} {first} {time.time_ns()}").touch()
            return got

    def marked(what, node=None):
        found = [path.name.split() for path in marks.iterdir()]
        return [each[2] for each in found if each[0] == what and node in (None, each[1])]

    monkeypatch.setattr(pr, "Labeller", Marked)

    node = {"num_cpus": 2, "object_store_memory": MEMORY}
    cluster = start(
        Cluster, initialize_head=True, head_node_args={**node, "include_dashboard": False}
    )
    try:
        second = start(cluster.add_node, **node)
        raylet = second.all_processes["raylet"][0].process
        ray.init(address=cluster.address, log_to_driver=False)
        cluster.wait_for_nodes()
        lost = second.node_id
        killed = []

        def kill():
            until = time.monotonic() + 300
            while len(marked("ended")) < 8 or not marked("ended", lost):
                if time.monotonic() > until:
                    return
                time.sleep(0.02)
            killed.append(len(marked("ended")))
            cluster.remove_node(second, allow_graceful=False)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        samples_read = pr.read_shards(tmp_path / "set-*.tar")
        labels = pr.label(samples_read, concurrency=4, batch_size=4)
        total = pr.write_shards(labels, tmp_path / "out", rows_per_shard=20)
        killer.join(timeout=60)
        assert killed and killed[0] < 30, "the node must be killed in the middle"
        assert raylet.poll() is not None
        begun = marked("begun")
        again = {first for first in marked("begun", lost) if begun.count(first) > 1}
        assert again, "some batches of the node must be labelled again"
        assert (total.labelled, total.failed) == (120, 0), total
        assert contents(tmp_path / "out") == expected
    finally:
        ray.shutdown()
        cluster.shutdown()
        gc.collect()
