"""COCO's evaluation of masks, from files to scores, beside hotcoco and pycocotools, in turn.

    python coco.py FOLDER [--bench build/bench/bench/cambium_bench] [--rounds 7] [--threads 2]

Draws gt.json and res.json into FOLDER unless they are there: 1,500 images, 10,455 objects, 89,990 results with some 300
runs each. The library is measured by the row metric/coco_files of the bench. A figure is a median in milliseconds; AP is
told of all. It needs numpy and pycocotools, and hotcoco for its row. pycocotools runs once: it takes half a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as runs

IMAGES, OBJECTS, RESULTS = 1_500, 10_455, 89_990
HEIGHT, WIDTH, CLASSES = 480, 640, 80


def star(
    x: float, y: float, radius: float, corners: int, rough: float, rng: np.random.Generator
) -> list[float]:
    """The corners of a polygon around a point, inside the image."""
    angle = 2 * np.pi * np.sort(rng.random(corners))
    reach = np.maximum(radius * (1 + rough * rng.standard_normal(corners)), 2)
    across = np.clip(x + 1.3 * reach * np.cos(angle), 0, WIDTH - 1)
    down = np.clip(y + reach * np.sin(angle), 0, HEIGHT - 1)
    return np.stack([across, down], 1).ravel().round(2).tolist()


def listed(text: Any) -> dict[str, Any]:
    """Run lengths as a list, the form of crowds."""
    flat = runs.decode(text).ravel(order="F")
    ends = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.r_[0, ends, flat.size]).tolist()
    return {"size": [HEIGHT, WIDTH], "counts": [0] * int(flat[0]) + counts}


def draw(folder: Path) -> None:
    rng = np.random.default_rng(7)

    def place() -> tuple[float, float, int]:
        x, y = rng.uniform(30, WIDTH - 30), rng.uniform(30, HEIGHT - 30)
        return x, y, int(rng.integers(1, CLASSES + 1))

    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    objects_of = np.bincount(rng.integers(0, IMAGES, OBJECTS), minlength=IMAGES)
    results_of = np.bincount(rng.integers(0, IMAGES, RESULTS), minlength=IMAGES)
    for image in range(IMAGES):
        objects = []
        for _ in range(objects_of[image]):
            (x, y, category), radius = place(), 10 * 15 ** rng.random()
            objects.append((x, y, radius, category))
            polygon = star(x, y, radius, int(rng.integers(12, 50)), 0.08, rng)
            mask = runs.frPyObjects([polygon], HEIGHT, WIDTH)[0]
            crowd = bool(rng.random() < 0.02)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image + 1,
                    "category_id": category,
                    "segmentation": listed(mask) if crowd else [polygon],
                    "area": float(runs.area(mask)),
                    "bbox": runs.toBbox(mask).tolist(),
                    "iscrowd": int(crowd),
                }
            )
        polygons, told = [], []
        for _ in range(results_of[image]):
            x, y, category = place()
            radius, score = 14 * 9 ** rng.random(), rng.uniform(0.01, 0.6)
            if objects and rng.random() < 0.6:  # near an object; the nearer, the higher its score
                other = category
                x, y, radius, category = objects[rng.integers(len(objects))]
                off = rng.exponential(0.15)
                x, y = x + off * radius * rng.normal(), y + off * radius * rng.normal()
                radius *= np.exp(off * rng.normal())
                category = other if rng.random() < 0.2 else category
                score = np.clip(1 - off + 0.2 * rng.normal(), 0.01, 0.999)
            x, y = np.clip(x, 8, WIDTH - 8), np.clip(y, 8, HEIGHT - 8)
            corners = int(rng.integers(20, 70))
            polygons.append(star(x, y, max(radius, 6), corners, 0.06, rng))
            told.append((category, round(float(score), 4)))
        for (category, score), mask in zip(
            told, runs.frPyObjects(polygons, HEIGHT, WIDTH), strict=True
        ):
            segmentation = {"size": [HEIGHT, WIDTH], "counts": mask["counts"].decode()}
            results.append(
                {
                    "image_id": image + 1,
                    "category_id": category,
                    "segmentation": segmentation,
                    "score": score,
                }
            )
    data = {
        "images": [
            {"id": i + 1, "height": HEIGHT, "width": WIDTH, "file_name": f"{i + 1}.jpg"}
            for i in range(IMAGES)
        ],
        "annotations": annotations,
        "categories": [{"id": c, "name": f"class {c}"} for c in range(1, CLASSES + 1)],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gt.json").write_text(json.dumps(data))
    (folder / "res.json").write_text(json.dumps(results))


Measured = tuple[float, float]  # milliseconds, AP


def peer(package: Any, evaluation: Any, folder: Path) -> Measured:
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        truth = package(str(folder / "gt.json"))
        e = evaluation(truth, truth.loadRes(str(folder / "res.json")), "segm")
        e.evaluate()
        e.accumulate()
        e.summarize()
    return 1e3 * (time.perf_counter() - began), float(e.stats[0])


def ours(bench: Path, folder: Path, threads: int) -> Measured:
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        environment = {
            **os.environ,
            "CAMBIUM_BENCH_COCO": str(folder.resolve()),
            "OMP_NUM_THREADS": str(threads),
        }
        command = [
            bench.resolve(),
            "--benchmark_filter=metric/coco_files$",
            f"--benchmark_out={out.name}",
            "--benchmark_out_format=json",
        ]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        row = json.load(out)["benchmarks"][0]
    return row["median_ms"], row["ap"]


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("folder", type=Path)
    options.add_argument("--bench", type=Path, default=Path("build/bench/bench/cambium_bench"))
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--threads", type=int, default=2)
    given = options.parse_args()
    if not all((given.folder / name).exists() for name in ("gt.json", "res.json")):
        draw(given.folder)
    os.environ["RAYON_NUM_THREADS"] = str(given.threads)  # hotcoco's
    calls: dict[str, Callable[[], Measured]] = {
        "cambium": lambda: ours(given.bench, given.folder, given.threads)
    }
    with contextlib.suppress(ImportError):
        import hotcoco

        calls["hotcoco"] = lambda: peer(hotcoco.COCO, hotcoco.COCOeval, given.folder)
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    ap = {name: call()[1] for name, call in calls.items()}
    took: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(given.rounds):
        for name, call in calls.items():
            took[name].append(call()[0])
    once, ap["pycocotools"] = peer(COCO, COCOeval, given.folder)
    took["pycocotools"] = [once]
    for name, times in took.items():
        ratios = [t / o for t, o in zip(times, took["cambium"], strict=False)]
        print(
            f"{name}: {statistics.median(times):.0f} ms, AP {ap[name]:.12f}, "
            f"{statistics.median(ratios):.2f} times cambium's ({min(ratios):.2f}-{max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
