"""Calls every public function with random arguments: python fuzz.py SEED SECONDS LOG.

Every call must return or raise an exception. LOG ends with the call that was running, for the case
that the interpreter did not survive it. `python fuzz.py SEED 0 - CALL` repeats one call.
"""

from __future__ import annotations

import enum
import faulthandler
import logging
import os
import re
import resource
import signal
import sys
import time
from typing import Any

import numpy as np
import public
from odd_values import alive, write_files
from random_call import ANYTHING, DOCUMENTED, Call


def callables() -> list[tuple[str, Any]]:
    # pycambium.ray is there where Ray is: a call would start a cluster
    found = [each for each in public.functions().items() if "pycambium.ray." not in each[0]]
    for name, kind in public.classes().items():
        if "pycambium.ray." in name:
            continue
        if vars(kind).get("_is_protocol") or issubclass(kind, (BaseException, enum.Enum)):
            continue
        found.append((name, kind))
        for member, value in vars(kind).items():
            if isinstance(value, (staticmethod, classmethod)):
                value = getattr(kind, member)
            if not member.startswith("_") and callable(value):
                found.append((f"{name}.{member}", value))
    return found


def signatures_of(function: Any) -> list[public.Signature]:
    try:
        if public.is_class(function):
            return public.signatures(function.__init__)
        return public.signatures(function)
    except (TypeError, ValueError):
        return [public.Signature((), "")]


def look_at(result: Any, pool: dict[str, list[Any]]) -> None:
    """Read what a call gave: every cell, every attribute, the text."""
    if isinstance(result, np.ndarray):
        result.tobytes()
        arrays = pool.setdefault("arrays", [])
        arrays.append(result)
        del arrays[:-30]
    elif isinstance(result, (tuple, list)):
        for each in result[:5]:
            look_at(each, pool)
    elif type(result).__module__.startswith("pycambium"):
        repr(result)
        for name in dir(type(result)):
            if not name.startswith("_") and not callable(getattr(type(result), name)):
                value = getattr(result, name)
                if isinstance(value, np.ndarray):
                    look_at(value, pool)
        for key in (type(result).__name__, f"{type(result).__module__}.{type(result).__name__}"):
            held = pool.setdefault(key, [])
            held.append(result)
            del held[:-8]


class TooLong(Exception):
    pass


def main() -> None:
    seed, seconds, log = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    only = int(sys.argv[4]) if len(sys.argv) > 4 else None
    out = 2 if log == "-" else os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def late(*_: Any) -> None:
        raise TooLong

    signal.signal(signal.SIGALRM, late)
    logging.disable()
    faulthandler.enable()
    if "asan" not in os.environ.get("LD_PRELOAD", ""):
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    write_files()
    all_functions = callables()
    kinds_of_objects = public.classes()
    arguments_of: dict[str, dict[str, public.Argument]] = {}
    for name, function in all_functions:
        for signature in signatures_of(function):
            documented = {a.name: a for a in signature.arguments if a.line}
            arguments_of.setdefault(name.split(".")[-1], documented)
            for argument in documented.values():
                if argument.shape:
                    DOCUMENTED.setdefault(argument.name, argument)
    like: dict[str, dict[str, public.Argument]] = {}
    for name, function in all_functions:
        text = function.__nb_signature__[0][1] if hasattr(function, "__nb_signature__") else None
        if other := re.search(r"[Aa]rguments as (\w+)\(", text or ""):
            like[name] = arguments_of.get(other[1], {})
    pool: dict[str, list[Any]] = {}
    counts: dict[str, list[int]] = {name: [0, 0] for name, _ in all_functions}
    kinds: dict[str, set[str]] = {}
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end or (only is not None and number <= only):
        call = Call(seed, number, pool)
        name, function = all_functions[number % len(all_functions)]
        signature = call.rng.choice(signatures_of(function))
        call.like = like.get(name, {})
        itself: list[Any] = []
        if name.rsplit(".", 1)[0] in kinds_of_objects and type(function).__name__ in (
            "nb_method",
            "function",
        ):
            kind = kinds_of_objects[name.rsplit(".", 1)[0]]
            held = pool.get(f"{kind.__module__}.{kind.__name__}")
            if not held:
                number += 1
                continue
            itself = [call.anything(ANYTHING) if call.chance(0.1) else call.rng.choice(held)]
            call.fit(itself[0])
        positional, named = call.arguments(signature)
        positional = itself + positional
        os.lseek(out, 0, os.SEEK_SET) if log != "-" else None
        if only is None or number == only:
            text = (
                f"seed {seed}, call {number}: {name}(*{describe(positional)}, **{describe(named)})"
            )
            os.write(out, text.encode("utf-8", "replace")[:4000].ljust(4000) + b"\n")
        faulthandler.dump_traceback_later(60, exit=True)
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        began = time.monotonic()
        try:
            try:
                result = function(*positional, **named)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            look_at(result, pool)
            counts[name][0] += 1
        except TooLong:
            pass
        except SystemError as broken:  # an exception was lost on its way
            raise AssertionError(f"{name} raised {broken!r}") from broken
        except Exception as problem:
            if isinstance(problem, RuntimeError):
                print(f"{name}: {problem!r}")
            counts[name][1] += 1
            kinds.setdefault(name, set()).add(type(problem).__name__)
            if only is not None and number == only:
                print(f"{type(problem).__name__}: {problem}")
        took = time.monotonic() - began
        if took > 5:
            raise AssertionError(
                f"seed {seed}, call {number}: {name} went on for {took:.1f} s after a signal"
            )
        number += 1
        if len(alive) > 1000:
            del alive[:-200]
    faulthandler.cancel_dump_traceback_later()
    for name, (returned, raised) in counts.items():
        print(f"{name}\t{returned}\t{raised}\t{','.join(sorted(kinds.get(name, set())))}")
    print(f"calls\t{number}")


def describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}"
    if isinstance(value, list):
        return "[" + ", ".join(describe(v) for v in value[:8]) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {describe(v)}" for k, v in list(value.items())[:20]) + "}"
    try:
        return repr(value)[:80]
    except Exception:
        return type(value).__name__


if __name__ == "__main__":
    main()
