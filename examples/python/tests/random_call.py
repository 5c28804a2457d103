"""Random arguments of a public function, made from what its signature and its docstring say of each."""

from __future__ import annotations

import ast
import math
import random
import re
from dataclasses import replace
from typing import Any

import numpy as np
import public
from odd_values import DTYPES, FILES, FLOATS, INTEGERS, STRINGS, Lying, capsule

import pycambium as pc

DOCUMENTED: dict[str, public.Argument] = {}
ANYTHING = public.Argument("self", "", False, None)


def split(text: str, at: str) -> list[str]:
    """The parts between separators that are in no bracket."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "[") - (letter == "]")
        if letter == at and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


class Call:
    """Random arguments of one call. Extents of one name in the documentation are mostly equal."""

    def __init__(self, seed: int, number: int, pool: dict[str, list[Any]]) -> None:
        self.rng = random.Random(seed * 1_000_003 + number)
        self.numbers = np.random.default_rng([seed, number])
        self.pool = pool
        self.extents: dict[str, int] = {}
        self.like: dict[str, public.Argument] = {}
        self.radius = self.rng.choice([1, 1, 1, 2, 2, 3, 5])
        self.classes = self.rng.choice([1, 2, 3, 3])
        self.floating = self.rng.choice(["float32", "float32", "float64"])
        self.wild = self.rng.random() < 0.5

    def chance(self, probability: float) -> bool:
        """Half of all calls are tame: what makes a call fail is then rare."""
        return self.rng.random() < (probability if self.wild else probability * 0.05)

    def extent(self, axis: str) -> int:
        if axis.isdigit():
            return int(axis)
        if "*" in axis:
            return math.prod(self.extent(part) for part in axis.split("*") if part)
        if axis in ("h", "w") and axis not in self.extents and axis.upper() in self.extents:
            return (self.extents[axis.upper()] - 1) // 4 + 1
        if axis == "K":
            return len(pc.disc(self.radius))
        if axis in ("C", "L"):
            return self.classes
        if axis in ("H", "W") and axis not in self.extents and axis.lower() in self.extents:
            return max(0, 4 * self.extents[axis.lower()] - self.rng.randrange(4))
        if axis not in self.extents:
            self.extents[axis] = self.rng.randint(0 if self.chance(0.3) else 1, 9)
        return self.extents[axis]

    def shape(self, argument: public.Argument) -> list[int]:
        rng = self.rng
        if argument.shape is not None and not self.chance(0.1):
            shape = [
                self.extent(axis) for axis in argument.shape.split(",") if axis and "." not in axis
            ]
        else:
            shape = [rng.randrange(10) for _ in range(rng.randrange(6))]
        if self.chance(0.08) and shape:
            shape[rng.randrange(len(shape))] = rng.randrange(10)
        if self.chance(0.02):
            shape.append(rng.randrange(4))
        return shape

    def array(self, argument: public.Argument) -> Any:
        rng = self.rng
        held = self.pool.get("arrays", [])
        if (
            held and rng.random() < 0.25
        ):  # what another function gave, of this argument's rank if its rank is known
            rank = argument.shape.count(",") + 1 if argument.shape else None
            fits = [array for array in held if rank in (None, array.ndim)]
            if fits:
                return rng.choice(fits)
        shape = self.shape(argument)
        named = [d for d in DTYPES if re.search(rf"\b{d}\b", argument.line)]
        dtype = self.rng.choice(DTYPES + ["float32"] * 6 + ["int32", "uint8"] * 3)
        if named and not self.chance(0.1):
            dtype = self.floating if self.floating in named else rng.choice(named)
        if self.chance(0.02):
            dtype = rng.choice([">f4", "O", "U3", "M8[s]", "V4", "float128", "i4,f4"])
        kind = rng.randrange(5)
        if dtype in ("float16", "float32", "float64"):
            cells = self.numbers.random(shape) if kind < 4 else self.numbers.normal(0, 5, shape)
            array = cells.astype(dtype)
        elif dtype in DTYPES:
            array = self.numbers.integers(0, [2, 3, 4, 9, 256][kind], shape).astype(dtype)
        else:
            try:
                array = np.zeros(shape, dtype)
            except TypeError:
                array = np.zeros(shape)
        if array.size and self.chance(0.12) and dtype in DTYPES:
            special: list[Any] = (
                FLOATS if array.dtype.kind == "f" else [-1, 255, -(2**31), 2**31 - 1, 32767]
            )
            with np.errstate(all="ignore"):
                array.flat[rng.randrange(array.size)] = np.array(rng.choice(special)).astype(
                    array.dtype
                )
        if self.chance(0.05) and array.ndim:
            array = array[
                (slice(None, None, rng.choice([-1, 2, -2])),) * rng.randint(1, array.ndim)
            ]
        if self.chance(0.04):
            array = array.transpose(rng.sample(range(array.ndim), array.ndim))
        if self.chance(0.02) and dtype in DTYPES:
            array = np.frombuffer(b"\0" + array.tobytes(), array.dtype, offset=1).reshape(
                array.shape
            )
        if self.chance(0.01) and array.size and array.ndim:
            array = np.broadcast_to(array[..., :1], (*array.shape[:-1], rng.choice([3, 9, 2**20])))
        if self.chance(0.01):
            array = np.zeros((0, 2**40) + tuple(shape[2:]), np.float32)
        if rng.random() < 0.1:
            array.flags.writeable = False
        form = rng.random() * (1 if self.wild else 20)
        if form < 0.03 and array.dtype.kind not in "OM":
            return memoryview(array)  # type: ignore[arg-type]
        if form < 0.06:
            return self.lying(shape, array)
        return array

    def lying(self, shape: list[int], array: Any) -> Any:
        def one() -> Any:
            kind = self.rng.randrange(9)
            if kind < 4:
                return capsule(self.rng, shape)
            if kind == 4:
                return (
                    array.__dlpack__()
                    if array.flags.writeable
                    and array.dtype.kind in "iuf"
                    and array.dtype.isnative
                    and array.dtype.itemsize <= 8
                    else None
                )
            return [None, "capsule", ValueError("no"), 7][kind - 5]

        answers = [one() for _ in range(self.rng.randint(1, 3))]
        return Lying(answers) if self.rng.random() < 0.7 else answers[0]

    def integer(self, name: str) -> int:
        if name == "radius" and self.rng.random() < 0.85:
            return self.radius
        if self.chance(0.15):
            return self.rng.choice(INTEGERS)
        return self.rng.randint(-3 if self.chance(0.2) else 0, self.rng.choice([1, 4, 12]))

    def number(self) -> float:
        return self.rng.choice(
            FLOATS if self.chance(0.15) else [0.0, 0.1, 0.5, 0.9, 1.0, 2.0, 3.5, 10.0, 80.0]
        )

    def anything(self, argument: public.Argument) -> Any:
        return self.rng.choice(
            [
                None,
                self.integer(""),
                self.number(),
                self.rng.choice(STRINGS),
                self.array(argument),
                [],
                [1, [2], "3"],
                {},
                {"a": 1},
                b"\0\1\2\3",
                object(),
                len,
                (1, 2),
                np.float32(0.5),
                np.array(3),
                [np.zeros((2, 2), np.float32)],
                np.ma.masked,
                capsule(self.rng, [2, 3]),
            ]
            + [one for held in self.pool.values() for one in held[-1:]]
        )

    def coco(self, what: str) -> Any:
        """A mask as run lengths, a result or a data set, some with a value of another kind."""
        height, width = (max(1, self.extent(axis)) for axis in "HW")
        mask = self.numbers.random((height, width)) < 0.5
        made: dict[str, Any] = pc.encode_rle(mask, compressed=self.rng.random() < 0.7)
        if what != "Rle":
            made = {"image_id": 1, "category_id": 1, "segmentation": made, "score": self.number()}
        if what == "CocoDataset":
            made = {
                "images": [{"id": 1, "height": height, "width": width, "file_name": "a.jpg"}],
                "categories": [{"id": 1, "name": "a"}],
                "annotations": [made],
            }
        if self.chance(0.2):
            made[self.rng.choice(list(made))] = self.anything(ANYTHING)
        return made

    def path(self, argument: public.Argument) -> Any:
        """A file to read, or anywhere to write."""
        words = f"{argument.name} {argument.line}".lower()
        ending = next((e for e in ("json", "xml", "png", "text") if e in words), "")
        if not ending or "written" in words or self.chance(0.2):
            return self.rng.choice([*STRINGS, b"\xff", "written/a", "written/b"])
        return self.rng.choice([f for f in FILES if f.endswith(ending)] or STRINGS)

    def value(self, argument: public.Argument, annotation: str | None = None) -> Any:
        rng = self.rng
        text = argument.annotation if annotation is None else annotation
        if self.chance(0.04):
            return self.anything(argument)
        literals = re.search(r"Literal\[(.*?)\]", text)
        if literals:
            return "mmx" if self.chance(0.1) else rng.choice(ast.literal_eval(f"({literals[1]},)"))
        if len(parts := split(text, "|")) > 1:
            return self.value(argument, rng.choice(parts if self.wild else parts[:1] * 3 + parts))
        shape = re.match(r"\(([A-Za-z]+(?:, ?[A-Za-z]+)*)\)", argument.line)
        if shape and ("int" in text) and not self.chance(0.1):
            return [self.extent(axis.strip()) for axis in shape[1].split(",")]
        if sequence := re.match(
            r"(?:Sequence|Iterable|list|List|collections\.abc\.Sequence)\[(.*)\]$", text
        ):
            return [
                self.value(argument, sequence[1])
                for _ in range(rng.choice([0, 1, 2] + [self.classes] * 9))
            ]
        if pair := re.match(r"(?:tuple|Tuple)\[(.*)\]$", text):
            return tuple(
                self.value(argument, part) for part in split(pair[1], ",") if part != "..."
            )
        if mapping := re.match(r"(?:dict|Mapping)\[(\w+), (.*)\]$", text):
            return {
                rng.choice(STRINGS): self.value(argument, mapping[2])
                for _ in range(rng.randrange(4))
            }
        if re.search(r"\b(Array|ArrayLike|NDArray|ndarray|Tensor)\b", text):
            return self.array(argument)
        simple = text.split("[")[0].split(".")[-1]
        if simple in ("Rle", "CocoResult", "CocoDataset"):
            return self.coco(simple)
        if simple == "StrPath":
            return self.path(argument)
        if simple == "int":
            return self.integer(argument.name)
        if simple == "float":
            return self.number()
        if simple == "bool":
            return rng.random() < 0.5
        if simple in ("str", "PathLike", "Path"):
            words = re.findall(r"[\"']([\w-]+)[\"']", f"{argument.line} {argument.default}")
            return rng.choice(words if words and not self.chance(0.2) else STRINGS)
        if simple == "None":
            return None
        if held := self.pool.get(simple):
            return rng.choice(held)
        return self.anything(argument)

    def fit(self, held: Any) -> None:
        """Arrays beside an object mostly have its extents."""
        if self.chance(0.1):
            return
        for name in ("shape", "size"):
            shape = getattr(held, name, None)
            if (
                isinstance(shape, tuple)
                and len(shape) >= 2
                and all(isinstance(extent, int) and extent < 100 for extent in shape)
            ):
                self.extents.update(h=shape[-2], w=shape[-1], H=shape[-2], W=shape[-1])
        for name in ("labels", "classes"):
            count = getattr(held, name, None)
            if isinstance(count, int) and count < 30:
                self.classes = count

    def arguments(self, signature: public.Signature) -> tuple[list[Any], dict[str, Any]]:
        positional: list[Any] = []
        named: dict[str, Any] = {}
        objects: dict[str, Any] = {}
        for argument in signature.arguments:
            held = self.pool.get(argument.annotation.split(" ")[0].split(".")[-1])
            if held and not self.chance(0.1):
                objects[argument.name] = self.rng.choice(held)
                self.fit(objects[argument.name])
        for argument in signature.arguments:
            if argument.shape is None and not argument.line:  # documented elsewhere: "as irnet()"
                other = self.like.get(argument.name) or DOCUMENTED.get(argument.name, argument)
                argument = replace(argument, shape=other.shape, line=other.line)
            if argument.default is not None and self.rng.random() < (
                0.5 if argument.name != "radius" else 0.02
            ):
                continue
            if argument.name == "threads":
                named["threads"] = (
                    self.rng.choice([-1, 1025, 2**40])
                    if self.chance(0.1)
                    else self.rng.choice([1, 1, 2, 3])
                )
            elif argument.keyword or argument.default is not None:
                named[argument.name] = self.value(argument)
            else:
                positional.append(
                    objects[argument.name] if argument.name in objects else self.value(argument)
                )
        if self.chance(0.02):
            positional.append(3)
        if self.chance(0.02):
            named["nothing"] = 1
        return positional, named
