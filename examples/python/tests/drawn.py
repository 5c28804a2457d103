"""Small photographs with CAMs and boundary maps, as files and as tar shards."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

import pycambium as pc


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def sample(number: int, folder: Path) -> dict[str, Any]:
    """A square, with a CAM of its middle and boundaries around it. All cells are bytes."""
    rng = np.random.default_rng(number)
    cams = (rng.random((2, 16, 20)) * 0.1).astype(np.float32)
    edges = np.zeros((16, 20), np.float32)
    top, left = int(rng.integers(0, 5)), int(rng.integers(0, 8))
    cams[1, top + 4 : top + 6, left + 5 : left + 7] = 1
    edges[top : top + 10, [left, left + 11]] = 1
    edges[[top, top + 9], left : left + 12] = 1
    photograph = folder / f"photograph{number}.png"
    pc.write_photograph(photograph, rng.integers(0, 256, (64, 80, 3), dtype=np.uint8))
    return {
        "image": photograph.read_bytes(),
        "cam": npy(cams),
        "boundary": npy(edges),
        "classes": b"3 7\n",
    }


MEMBERS = {"image": ".png", "cam": ".cam.npy", "boundary": ".boundary.npy", "classes": ".cls"}


def members(id: str, cells: dict[str, Any]) -> list[tuple[str, bytes]]:
    return [(id + MEMBERS[name], cell) for name, cell in cells.items() if cell is not None]


def write_tar(path: Path, files: list[tuple[str, bytes]]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def write_folders(folder: Path, samples: dict[str, dict[str, Any]]) -> list[str]:
    """The same as files; the words after `label`."""
    tags = ""
    for id, cells in samples.items():
        for name, ending in (("image", "png"), ("cam", "npy"), ("boundary", "npy")):
            path = folder / name / f"{id}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if cells[name] is not None:
                path.write_bytes(cells[name])
        tags += f"{id} {cells['classes'].decode().strip()}\n"
    (folder / "tags").write_text(tags)
    (folder / "ids").write_text("".join(f"{id}\n" for id in samples))
    words = ["--images", "image/{id}.png", "--cams", "cam/{id}.npy"]
    words += ["--boundaries", "boundary/{id}.npy", "--tags", "tags", "--ids", "ids"]
    return [
        str(folder / word) if "/" in word or word in ("tags", "ids") else word for word in words
    ]


def run_label(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pycambium", "label", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)
