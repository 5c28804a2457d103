"""Writes _cambium.pyi, which type checkers and editors read.

    make_stub.py FOLDER_OF_THE_MODULE OUTPUT
"""

import importlib
import sys
from pathlib import Path

from nanobind.stubgen import StubGen

PROLOGUE = """\
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .typing import Array, CocoDataset, CocoResult, Rle, StrPath

"""


def main() -> None:
    folder, output = sys.argv[1:]
    sys.path.insert(0, folder)
    generated = StubGen(module=importlib.import_module("_cambium"), quiet=True)
    generated.put(generated.module)
    lines = generated.get().split("\n")
    # stubgen takes the np of our signatures for a module of that name.
    body = "\n".join(line for line in lines if line != "import np").lstrip("\n")
    Path(output).write_text(PROLOGUE + "\n" + body, encoding="utf-8")


main()
