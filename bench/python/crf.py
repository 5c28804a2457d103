"""The stand-in for pydensecrf beside the package, in one process, alternately.

    python bench/python/crf.py [--runs 7] [--height 375] [--width 500]

A run is what a script does for one image: DenseCRF2D, setUnaryEnergy, a Gaussian and a bilateral
kernel with their lattices, and 10 steps. `cpu` is the process's CPU time (all threads), which other
programs on the machine disturb least. `core` are the calls of the extension that the script comes
to: lattices, energies, steps. The overhead is the same script on one pixel, where there is nothing
to compute, as a part of `core`: Python and calls are all that the stand-in adds, because no array
is copied.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import pycambium as pc
import pycambium.compat.pydensecrf.densecrf as ours

try:
    import pydensecrf.densecrf as theirs
except ImportError:
    theirs = None


def photograph(height: int, width: int) -> np.ndarray:
    """Surfaces of soft light with grain: about as many lattice points as a photograph."""
    rng = np.random.default_rng(3)
    v, u = np.mgrid[:height, :width] / 60
    surface = (np.sin(u) + np.cos(1.3 * v) > 0.4) + 2 * (np.sin(0.7 * u + v) > 0.2)
    out = np.empty((height, width, 3))
    for c in range(3):
        light = 60 * (1 + np.sin(0.4 * u + 0.3 * v + c))
        out[..., c] = (
            40 + 37 * ((surface + 2 * c) % 4) + light / 2 + rng.uniform(-7, 7, (height, width))
        )
    return np.clip(out, 0, 255).astype(np.uint8)


def energies(labels: int, height: int, width: int) -> np.ndarray:
    from pycambium.compat.pydensecrf.utils import unary_from_labels

    rng = np.random.default_rng(4)
    y, x = np.mgrid[:height, :width]
    regions = (np.sin(x / 70) + np.cos(y / 55) > 0.3) + (np.sin(x / 31 + y / 44) > 0.5)
    noisy = np.where(
        rng.random((height, width)) < 0.1, rng.integers(0, labels, (height, width)), regions
    )
    return unary_from_labels(noisy, labels, 0.7, zero_unsure=False)


def script(package: Any, image: np.ndarray, unary: np.ndarray) -> np.ndarray:
    crf = package.DenseCRF2D(image.shape[1], image.shape[0], len(unary))
    crf.setUnaryEnergy(unary)
    crf.addPairwiseGaussian(sxy=3, compat=3)
    crf.addPairwiseBilateral(sxy=50, srgb=5, rgbim=image, compat=10)
    return crf.inference(10)


def core(image: np.ndarray, unary: np.ndarray, threads: int) -> np.ndarray:
    """The calls of the extension that `script` comes to, and nothing else."""
    stack = unary.reshape(len(unary), *image.shape[:2])
    crf = pc.DenseCRF.of_size(*image.shape[:2], pad=True)
    field = crf.prepare(stack, threads=threads)
    crf.add_image(None, sxy=3, compat=3, threads=threads)
    crf.add_image(image, sxy=50, srgb=5, compat=10, threads=threads)
    return field.run(10, threads=threads)


def alternately(
    calls: dict[str, Callable[[], Any]], runs: int
) -> dict[str, tuple[float, float, float]]:
    """Milliseconds of each call: median of wall time, its minimum, and median of CPU time."""
    wall: dict[str, list[float]] = {name: [] for name in calls}
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    for run in range(runs + 1):
        for name, call in calls.items():
            began, used = time.perf_counter(), time.process_time()
            call()
            if run > 0:  # the first one warms up
                wall[name].append(1e3 * (time.perf_counter() - began))
                cpu[name].append(1e3 * (time.process_time() - used))
    return {n: (statistics.median(wall[n]), min(wall[n]), statistics.median(cpu[n])) for n in calls}


def script_on_one_pixel(runs: int = 500) -> float:
    """Microseconds of CPU time of a script where there is no work, the median."""
    image, unary = np.zeros((1, 1, 3), np.uint8), np.zeros((3, 1), np.float32)
    took = []
    for _ in range(runs):
        began = time.process_time()
        script(ours, image, unary)
        took.append(1e6 * (time.process_time() - began))
    return statistics.median(took)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--height", type=int, default=375)
    parser.add_argument("--width", type=int, default=500)
    parser.add_argument(
        "--one", action="store_true", help=argparse.SUPPRESS
    )  # one number of threads, in this process
    given = parser.parse_args()
    if not given.one:
        for threads in ("1", "2"):
            environment = {**os.environ, "OMP_NUM_THREADS": threads}
            subprocess.run([sys.executable, *sys.argv, "--one"], env=environment, check=True)
        return
    threads = int(os.environ["OMP_NUM_THREADS"])
    image = photograph(given.height, given.width)
    for labels in (3, 21):
        unary = energies(labels, given.height, given.width)
        calls: dict[str, Callable[[], Any]] = {"core": lambda: core(image, unary, threads)}
        calls["pycambium"] = lambda: script(ours, image, unary)
        if theirs is not None:
            calls["pydensecrf"] = lambda: script(theirs, image, unary)
            have, want = (
                np.array(script(ours, image, unary)),
                np.array(script(theirs, image, unary)),
            )
            differ = int((have.argmax(axis=0) != want.argmax(axis=0)).sum())
            print(
                f"L={labels}: {differ} of {have.shape[1]} labels differ, "
                f"marginals by {abs(have - want).max():.1e}"
            )
        took = alternately(calls, given.runs)
        for name, (wall, least, cpu) in took.items():
            ratio = (
                ""
                if name == "pydensecrf" or theirs is None
                else f"  {took['pydensecrf'][0] / wall:4.2f}x"
            )
            cpu_ratio = (
                ""
                if name == "pydensecrf" or theirs is None
                else f" ({took['pydensecrf'][2] / cpu:4.2f}x)"
            )
            print(
                f"  {threads} threads, L={labels:2}, {name:10}: {wall:7.1f} ms, "
                f"least {least:7.1f}{ratio}; "
                f"cpu {cpu:7.1f} ms{cpu_ratio}"
            )
        calls_alone = script_on_one_pixel()
        print(
            f"  {threads} threads, L={labels:2}, overhead of the stand-in: {calls_alone:.0f} us, "
            f"{0.1 * calls_alone / took['core'][2]:.3f} % of core's cpu time"
        )


if __name__ == "__main__":
    main()
