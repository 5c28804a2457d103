"""Label tar shards of photographs with Ray, on this machine or on a cluster.

    pip install pycambium[ray]
    python many_photographs.py [FOLDER]                     # draws 48 photographs, labels them here
    python many_photographs.py FOLDER --address auto        # on this machine's cluster

FOLDER must then be on a disk that all machines see. One photograph is damaged and one has no CAM:
they fail, and the others are labelled.
"""

from __future__ import annotations

import argparse
import io
import os
import tarfile
from pathlib import Path

import numpy as np

import pycambium as pc


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def draw(number: int, folder: Path) -> dict[str, bytes]:
    """A bright disc on a dark ground; a CAM that knows of its middle; its rim as boundary map."""
    rng = np.random.default_rng(number)
    height, width = 120, 160
    y, x = np.mgrid[:height, :width]
    at_y, at_x, radius = rng.integers(40, 80), rng.integers(50, 110), rng.integers(20, 36)
    distance = np.hypot(y - at_y, x - at_x)
    photograph = np.where(distance[..., None] < radius, [210, 150, 60], [40, 60, 90])
    photograph = (photograph + rng.integers(-12, 13, photograph.shape)).clip(0, 255)
    path = folder / "photograph.png"
    pc.write_photograph(path, photograph.astype(np.uint8))
    cell = distance[::4, ::4]
    cam = np.exp(-((cell / (0.5 * radius)) ** 2))[None]
    rim = np.exp(-(((cell - radius) / 3) ** 2))
    return {
        ".png": path.read_bytes(),
        ".cam.npy": npy(cam.astype(np.float32)),
        ".boundary.npy": npy(rim.astype(np.float32)),
        ".cls": b"5\n",
    }


def write_set(folder: Path, shards: int, each: int) -> None:
    for shard in range(shards):
        with tarfile.open(folder / f"set-{shard:06}.tar", "w") as archive:
            for i in range(each):
                files = draw(shard * each + i, folder)
                if (shard, i) == (0, 1):
                    files[".png"] = files[".png"][:100]
                if (shard, i) == (1, 2):
                    del files[".cam.npy"]
                for ending, content in files.items():
                    info = tarfile.TarInfo(f"photograph.{shard}.{i}{ending}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
    (folder / "photograph.png").unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description="Label tar shards of drawn photographs with Ray.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("many_photographs"))
    parser.add_argument("--address", help="of a cluster; without it Ray starts on this machine")
    words = parser.parse_args()
    if not words.address:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # a cluster of this machine alone
    import ray  # reads the variable

    import pycambium.ray as pr

    folder = words.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    write_set(folder, shards=4, each=12)

    # A laptop's cores, and 200 MB of shared memory, since containers often have little /dev/shm.
    here = {} if words.address else {"include_dashboard": False, "object_store_memory": 200_000_000}
    ray.init(address=words.address, log_to_driver=False, **here)
    samples = pr.read_shards(folder / "set-{000000..000003}.tar")
    labels = pr.label(samples, exp_times=6)
    print(pr.write_shards(labels, folder / "labels", rows_per_shard=16, overwrite=True))

    classes: dict[int, int] = {}
    for path in sorted((folder / "labels").glob("labels-*.tar")):
        with tarfile.open(path) as archive:
            for info in archive:
                if info.name.endswith(".semantic.png"):
                    member = archive.extractfile(info)
                    assert member is not None
                    (folder / "one.png").write_bytes(member.read())
                    found, pixels = np.unique(
                        pc.read_label_map(folder / "one.png"), return_counts=True
                    )
                    for label, count in zip(found.tolist(), pixels.tolist()):
                        classes[label] = classes.get(label, 0) + count
    (folder / "one.png").unlink()
    print("pixels of each class:", dict(sorted(classes.items())))


if __name__ == "__main__":
    main()
