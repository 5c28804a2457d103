"""What is public in pycambium and what it takes, read from the signatures."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pycambium


@dataclass(frozen=True)
class Argument:
    name: str
    annotation: str
    keyword: bool
    default: str | None
    shape: str | None = None
    """Between the brackets of the docstring's line: "C,h,w"."""
    line: str = ""


@dataclass(frozen=True)
class Signature:
    arguments: tuple[Argument, ...]
    returns: str


def documented(name: str, doc: str) -> tuple[str | None, str]:
    """The line of a docstring about an argument, and the shape at its beginning."""
    line = re.search(rf"^\s*{re.escape(name)}\b[^\n]*?\s{{2,}}(.*)$", doc, re.MULTILINE)
    if not line:
        return None, ""
    shape = re.match(r"\[([A-Za-z0-9_', +*]*)\]", line[1])
    return (shape[1].replace(" ", "") if shape else None), line[1]


def parse(signature: str, doc: str) -> Signature:
    function = ast.parse(signature.strip().rstrip(":") + ": ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    given = function.args
    positional = given.posonlyargs + given.args
    unset: list[ast.expr | None] = [None] * (len(positional) - len(given.defaults))
    pairs = [(a, d, False) for a, d in zip(positional, unset + list(given.defaults))]
    pairs += [(a, d, True) for a, d in zip(given.kwonlyargs, given.kw_defaults)]
    arguments = []
    for argument, default, keyword in pairs:
        if argument.arg == "self":
            continue
        shape, line = documented(argument.arg, doc)
        text = ast.unparse(argument.annotation) if argument.annotation else ""
        arguments.append(
            Argument(
                argument.arg, text, keyword, ast.unparse(default) if default else None, shape, line
            )
        )
    return Signature(tuple(arguments), ast.unparse(function.returns) if function.returns else "")


def signatures(function: Callable[..., Any]) -> list[Signature]:
    doc = inspect.getdoc(function) or ""
    if hasattr(function, "__nb_signature__"):
        return [parse(one[0], one[1] or "") for one in function.__nb_signature__]
    found = inspect.signature(function)
    arguments = []
    for each in found.parameters.values():
        if each.name == "self" or each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            continue
        shape, line = documented(each.name, doc)
        note = each.annotation
        text = (
            ""
            if note is each.empty
            else note
            if isinstance(note, str)
            else inspect.formatannotation(note)
        )
        default = None if each.default is each.empty else repr(each.default)
        arguments.append(
            Argument(each.name, text, each.kind == each.KEYWORD_ONLY, default, shape, line)
        )
    returns = found.return_annotation
    return [Signature(tuple(arguments), "" if returns is found.empty else str(returns))]


def modules() -> Iterator[Any]:
    """pycambium and its modules that can be imported here. The programs are no functions."""
    yield pycambium
    for each in pkgutil.walk_packages(pycambium.__path__, "pycambium."):
        if each.name.endswith(("__main__", "_cambium")):
            continue
        try:
            yield importlib.import_module(each.name)
        except ImportError as missing:
            if missing.name is None or missing.name.startswith("pycambium"):
                raise


def names(module: Any) -> list[str]:
    listed: list[str] = getattr(
        module, "__all__", [n for n in vars(module) if not n.startswith("_")]
    )
    return listed


def is_class(value: object) -> bool:
    return inspect.isclass(value)


def functions() -> dict[str, Callable[..., Any]]:
    """Every public function, as "pycambium.compat.cc3d.dust"."""
    found: dict[str, Callable[..., Any]] = {}
    for module in modules():
        for name in names(module):
            value = getattr(module, name)
            if not callable(value) or is_class(value):
                continue
            if not str(getattr(value, "__module__", "")).startswith("pycambium"):
                continue
            if value not in found.values():
                found[f"{module.__name__}.{name}"] = value
    return found


def classes() -> dict[str, type]:
    found: dict[str, type] = {}
    for module in modules():
        for name in names(module):
            value = getattr(module, name)
            if (
                is_class(value)
                and value.__module__.startswith("pycambium")
                and value not in found.values()
            ):
                found[f"{module.__name__}.{name}"] = value
    return found
