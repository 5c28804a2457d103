"""propagate_to_edge of pycambium beside the same computation written densely in PyTorch.

    python bench/python/walk.py [--sizes 47x63 94x125] [--threads 1 2] [--runs 21]

Both run on the CPU. The dense side makes the matrix of all cells, raises it to beta, divides its
columns by their sums, squares it 8 times and multiplies. Each side runs in a process of its own,
whose largest resident size is its peak. At 94x125 the dense side takes minutes and gigabytes, so it
runs once. On a busy machine the ratio of CPU time at one thread is the one to read.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

CHANNELS, RADIUS, BETA, EXP_TIMES = 4, 5, 10, 8


def peak() -> float:
    """[MB] largest resident size of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def dense(x, edge, torch):
    """The walk as a power of one matrix of all cells."""
    height, width = edge.shape
    cell = torch.arange(height * width).reshape(height, width)
    matrix = torch.eye(height * width)
    for dy in range(RADIUS):
        for dx in range(1 - RADIUS, RADIUS):
            if (dy, dx) <= (0, 0) or dy * dy + dx * dx >= RADIUS * RADIUS:
                continue
            left, right = max(0, -dx), width - max(0, dx)
            rows = slice(0, height - dy)
            worst = None
            for py in range(dy + 1):
                for px in range(min(dx, 0), max(dx, 0) + 1):
                    if (dy * px - dx * py) ** 2 < dy * dy + dx * dx:
                        here = edge[py : height - dy + py, left + px : right + px]
                        worst = here if worst is None else torch.maximum(worst, here)
            start, end = cell[rows, left:right], cell[dy:, left + dx : right + dx]
            matrix[start, end] = matrix[end, start] = 1 - worst
    matrix.pow_(BETA)
    matrix /= matrix.sum(dim=0)
    for _ in range(EXP_TIMES):
        matrix = matrix @ matrix
    return ((x * (1 - edge)).reshape(len(x), -1) @ matrix).reshape(len(x), 1, height, width)


def measure(side: str, height: int, width: int, threads: int, runs: int) -> dict:
    import numpy as np

    rng = np.random.default_rng(1)
    x = rng.random((CHANNELS, height, width), dtype=np.float32)
    edge = rng.random((height, width), dtype=np.float32) ** 4
    if side == "cambium":
        from pycambium.compat.irn import indexing

        def work():
            return indexing.propagate_to_edge(x, edge, RADIUS, BETA, EXP_TIMES, threads=threads)
    else:
        import torch

        torch.set_num_threads(threads)
        tensors = torch.from_numpy(x), torch.from_numpy(edge)

        def work():
            with torch.no_grad():
                return dense(*tensors, torch).numpy()

    before = peak()
    wall, cpu = [], []
    for _ in range(runs + (runs > 3)):
        started, busy = time.perf_counter(), time.process_time()
        out = work()
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - busy)
    if runs > 3:
        wall, cpu = wall[1:], cpu[1:]
    return {
        "median": statistics.median(wall),
        "least": min(wall),
        "cpu": statistics.median(cpu),
        "before": before,
        "peak": peak(),
        "sample": out.reshape(-1)[:: max(1, out.size // 50)].tolist(),
    }


def in_process(*arguments: object) -> dict:
    environment = dict(
        os.environ, OMP_NUM_THREADS=str(arguments[3]), MKL_NUM_THREADS=str(arguments[3])
    )
    command = [sys.executable, os.path.abspath(__file__), "--measure", *map(str, arguments)]
    answer = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(answer.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=["47x63", "94x125"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--dense-runs", nargs="+", type=int, default=[3, 1], help="a number a size")
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        side, *numbers = given.measure
        print(json.dumps(measure(side, *map(int, numbers))))
        return
    head = (
        "size     threads  side      runs  median ms     least ms     cpu ms   peak MB  "
        "(before the call)"
    )
    print(head + "\n" + "-" * len(head))
    for size, dense_runs in zip(given.sizes, given.dense_runs, strict=True):
        height, width = map(int, size.split("x"))
        for threads in given.threads:
            result = {}
            for side, runs in (("cambium", given.runs), ("dense", dense_runs)):
                r = result[side] = in_process(side, height, width, threads, runs)
                print(
                    f"{size:8} {threads:7}  {side:8} {runs:5} {r['median'] * 1e3:10.2f} "
                    f"{r['least'] * 1e3:12.2f} {r['cpu'] * 1e3:10.2f} {r['peak']:9.0f}  "
                    f"({r['before']:.0f})",
                    flush=True,
                )
            ours, theirs = result["cambium"], result["dense"]
            apart = max(abs(a - b) for a, b in zip(ours["sample"], theirs["sample"], strict=True))
            print(
                f"{size:8} {threads:7}  ratio: {theirs['median'] / ours['median']:.0f} of medians, "
                f"{theirs['least'] / ours['least']:.0f} of least, "
                f"{theirs['cpu'] / ours['cpu']:.0f} of cpu time; results differ by {apart:.1g}",
                flush=True,
            )


if __name__ == "__main__":
    main()
