"""The example runs, gets better from step to step, and draws its pictures."""

import subprocess
import sys
from pathlib import Path

import pytest


def test_photograph_to_masks(tmp_path):
    pytest.importorskip("matplotlib")
    example = Path(__file__).parents[1] / "tour" / "photograph_to_masks.py"
    ended = subprocess.run(
        [sys.executable, example, tmp_path / "out"], capture_output=True, text=True, cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stderr
    lines = [
        line.split(": ")[1] for line in ended.stdout.splitlines() if line.startswith("IoU after")
    ]
    cams, walk, crf = ([float(value) for value in line.split()] for line in lines)
    assert min(walk) > min(cams) and min(crf) > min(walk) and min(crf) > 0.9, ended.stdout
    assert "5 instances" in ended.stdout
    pictures = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert pictures == ["1_inputs.png", "2_walk.png", "3_crf.png", "4_instances.png"]
    assert all((tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
