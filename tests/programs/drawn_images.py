"""Small images for tests of the program label: photographs, class activation maps, boundaries and truth, without packages."""
import array
import hashlib
import os
import random
import shutil
import struct
import tempfile
import unittest
import zlib


def png(path, width, height, pixels, channels):
    """Writes 8-bit grey (channels 1) or RGB (3)."""
    rows = b"".join(b"\0" + bytes(pixels[y * width * channels : (y + 1) * width * channels]) for y in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


def npy(path, shape, values):
    """Writes float32."""
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }" % ", ".join(map(str, shape))
    text += " " * (63 - (10 + len(text)) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + array.array("f", values).tobytes())


def draw(folder, count, seed=1, width=44, height=36):
    """Draws images of a rectangle and a disc. Returns the command line of label, without --out."""
    for kind in ("images", "cams", "edges", "semantic", "instances"):
        os.makedirs(os.path.join(folder, kind), exist_ok=True)
    dice = random.Random(seed)
    w, h = (width - 1) // 4 + 1, (height - 1) // 4 + 1
    for i in range(count):
        name = "image_%05d" % i
        left, top = dice.randrange(2, width // 3), dice.randrange(2, height // 3)
        cx, cy, r = dice.randrange(width // 2, width - 4), dice.randrange(height // 2, height - 4), dice.randrange(4, 9)

        def what(x, y):
            if (x - cx) ** 2 + (y - cy) ** 2 <= r * r:
                return 2
            return 1 if left <= x < left + 12 and top <= y < top + 10 else 0

        colours = [[dice.randrange(256) for _ in range(3)] for _ in range(3)]
        truth = [what(x, y) for y in range(height) for x in range(width)]
        noise = dice.randbytes(len(truth) * 3)
        photograph = [(colours[truth[k // 3]][k % 3] + noise[k] // 8) % 256 for k in range(3 * len(truth))]
        png(os.path.join(folder, "images", name + ".png"), width, height, photograph, 3)
        png(os.path.join(folder, "semantic", name + ".png"), width, height, truth, 1)
        png(os.path.join(folder, "instances", name + ".png"), width, height, truth, 1)
        cells = [(4 * x, 4 * y) for y in range(h) for x in range(w)]
        cams = [0.9 if what(x, y) == c else 0.1 * dice.random() for c in (1, 2) for x, y in cells]
        edges = [1.0 if len({what(x + dx, y + dy) for dx in (-2, 2) for dy in (-2, 2)}) > 1 else 0.1 for x, y in cells]
        npy(os.path.join(folder, "cams", name + ".npy"), (2, h, w), cams)
        npy(os.path.join(folder, "edges", name + ".npy"), (h, w), edges)
    at = lambda kind, end: os.path.join(folder, kind, "{id}." + end)
    return ["--images", at("images", "png"), "--cams", at("cams", "npy"), "--boundaries", at("edges", "npy"),
            "--truth-semantic", at("semantic", "png"), "--truth-instances", at("instances", "png")]


def tree(folder):
    """The hash of each file below a folder."""
    out = {}
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            with open(path, "rb") as file:
                out[os.path.relpath(path, folder)] = hashlib.sha256(file.read()).hexdigest()
    return out


def differences(one, other):
    """Names of files that only one tree has or that differ, at most five."""
    a, b = tree(one), tree(other)
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))[:5]


class InFolder(unittest.TestCase):
    """Tests that share a temporary folder."""

    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp(prefix="cambium-label-")
        cls.addClassCleanup(shutil.rmtree, cls.root)

    @classmethod
    def at(cls, name):
        return os.path.join(cls.root, name)
