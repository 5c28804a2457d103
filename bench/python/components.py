"""Connected components beside connected-components-3d and OpenCV, called in turn in one process.

    python components.py [--size 4096] [--rounds 9]

Medians in milliseconds, wall time and CPU time of the calling thread. It needs numpy, pycambium,
connected-components-3d and opencv-python-headless.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import cc3d
import cv2
import numpy as np
from numpy.typing import NDArray

import pycambium as pc
import pycambium.compat.cc3d as shim

Mask = NDArray[np.uint8]


def blobs(side: int) -> Mask:
    """Smooth noise, cut at its middle: some thousand regions with long runs."""
    rng = np.random.default_rng(1)
    coarse = rng.random((side // 16, side // 16), dtype=np.float32)
    return (cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC) > 0.5).view(np.uint8)


def noise(side: int) -> Mask:
    return (np.random.default_rng(0).random((side, side)) < 0.5).view(np.uint8)


def callers(mask: Mask, near: int, threads: int) -> dict[str, Callable[[], object]]:
    binary = mask.view(bool)
    return {
        "pycambium": lambda: pc.connected(mask, near=near, threads=threads),
        "shim, bool": lambda: shim.connected_components(binary, connectivity=near, threads=threads),
        "shim, uint8": lambda: shim.connected_components(mask, connectivity=near, threads=threads),
        "cc3d, bool": lambda: cc3d.connected_components(binary, connectivity=near),
        "cc3d, uint8": lambda: cc3d.connected_components(mask, connectivity=near),
        "OpenCV": lambda: cv2.connectedComponents(mask, connectivity=near),
    }


def measure(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, tuple[float, float]]:
    wall: dict[str, list[float]] = {name: [] for name in calls}
    own: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            began, used = time.perf_counter(), time.thread_time()
            result = call()
            own[name].append(1e3 * (time.thread_time() - used))
            wall[name].append(1e3 * (time.perf_counter() - began))
            del result
    return {name: (statistics.median(wall[name]), statistics.median(own[name])) for name in calls}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--size", type=int, default=4096)
    options.add_argument("--rounds", type=int, default=9)
    given = options.parse_args()
    print(f"{given.size} x {given.size}, {given.rounds} rounds; ms: wall (CPU time of the thread)")
    for name, make in (("blobs", blobs), ("random 50 %", noise)):
        mask = make(given.size)
        for near in (4, 8):
            for threads in (1, 2):
                cv2.setNumThreads(threads)
                cells = measure(callers(mask, near, threads), given.rounds)
                line = "  ".join(f"{who} {a:.0f} ({b:.0f})" for who, (a, b) in cells.items())
                print(
                    f"{name}, {near}-connected, {threads} thread{'s' * (threads > 1)}: {line}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
