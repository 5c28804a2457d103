"""Tar shards of samples as WebDataset has them: files of a sample share a stem and lie together.

`set-000000.tar` holds `a.jpg`, `a.cam.npy`, `a.boundary.npy`, `a.cls`, `b.jpg`, ... The id of a
sample is the whole path before a known ending, dots included: `photos/c.v1.cam.npy` is the CAM of
`photos/c.v1`. Members with other endings are left alone.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, cast

__all__ = [
    "ENDINGS",
    "OUTPUT_ENDINGS",
    "braces",
    "columns_of",
    "ids_of",
    "read_shard",
    "write_shard",
]

ENDINGS: dict[str, tuple[str, ...]] = {
    "image": (".jpg", ".jpeg", ".png"),
    "cam": (".cam.npy",),
    "boundary": (".boundary.npy",),
    "displacement": (".displacement.npy",),
    "classes": (".cls",),
    "seg": (".seg.npy",),
    "centres": (".centres.npy",),
    "offsets": (".offsets.npy",),
    "semantic": (".semantic.png",),
    "points": (".points.txt",),
    "boxes": (".boxes.xml",),
    "mu": (".mu.npy",),
    "log_variance": (".log_variance.npy",),
    "masks": (".masks.png",),
    "proposals": (".proposals.json",),
    "scribbles": (".scribbles.png",),
    "features": (".features.npy",),
}
"""How members of a sample end, by the column that they fill. The longest ending that fits counts.
Photographs may end in capitals."""

OUTPUT_ENDINGS: dict[str, str] = {
    "semantic": ".semantic.png",
    "instances": ".instances.png",
    "record": ".json",
    "overlay": ".overlay.jpg",
    "scores": ".scores.png",
    "trust": ".trust.png",
    "centre": ".targets.centre.npy",
    "offset": ".targets.offset.npy",
    "weight": ".targets.weight.npy",
    "target": ".targets.target.npy",
    "trusted": ".targets.trusted.npy",
}
"""How members of a labelled sample end, by column."""

_TRUTH = (".truth_semantic.png", ".truth_instances.png")
_NO_PHOTOGRAPHS = tuple(
    ending
    for ending in (
        *(each for column, some in ENDINGS.items() if column != "image" for each in some),
        *OUTPUT_ENDINGS.values(),
        *_TRUTH,
    )
    if ending.endswith(ENDINGS["image"])
)

_BLOCK = 512
_MOST = 10_000_000


def braces(pattern: str) -> list[str]:
    """List the names that a pattern with number ranges means.

    "set-{000008..000010}.tar" means set-000008.tar, set-000009.tar and set-000010.tar. A pattern
    without a range means itself.

    pattern  a path; each {FIRST..LAST} counts from FIRST to LAST; if one of them begins
             with a zero, all numbers have as many digits
    """
    at = end = -1
    first = dots = last = ""
    while not dots:  # braces of another use stay
        at = pattern.find("{", at + 1)
        end = pattern.find("}", at)
        if not 0 <= at < end:
            return [pattern]
        first, dots, last = pattern[at + 1 : end].partition("..")
    if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
        raise ValueError(
            f"braces: {pattern!r} holds {{{first}..{last}}}; "
            "expected two numbers, the first not larger"
        )
    padded = any(len(word) > 1 and word.startswith("0") for word in (first, last))
    width = max(len(first), len(last)) if padded else 0
    rest = braces(pattern[end + 1 :])
    if (int(last) - int(first) + 1) * len(rest) > _MOST:
        raise ValueError(f"braces: {pattern!r} means more than ten million names")
    numbers = range(int(first), int(last) + 1)
    return [f"{pattern[:at]}{i:0{width}}{tail}" for i in numbers for tail in rest]


def _split(name: str) -> tuple[str, str] | None:
    """The id and the column of a member."""
    best: tuple[str, str] | None = None
    for column, endings in ENDINGS.items():
        called = name.lower() if column == "image" else name
        for ending in endings:
            id = name[: -len(ending)]
            if not called.endswith(ending) or not id or id.endswith("/"):
                continue
            if best is None or len(id) < len(best[0]):
                best = id, column
    if best is not None and best[1] == "image" and name.lower().endswith(_NO_PHOTOGRAPHS):
        return None
    return best


def _plain(name: str) -> str:
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Damage(Exception):
    pass


@dataclass
class _Member:
    name: str
    content: bytes | None = None
    why: str = ""
    """Why there is no content."""


def _members(file: IO[bytes], path: str, contents: bool = True) -> Iterator[_Member | _Damage]:
    """The members of a tar that have a known ending, and what is damaged.

    tarfile's own loop takes a damaged header, and a cut between two members, for the end.
    """
    # The constructor reads the first header, and raises where that is damaged: it reads none here.
    archive = tarfile.TarFile(fileobj=io.BytesIO(bytes(_BLOCK)), mode="r")
    archive.fileobj = file
    archive.offset = 0
    lost: int | None = None
    ended = False  # archives may be joined with cat
    while True:
        at = archive.offset
        file.seek(at)
        try:
            info = tarfile.TarInfo.fromtarfile(archive)
            if info.size < 0 or archive.offset <= at:
                raise tarfile.HeaderError("a negative size")
        except tarfile.HeaderError as damage:
            kind = type(damage).__name__
            if kind in ("EmptyHeaderError", "TruncatedHeaderError"):
                if lost is not None:
                    yield _Damage(f"{path}: is damaged from byte {lost} on")
                elif not ended:
                    yield _Damage(f"{path}: is cut at byte {at}")
                return
            if kind == "EOFHeaderError":  # a block of zeros: the end as tar writes it
                ended = True
            elif lost is None:
                lost = at
            archive.offset = at + _BLOCK  # the next header that is one
            continue
        ended = False
        if lost is not None:
            yield _Damage(f"{path}: bytes {lost} to {at} hold no member of a tar: they are skipped")
            lost = None
        name = _plain(info.name)
        if info.isdir() or _split(name) is None:
            continue
        if not info.isreg():
            kind = "a link" if info.issym() or info.islnk() else "no plain file"
            yield _Member(name, None, f"{name} is {kind}")
            continue
        if not contents:
            yield _Member(name)
            continue
        content = cast(IO[bytes], archive.extractfile(info))
        try:
            yield _Member(name, content.read())
        except (tarfile.ReadError, EOFError):
            yield _Member(name, None, f"is cut within {name}")
            yield _Damage(f"{path}: is cut within {name}")
            return


@contextlib.contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    with open(path, "rb") as plain:
        packed = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        yield cast(IO[bytes], gzip.GzipFile(fileobj=plain)) if packed else plain


_UNREADABLE = (EOFError, zlib.error, tarfile.TarError, OSError)


def columns_of(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """List the columns whose members occur in a tar shard, in the order of ENDINGS.

    path  a tar, plain or compressed by gzip; only its headers are read
    """
    where = os.fspath(path)
    found = set()
    with _opened(where) as file:
        try:
            for member in _members(file, where, contents=False):
                if not isinstance(member, _Damage):
                    found.add(cast("tuple[str, str]", _split(member.name))[1])
        except _UNREADABLE:
            pass  # whoever reads the members will say so
    return tuple(column for column in ENDINGS if column in found)


def read_shard(
    path: str | os.PathLike[str],
    columns: Sequence[str] | None = None,
    *,
    strict: bool = False,
) -> Iterator[dict[str, Any]]:
    """Read the samples of a tar shard, members as bytes.

    A row has `id`, `shard` (the name of the file), the columns that are asked for, and `error`. A
    member that a sample lacks is None. `error` is empty, or says what is damaged: a sample whose
    member is cut or a link, that has two members for one column, that does not lie together, or that
    lacks a member beside a damage. The damage itself is a row without an id.

    path     a tar, plain or compressed by gzip; OSError where it cannot be opened
    columns  keys of ENDINGS; without it those of columns_of(path)
    strict   a member of another column is an error of its sample; without it, it is left alone
    """
    where = os.fspath(path)
    for column in columns or ():
        if column not in ENDINGS:
            raise ValueError(f"read_shard: no column {column!r}; there are {', '.join(ENDINGS)}")
    wanted = columns_of(where) if columns is None else tuple(dict.fromkeys(columns))
    return _read(where, wanted, strict)


def _read(path: str, columns: tuple[str, ...], strict: bool) -> Iterator[dict[str, Any]]:
    shard = os.path.basename(path)
    sample: dict[str, Any] | None = None
    names: dict[str, str] = {}
    seen: set[str] = set()
    beside, since = "", 0  # a damage, and how many samples ended behind it

    def row(id: str, error: str = "") -> dict[str, Any]:
        return {"id": id, "shard": shard, **dict.fromkeys(columns), "error": error}

    def whole(sample: dict[str, Any]) -> dict[str, Any]:
        if beside and not sample["error"] and any(sample[column] is None for column in columns):
            sample["error"] = f"{sample['id']} may lack members, since {beside}"
        return sample

    with _opened(path) as file:
        try:
            for member in _members(file, shard):
                if isinstance(member, _Damage):
                    beside, since = str(member), 0  # for the samples on both sides
                    yield row("", beside)
                    continue
                name = member.name
                known = _is_text(name)
                if not known:
                    name = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
                id, column = cast("tuple[str, str]", _split(name))
                if sample is None or sample["id"] != id:
                    if sample is not None:
                        yield whole(sample)
                        if since > 0:
                            beside = ""
                        since += 1
                    sample, names = row(id), {}
                    if id in seen:
                        sample["error"] = f"{shard}: members of {id} do not lie together"
                    seen.add(id)
                if not known:
                    sample["error"] = f"{shard}: the name {name} is no text in UTF-8"
                elif column in names:
                    sample["error"] = (
                        f"{shard}: {names[column]} and {name} are both the {column} of {id}"
                    )
                elif column not in columns:
                    if strict and not sample["error"]:
                        sample["error"] = (
                            f"{shard}: holds {name}, but {column} is not among the columns that "
                            "are read; name the columns"
                        )
                elif member.why:
                    sample["error"] = f"{shard}: {member.why}"
                else:
                    sample[column] = member.content
                names[column] = name
        except _UNREADABLE as damage:
            beside = f"{shard}: {damage}"
            yield row("", beside)
    if sample is not None:
        yield whole(sample)


def _replace(path: str, content: bytes) -> None:
    """Whole or not at all, whoever else writes the same file at the same time."""
    folder = os.path.dirname(path) or "."
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write_shard(
    path: str | os.PathLike[str], rows: Iterable[dict[str, Any]]
) -> tuple[int, list[tuple[str, str]]]:
    """Write labelled rows as a tar shard, whole or not at all.

    A row `a` becomes `a.semantic.png`, `a.instances.png`, `a.json` and what else OUTPUT_ENDINGS
    names and the row has. Samples stand in the order of their ids, so equal rows give equal bytes.
    Rows with an `error` are not in the tar. `labels.failed.jsonl` beside `labels.tar` lists them,
    one object a line; it is there only where some failed. Two labelled rows of one id both fail;
    beside a row that failed, the labelled one is written. Returns how many rows were written, and
    id and reason of each other row.

    path  the file; one that is there is replaced
    rows  what `pycambium.labelling.Labeller` gives, one row at a time
    """
    name = os.fspath(path)
    good: dict[str, dict[str, Any]] = {}
    twice: set[str] = set()
    failed: list[tuple[str, str]] = []
    for row in rows:
        id, error = str(row["id"]), str(row.get("error") or "")
        if error:
            failed.append((id, error))
        elif id in good or id in twice:
            failed += [(id, _several(id))] * (1 + (good.pop(id, None) is not None))
            twice.add(id)
        else:
            good[id] = row
    failed.sort()
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for id in sorted(good):
            for column, ending in OUTPUT_ENDINGS.items():
                value = good[id].get(column)
                if value is None or len(value) == 0:
                    continue
                data = value.encode() if isinstance(value, str) else bytes(value)
                info = tarfile.TarInfo(id + ending)
                info.size, info.mode = len(data), 0o644
                archive.addfile(info, io.BytesIO(data))
    _write_reasons(name, failed)
    _replace(name, content.getvalue())
    return len(good), failed


def ids_of(path: str | os.PathLike[str]) -> list[str]:
    """List the ids of a shard of labels, in their order.

    path  what write_shard wrote
    """
    with tarfile.open(path) as archive:
        return list(
            dict.fromkeys(
                name.removesuffix(ending)
                for name in archive.getnames()
                for ending in OUTPUT_ENDINGS.values()
                if name.endswith(ending)
            )
        )


def drop(path: str, ids: set[str]) -> list[tuple[str, str]]:
    """Take the labels of ids out of a shard of labels: other shards have them too.

    The ids are then listed beside the shard as failed. Returns id and reason of each.

    path  what write_shard wrote
    ids   ids of it
    """
    content = io.BytesIO()
    names = {id + ending for id in ids for ending in OUTPUT_ENDINGS.values()}
    with (
        tarfile.open(path) as old,
        tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for info in old:
            if info.name not in names:
                archive.addfile(info, old.extractfile(info))
    failed = [(id, _several(id)) for id in ids]
    reasons = path.removesuffix(".tar") + ".failed.jsonl"
    if os.path.exists(reasons):
        with open(reasons, encoding="utf-8") as file:
            failed += [(row["id"], row["error"]) for row in map(json.loads, file)]
    _write_reasons(path, sorted(failed))
    _replace(path, content.getvalue())
    return sorted((id, _several(id)) for id in ids)


def _several(id: str) -> str:
    return f"several rows have the id {id}"


def is_repeated(id: str, error: str) -> bool:
    """Tell whether a row failed since others had its id.

    id, error  of write_shard
    """
    return error == _several(id)


def _write_reasons(name: str, failed: list[tuple[str, str]]) -> None:
    lines = "".join(
        json.dumps({"id": id, "error": error}, ensure_ascii=False) + "\n" for id, error in failed
    )
    reasons = name.removesuffix(".tar") + ".failed.jsonl"
    if lines:
        _replace(reasons, lines.encode(errors="backslashreplace"))
    elif os.path.exists(reasons):
        os.unlink(reasons)
