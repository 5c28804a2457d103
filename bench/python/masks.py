"""Overlaps and suppression of masks beside NumPy's matrix product and pycocotools, in turn in one process.

    python masks.py [--masks 200] [--size 640] [--rounds 9]

Medians in milliseconds, wall time, and the largest difference of the overlaps. It needs numpy, pycambium and pycocotools.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import pycocotools.mask
from numpy.typing import NDArray

import pycambium as pc


def proposals(count: int, side: int) -> NDArray[np.bool_]:
    """Ellipses from 8 pixels to half of the image, every fourth nearly like the one before it."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:side, :side]
    out = np.zeros((count, side, side), bool)
    for i in range(count):
        if i % 4 != 3:
            cy, cx, flat = rng.random() * side, rng.random() * side, 0.5 + rng.random()
            radius = 8 * 40 ** rng.random()
        else:
            cx += 0.03 * radius
        out[i] = np.hypot((y - cy) * flat, x - cx) < radius
    return out


def suppressed(
    iou: NDArray[np.floating], scores: NDArray[np.float64], threshold: float
) -> list[int]:
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if not kept or (iou[kept, i] <= threshold).all():
            kept.append(int(i))
    return kept


def dense(
    masks: NDArray[np.bool_], scores: NDArray[np.float64]
) -> tuple[NDArray[np.floating], list[int]]:
    flat = masks.reshape(len(masks), -1).astype(np.float32)
    shared = flat @ flat.T
    area = flat.sum(1)
    iou = shared / (area[:, None] + area[None] - shared)
    return iou, suppressed(iou, scores, 0.7)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--masks", type=int, default=200)
    options.add_argument("--size", type=int, default=640)
    options.add_argument("--rounds", type=int, default=9)
    given = options.parse_args()
    masks = proposals(given.masks, given.size)
    scores = np.random.default_rng(9).random(given.masks)
    packed, runs = pc.pack_masks(masks), pc.encode_rle(masks)
    coco = [{"size": r["size"], "counts": r["counts"].encode()} for r in runs]
    crowd = [0] * len(coco)

    def ours(threads: int) -> tuple[NDArray[np.floating], list[int]]:
        iou = pc.pairwise_iou(packed, threads=threads)
        return iou, pc.mask_nms(packed, scores, threads=threads).tolist()

    def theirs() -> tuple[NDArray[np.floating], list[int]]:
        iou = pycocotools.mask.iou(coco, coco, crowd)
        return iou, suppressed(iou, scores, 0.7)

    calls: dict[str, Callable[[], tuple[NDArray[np.floating], list[int]]]] = {
        "pycambium, 1 thread": lambda: ours(1),
        "pycambium, 2 threads": lambda: ours(2),
        "from bytes, 2 threads": lambda: (
            pc.pairwise_iou(pc.pack_masks(masks, threads=2), threads=2),
            [],
        ),
        "from runs, 2 threads": lambda: (
            pc.pairwise_iou(pc.pack_rle(runs, threads=2), threads=2),
            [],
        ),
        "NumPy": lambda: dense(masks, scores),
        "pycocotools": theirs,
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    want, kept = calls["NumPy"]()
    for name, call in calls.items():
        iou, places = call()
        same = "the same masks kept" if places == kept else "" if not places else "OTHER MASKS KEPT"
        print(f"{name}: overlaps differ by {np.abs(iou - want).max():.1e} {same}")
    for _ in range(given.rounds):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            times[name].append(1e3 * (time.perf_counter() - began))
    print(
        f"{given.masks} masks of {given.size} x {given.size}, {packed.nbytes / 1e6:.2f} MB packed, "
        f"{4e-6 * masks.size:.0f} MB as floats; {len(kept)} kept; ms"
    )
    for name in calls:
        print(f"{name}: {statistics.median(times[name]):.2f}")


if __name__ == "__main__":
    main()
