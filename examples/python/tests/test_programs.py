"""python -m pycambium label, sweep, points: the programs that lie in the package."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pycambium as pc

PROGRAMS = Path(pc.__file__).parent / "bin"
built = pytest.mark.skipif(
    not PROGRAMS.exists(), reason="this package was built without the programs"
)


def run(*words, **more):
    command = [sys.executable, "-m", "pycambium", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **more)


@pytest.fixture
def folder(tmp_path, rng):
    """Two photographs of a square, with CAMs that know of its middle and boundaries around it."""
    for name in ("images", "cams", "edges"):
        (tmp_path / name).mkdir()
    for image in ("a", "b"):
        pc.write_photograph(
            tmp_path / f"images/{image}.png", rng.integers(0, 256, (64, 80, 3), dtype=np.uint8)
        )
        cams = np.zeros((2, 16, 20), np.float32)
        cams[1, 7:9, 9:11] = 1
        cams[0, 0, 0] = 0.01
        edges = np.zeros((16, 20), np.float32)
        edges[3:13, 4] = edges[3:13, 15] = edges[3, 4:16] = edges[12, 4:16] = 1
        np.save(tmp_path / f"cams/{image}.npy", cams)
        np.save(tmp_path / f"edges/{image}.npy", edges)
    (tmp_path / "tags.txt").write_text("a 3 7\nb 3 7\n")
    return tmp_path


def label_words(folder, out, *more):
    return (
        "label",
        *("--images", folder / "images/{id}.png"),
        *("--cams", folder / "cams/{id}.npy"),
        *("--boundaries", folder / "edges/{id}.npy"),
        *("--tags", folder / "tags.txt", "--out", folder / out, *more),
    )


@built
def test_programs_are_executable():
    assert sorted(p.name for p in PROGRAMS.iterdir()) == ["programs"]
    for program in PROGRAMS.iterdir():
        assert program.stat().st_mode & stat.S_IXUSR


@built
@pytest.mark.parametrize("name", ["label", "sweep", "points"])
def test_help_names_the_command(name):
    got = run(name, "--help")
    assert got.returncode == 0
    assert f"Usage: python -m pycambium {name} [OPTIONS]" in got.stdout
    assert got.stderr == ""


@built
def test_label_and_sweep(folder):
    got = run(*label_words(folder, "out", "--keep-scores", "--threads", "1"))
    assert got.returncode == 0, got.stderr
    assert "2 images" in got.stdout
    labels = pc.read_label_map(folder / "out/semantic/a.png")
    assert labels.shape == (64, 80)
    assert set(np.unique(labels)) == {0, 7}
    assert np.all(labels[24:40, 32:48] == 7)
    assert np.all(labels[:8] == 0) and np.all(labels[:, 68:] == 0)
    swept = run("sweep", "--labels", folder / "out", "--threads", "1")
    assert swept.returncode == 0, swept.stderr
    assert "0.25" in swept.stdout


@built
def test_points(folder):
    (folder / "sizes").write_text("a 64 80\nb 64 80\n")
    got = run(
        "points",
        "--cams",
        folder / "cams/{id}.npy",
        "--sizes",
        folder / "sizes",
        "--out",
        folder / "points",
    )
    assert got.returncode == 0, got.stderr
    found = pc.read_points(folder / "points/a.txt")
    assert set(found.category) == {0, 1}
    y, x = found.at[found.category == 1].T
    assert np.all((24 <= y) & (y < 40) & (32 <= x) & (x < 48))


@built
def test_standard_input(folder):
    got = run(*label_words(folder, "one", "--ids", "/dev/stdin"), input="b\n")
    assert got.returncode == 0, got.stderr
    assert sorted(p.name for p in (folder / "one/semantic").iterdir()) == ["b.png"]


@built
def test_status(folder):
    (folder / "cams/b.npy").write_bytes(b"no array")
    some = run(*label_words(folder, "some"))
    assert some.returncode == 1
    assert "b.npy" in some.stderr
    wrong = run("label", "--no-such-flag")
    assert wrong.returncode == 2
    assert wrong.stdout == ""
    assert "--no-such-flag" in wrong.stderr or "required" in wrong.stderr


@built
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_control_c_ends_a_program(folder):
    ids = folder / "ids"
    os.mkfifo(ids)
    words = [sys.executable, "-m", "pycambium", *map(str, label_words(folder, "out", "--ids", ids))]
    with (
        subprocess.Popen(words) as running,
        open(ids, "w"),
    ):  # open() returns when the program reads the ids
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=20) == -signal.SIGINT
    assert not (folder / "out").exists()


def test_usage():
    for words, status in (((), 2), (("--help",), 0), (("-h",), 0)):
        got = run(*words)
        assert got.returncode == status
        text = got.stdout if status == 0 else got.stderr
        assert text.startswith("Usage: python -m pycambium PROGRAM [OPTIONS]")
        assert all(name in text for name in ("label", "sweep", "points"))
    got = run("lable")
    assert (got.returncode, got.stdout) == (2, "")
    assert got.stderr == "pycambium: 'lable' is none of its programs: label, sweep, points\n"


def test_an_installation_without_programs(tmp_path):
    """The package's folder without bin: the command says in one sentence what is missing."""
    (tmp_path / "pycambium").mkdir()
    for source in Path(pc.__file__).parent.iterdir():
        if source.name != "bin":
            (tmp_path / "pycambium" / source.name).symlink_to(source)
    libraries = Path(pc.__file__).parents[1] / "pycambium.libs"  # of a wheel
    if libraries.exists():
        (tmp_path / libraries.name).symlink_to(libraries)
    got = run("label", "--help", cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert (got.returncode, got.stdout) == (2, "")
    assert got.stderr.startswith(
        "pycambium: label is not in this installation; it was built without CLI11"
    )
    assert got.stderr.count("\n") == 1
