"""The package as a whole: what it exports, its documentation, types, imports."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import public
import pytest

import pycambium as pc

FUNCTIONS = public.functions()


def run(code: str, *, seconds: float = 120, **environment: str) -> str:
    """What a new interpreter prints."""
    import os

    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, **environment},
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_the_package_is_the_installed_one():
    assert "site-packages" in pc.__file__
    assert re.fullmatch(r"\d+\.\d+\.\d+", pc.__version__)
    from importlib.metadata import metadata

    assert metadata("pycambium")["Version"] == pc.__version__
    assert "Weak supervision in" in str(metadata("pycambium").get_payload())
    assert (Path(pc.__file__).parent / "py.typed").exists()


def test_everything_public_is_exported():
    assert {"path_affinity", "random_walk", "Transition"} <= set(pc.__all__)
    assert len(pc.__all__) == len(set(pc.__all__))
    assert not [name for name in pc.__all__ if name.startswith("_")]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_says_what_it_does_and_takes(name):
    function = FUNCTIONS[name]
    documentation = inspect.getdoc(function) or ""
    if hasattr(function, "__nb_signature__"):
        documentation = function.__nb_signature__[0][1] or ""
    sentence = documentation.strip().split("\n\n")[0]
    assert sentence.endswith((".", ":", "?")) and len(sentence) > 20, (
        f"{name} is not documented: {documentation!r}"
    )
    for signature in public.signatures(function):
        assert signature.returns, f"{name} does not say what it returns"
        for argument in signature.arguments:
            assert argument.annotation, f"{name}: {argument.name} has no type"
    if name.startswith("pycambium.compat"):
        return
    for signature in public.signatures(function):
        given = {argument.name: argument for argument in signature.arguments}
        arrays = [a for a in signature.arguments if re.search(r"\bArray\b", a.annotation)]
        if arrays and hasattr(function, "__nb_signature__"):
            assert "copy" in given and given["copy"].keyword and given["copy"].default == "False"
        if "threads" in given:
            assert given["threads"].keyword and given["threads"].default == "0"
        for array in arrays:
            assert re.search(rf"\b{array.name}\b|[Aa]rguments as \w+\(", documentation), (
                f"{name}: {array.name} is not documented"
            )


@pytest.mark.parametrize("name", public.classes())
def test_a_class_says_what_it_is(name):
    documentation = inspect.getdoc(public.classes()[name]) or ""
    assert len(documentation) > 20, f"{name} is not documented"


def test_types_of_a_user_are_checked(tmp_path):
    pytest.importorskip("mypy")
    script = Path(__file__).parent / "typed_user.py"
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(script)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    # Lines of the script that end with "# error: CODE" must be refused, and no other.
    lines = script.read_text().splitlines()
    wanted = {
        i: line.split("# error: ")[1] for i, line in enumerate(lines, 1) if "# error: " in line
    }
    found = {int(m[1]): m[2] for m in re.finditer(r":(\d+): error: .*\[([\w-]+)\]", checked.stdout)}
    assert wanted and found == wanted, checked.stdout + checked.stderr


def test_the_stubs_are_correct_python(tmp_path):
    pytest.importorskip("mypy")
    options = ["--strict", "--disable-error-code", "import-not-found", "--cache-dir", str(tmp_path)]
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "-p", "pycambium"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_import_is_light():
    heavy = "('torch', 'matplotlib', 'scipy', 'numpy')"
    assert (
        run(f"import sys; import pycambium; print(*(m for m in {heavy} if m in sys.modules))") == ""
    )


def test_import_is_quick():
    """60 ms at most, without NumPy, which the first array imports."""
    best = 1e9
    for _ in range(7):
        ended = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", "import pycambium"],
            capture_output=True,
            text=True,
            check=True,
        )
        line = next(line for line in ended.stderr.splitlines() if line.endswith("| pycambium"))
        best = min(best, float(line.split("|")[1]) / 1000)
    print(f"import pycambium: {best:.1f} ms")
    assert best < 60


def test_typed_user_runs():
    subprocess.run([sys.executable, str(Path(__file__).parent / "typed_user.py")], check=True)


@pytest.mark.parametrize("first", ["torch", "pycambium"])
def test_torch_and_pycambium_load_in_any_order(first):
    """Two sets of threads in one process."""
    pytest.importorskip("torch")
    second = "pycambium" if first == "torch" else "torch"
    code = f"""
import numpy as np
import {first}
import {second}
import pycambium as pc, torch
b = torch.rand(200, 200)
for _ in range(3):
    a = pc.path_affinity(b, threads=2)
    t = pc.make_transition(a, threads=2)
    s = torch.rand(2, 200, 200)
    w = pc.random_walk(s, t, steps=8, threads=2)
    m = torch.rand(300, 300) @ torch.rand(300, 300)
    torch.nn.functional.conv2d(torch.rand(1, 8, 64, 64), torch.rand(8, 8, 3, 3))
print(np.isfinite(w).all(), bool(torch.isfinite(m).all()))
"""
    assert run(code) == "True True"


def test_vectors_can_be_limited():
    pc.set_vectors("baseline")
    pc.set_vectors("avx512")
    with pytest.raises(ValueError, match="set_vectors: name is 'mmx'"):
        pc.set_vectors("mmx")


def test_arrays_that_are_not_packed(rng):
    boundary = rng.random((6, 8)).astype(np.float32)
    expected = pc.path_affinity(boundary, radius=2)
    unaligned = np.frombuffer(b"\0" + boundary.tobytes(), np.float32, offset=1).reshape(6, 8)
    assert not unaligned.flags.aligned
    others = {
        "negative strides": boundary[:, ::-1][:, ::-1][::-1][::-1].copy()[::-1],
        "gaps or permuted axes": np.asfortranarray(boundary),
        "cells between the bytes": unaligned,
    }
    for words, array in others.items():
        with pytest.raises(ValueError, match=f"path_affinity: boundary is float32 .* with {words}"):
            pc.path_affinity(array, radius=2)
    for array in (
        np.asfortranarray(boundary),
        unaligned,
        boundary.astype(np.float16).astype(np.float32),
    ):
        assert pc.path_affinity(array, radius=2, copy=True).shape == expected.shape
    np.testing.assert_array_equal(pc.path_affinity(unaligned, radius=2, copy=True), expected)
    np.testing.assert_array_equal(
        pc.path_affinity(np.asfortranarray(boundary), radius=2, copy=True), expected
    )
    np.testing.assert_array_equal(pc.path_affinity(memoryview(boundary), radius=2), expected)


def test_an_object_that_changes_between_two_looks(rng):
    """copy=True converts the cells that were checked, whatever the object says the second time."""

    class Liar:
        def __dlpack__(self, **_):
            return np.asfortranarray(rng.random((4, 6)).astype(np.float32)).__dlpack__()

        def __dlpack_device__(self):
            return (1, 0)

        def __array__(self, *_, **__):
            return np.zeros(3)

    assert pc.path_affinity(Liar(), radius=1, copy=True).shape == (len(pc.disc(1)), 4, 6)


def test_more_cells_than_a_memory_has():
    """Products of such extents would overflow."""
    one = np.zeros(1, np.float32)
    for copy in (False, True):
        huge = np.lib.stride_tricks.as_strided(one, (2**25, 2**25), (0, 0))
        with pytest.raises(
            ValueError, match="boundary is .*, which is more cells than a memory has"
        ):
            pc.path_affinity(huge, copy=copy)
