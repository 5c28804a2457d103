#!/usr/bin/env python3
"""Memory and throughput of `label` on tar shards, beside the same images as files in folders.

The samples are drawn: photographs of 8 x 8, maps of 2 x 2, two classes. So almost all time is reading, writing and hashing,
not the walk: the worst case for a format.

  bench/python/label_shards.py build/label/examples/label/label --samples 1000 100000 --folders 10000
"""
import argparse
import io
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib


def png(pixels):
    rows = b"".join(b"\0" + pixels[24 * y:24 * y + 24] for y in range(8))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


def npy(shape, values):
    head = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }" % (shape,)
    head += " " * (117 - len(head)) + "\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head.encode() + struct.pack("<%df" % len(values), *values)


def sample(n):
    draw = random.Random(n)
    return {".png": png(draw.randbytes(192)),
            ".cam.npy": npy((2, 2, 2), [draw.random() for _ in range(8)]),
            ".boundary.npy": npy((2, 2), [draw.random() for _ in range(4)])}


def write_shards(folder, count, each):
    for shard in range((count + each - 1) // each):
        with tarfile.open(folder / f"set-{shard:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as to:
            for n in range(shard * each, min(count, shard * each + each)):
                for ending, content in sample(n).items():
                    about = tarfile.TarInfo(f"im{n:07d}{ending}")
                    about.size = len(content)
                    to.addfile(about, io.BytesIO(content))
    return (count + each - 1) // each


def write_files(folder, count):
    for n in range(count):
        for ending, content in sample(n).items():
            (folder / f"im{n:07d}{ending}").write_bytes(content)


def run(words):
    """Seconds, the largest resident memory in MB, and seconds of processor time of a run."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as told:
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=told)
        memory = 0  # of the program alone: wait4's figure begins with this interpreter's
        while os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            try:
                with open(f"/proc/{child.pid}/status") as about:
                    for line in about:
                        if line.startswith("VmHWM:"):
                            memory = int(line.split()[1])
            except OSError:
                pass
            time.sleep(0.005)
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        if status != 0:
            told.seek(0)
            sys.exit(f"{' '.join(words)}: status {status}\n{told.read().decode()[-2000:]}")
    return seconds, memory / 1024, used.ru_utime + used.ru_stime


def main():
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("label")
    asked.add_argument("--samples", type=int, nargs="+", default=[1000, 100000])
    asked.add_argument("--folders", type=int, nargs="*", default=[], help="the same as files in folders, so many images")
    asked.add_argument("--each", type=int, default=1000, help="samples of a shard")
    asked.add_argument("--threads", type=int, default=1)
    asked.add_argument("--work", help="a folder to work in; drawn samples in it are used again")
    a = asked.parse_args()
    work = pathlib.Path(a.work or tempfile.mkdtemp(prefix="label-shards-"))
    print(f"{'':28}{'images':>8}{'s':>9}{'images/s':>10}{'cpu s':>8}{'MB':>8}")

    def row(what, count, took):
        seconds, memory, cpu = took
        print(f"{what:28}{count:8}{seconds:9.2f}{count / seconds:10.0f}{cpu:8.2f}{memory:8.1f}", flush=True)

    out = work / "out"
    for count in a.samples:
        folder = work / f"shards-{count}"
        if not folder.exists():
            folder.mkdir(parents=True)
            write_shards(folder, count, a.each)
        shutil.rmtree(out, ignore_errors=True)
        last = (count + a.each - 1) // a.each - 1
        row("shards", count, run([a.label, "--images", f"{folder}/set-{{000000..{last:06d}}}.tar", "--out", str(out),
                                  "--threads", str(a.threads)]))
        row("shards, --resume", count,
            run([a.label, "--images", f"{folder}/set-{{000000..{last:06d}}}.tar", "--out", str(out), "--threads",
                 str(a.threads), "--resume"]))
        row("--join", count, run([a.label, "--join", str(out)]))
        assert len(json.load(open(out / "manifest.json"))["images"]) == count
    for count in a.folders:
        folder = work / f"files-{count}"
        if not folder.exists():
            folder.mkdir(parents=True)
            write_files(folder, count)
        shutil.rmtree(out, ignore_errors=True)
        row("files", count, run([a.label, "--images", f"{folder}/{{id}}.png", "--cams", f"{folder}/{{id}}.cam.npy",
                                 "--boundaries", f"{folder}/{{id}}.boundary.npy", "--out", str(out), "--threads",
                                 str(a.threads)]))
    shutil.rmtree(work if a.work is None else out, ignore_errors=True)


if __name__ == "__main__":
    main()
