"""Values that a caller gives by mistake: numbers and texts at the ends of their ranges, DLPack capsules that lie."""

from __future__ import annotations

import ctypes
import json
import os
import random
from typing import Any

import numpy as np

import pycambium as pc

DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64".split()
DTYPES += "float16 float32 float64 complex64".split()
INTEGERS = [
    -(2**63),
    -(2**31) - 1,
    -(2**31),
    -1000,
    1023,
    1024,
    2**16,
    2**31 - 1,
    2**31,
    2**63 - 1,
    2**63,
    2**200,
]
FLOATS = [float("nan"), float("inf"), -float("inf"), 1e300, 1e-300, -1e9, -0.0, 5e-324, 1e40]
STRINGS = ["", "x", "nowhere/x.npy", "a\0b", "\ud800", "/", ".", "ü" * 300, "%s", "file.bin"]


FILES: list[str] = []


def write_files() -> None:
    """One file of each kind, to be read."""
    labels = np.array([[0, 1, 1], [0, 2, 2]], np.int32)
    xml = "<annotation><size><height>4</height><width>5</width></size></annotation>"
    rle = pc.encode_rle(labels > 0)
    result = {"image_id": 1, "category_id": 1, "segmentation": rle, "score": 0.5}
    image = {"id": 1, "height": 2, "width": 3, "file_name": "a.jpg"}
    found = {"id": 1, **result}
    whole = {"images": [image], "categories": [{"id": 1}], "annotations": [found]}
    for name, content in (
        ("list.text", "a 1 2\nb 3\n"),
        ("points.text", "1 2 0 0.5\n"),
        ("a.xml", xml),
        ("results.json", json.dumps([result])),
        ("set.json", json.dumps(whole)),
    ):
        FILES.append(f"files/{name}")
        os.makedirs("files", exist_ok=True)
        with open(FILES[-1], "w") as file:
            file.write(content)
    try:
        pc.write_label_map("files/labels.png", labels)
        pc.write_instance_map("files/ids.png", labels)
        FILES.extend(["files/labels.png", "files/ids.png"])
    except RuntimeError:  # built without cambium::io
        pass


class DLDevice(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("id", ctypes.c_int)]


class DLDataType(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", DLDevice),
        ("ndim", ctypes.c_int),
        ("dtype", DLDataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class DLManagedTensor(ctypes.Structure):
    _fields_ = [("tensor", DLTensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


ctypes.pythonapi.PyCapsule_New.restype = ctypes.py_object
ctypes.pythonapi.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
alive: list[Any] = []  # what capsules point at stays valid


def capsule(rng: random.Random, shape: list[int]) -> Any:
    """A capsule of valid memory, whatever it says: strides of 0 where the shape is a lie."""
    memory = (ctypes.c_uint8 * 65536)()
    extents = (ctypes.c_int64 * max(1, len(shape)))(*shape)
    lying = rng.random() < 0.3 and len(shape) > 0
    if lying:
        extents[rng.randrange(len(shape))] = rng.choice([2**31, 2**40, 2**62])
    strides = (ctypes.c_int64 * max(1, len(shape)))(*[0] * max(1, len(shape)))
    tensor = DLTensor(
        ctypes.addressof(memory) + 16,
        DLDevice(rng.choice([1, 1, 1, 1, 2, 3, 10, 77]), rng.choice([0, 0, -1, 9])),
        len(shape),
        DLDataType(
            rng.choice([0, 1, 2, 2, 2, 4, 5, 6, 99]),
            rng.choice([8, 16, 32, 32, 32, 64, 4, 1]),
            rng.choice([1, 1, 1, 4]),
        ),
        extents,
        strides if lying or rng.random() < 0.3 else None,
        rng.choice([0, 0, 1, 8]),
    )
    managed = DLManagedTensor(tensor, None, None)
    alive.append((memory, extents, strides, managed))
    name = rng.choice([b"dltensor"] * 6 + [b"used_dltensor", b"tensor"])
    alive.append(name)
    return ctypes.pythonapi.PyCapsule_New(ctypes.addressof(managed), name, None)


class Lying:
    """An object whose __dlpack__ gives anything."""

    def __init__(self, answers: list[Any]) -> None:
        self.answers = answers

    def __dlpack__(self, **_: Any) -> Any:
        answer = self.answers.pop() if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __repr__(self) -> str:
        return "Lying()"
