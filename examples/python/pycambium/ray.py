"""Label a Ray Data set on many machines: `pip install pycambium[ray]`. Importing this imports ray.

import pycambium.ray as pr

samples = pr.read_shards("set-{000000..000999}.tar")
labels = pr.label(samples, crf=True)
print(pr.write_shards(labels, "labels"))
"""

from __future__ import annotations

import glob
import hashlib
import importlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

try:  # as Any, so that types are the same with and without Ray
    ray: Any = importlib.import_module("ray")
    data: Any = importlib.import_module("ray.data")
except ImportError as error:
    raise ImportError(
        "pycambium.ray needs Ray Data: pip install pycambium[ray]", name="ray"
    ) from error

from . import shards
from .labelling import Labeller

if TYPE_CHECKING:
    from ray.data import Dataset

__all__ = ["Summary", "label", "read_shards", "summarise", "write_shards"]


@dataclass
class Summary:
    """What became of the rows.

    labelled  rows with labels
    failed    rows without
    shards    files that were written
    errors    "id: reason" of some of the failed rows, at most 1000
    """

    labelled: int = 0
    failed: int = 0
    shards: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def _add(self, labelled: int, failed: int, errors: Iterable[str]) -> None:
        self.labelled += labelled
        self.failed += failed
        self.errors += list(errors)[: 1000 - len(self.errors)]

    def __str__(self) -> str:
        text = f"{self.labelled} labelled, {self.failed} failed"
        if self.shards:
            text += f", {len(self.shards)} shards"
        return "\n".join([text, *(f"  {error}" for error in self.errors)])


def read_shards(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    columns: Sequence[str] | None = None,
    *,
    concurrency: int | None = None,
) -> Dataset:
    """Read tar shards, one task a shard: rows of `id`, `shard`, the columns as bytes, and `error`.

    An id is the whole path before a known ending: `c.v1.jpg` belongs to `c.v1`. A member that a
    sample lacks is None. Damage is said in `error` (see `pycambium.shards.read_shard`), and the
    other samples of the shard are read. A shard that cannot be opened is one row with an `error`.

    paths        files that all machines see; "set-{000000..000999}.tar" and "set-*.tar" mean many
    columns      members to read, keys of pycambium.shards.ENDINGS; without it those that occur in
                 the first shard, and a sample that has others gets an `error`
    concurrency  shards at a time; without it one for every eight cores, at least two
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    files: list[str] = []
    for each in given:
        for path in shards.braces(os.fspath(each)):
            found = (
                sorted(glob.glob(path))
                if glob.has_magic(path) and not os.path.exists(path)
                else [path]
            )
            files += [os.path.abspath(name) for name in found]
    if not files:
        raise ValueError(f"read_shards: no file matches {', '.join(map(str, given))}")
    for name in columns or ():
        if name not in shards.ENDINGS:
            known = ", ".join(shards.ENDINGS)
            raise ValueError(f"read_shards: no column {name!r}; there are {known}")
    missing = [file for file in files if not os.path.exists(file)]
    if missing:
        raise FileNotFoundError(
            f"read_shards: {missing[0]}: there is no such file; "
            f"{len(missing)} of {len(files)} shards are missing"
        )
    names = shards.columns_of(files[0]) if columns is None else tuple(columns)
    table = data.from_items([{"path": file} for file in files], override_num_blocks=len(files))
    if concurrency is None:
        concurrency = max(2, int(ray.cluster_resources().get("CPU", 0)) // 8)
    rows: Dataset = table.map_batches(
        _read,
        batch_size=1,
        fn_kwargs={"columns": names, "strict": columns is None},
        batch_format="numpy",
        compute=data.TaskPoolStrategy(size=concurrency),
        num_cpus=0,  # the actors may hold every core, and wait for what is read
    )
    return rows


_ROWS = 64  # in one piece of a shard


def _rows(path: str, columns: tuple[str, ...], strict: bool) -> Iterator[dict[str, Any]]:
    try:
        yield from shards.read_shard(path, columns, strict=strict)
    except OSError as problem:  # it cannot be opened
        name = os.path.basename(path)
        yield {"id": "", "shard": name, "error": f"{name}: {problem.strerror}"}


def _read(batch: Mapping[str, Any], columns: tuple[str, ...], strict: bool) -> Iterator[Any]:
    """The samples of shards, some at a time, with the same types in all blocks."""
    pyarrow: Any = importlib.import_module("pyarrow")
    bytes_of = dict.fromkeys(columns, pyarrow.large_binary())
    text = pyarrow.string()
    schema = pyarrow.schema({"id": text, "shard": text, **bytes_of, "error": text})
    rows: list[dict[str, Any]] = []
    empty = True
    for path in batch["path"]:
        for row in _rows(str(path), columns, strict):
            rows.append(row)
            if len(rows) == _ROWS:
                yield pyarrow.Table.from_pylist(rows, schema)
                rows, empty = [], False
    if rows or empty:
        yield pyarrow.Table.from_pylist(rows, schema)


def label(
    dataset: Dataset,
    method: str = "irnet",
    *,
    columns: Sequence[str] | None = None,
    outputs: Sequence[str] = ("semantic", "instances"),
    keep: Sequence[str] = (),
    concurrency: int | tuple[int, int] | None = None,
    num_cpus: float = 1,
    batch_size: int = 16,
    scratch: str | None = None,
    ray_remote_args: Mapping[str, Any] | None = None,
    **options: object,
) -> Dataset:
    """Label the images of a data set on a pool of actors.

    A row of the result has `id`, the outputs as bytes of PNG files, `record`, the columns that are
    kept, and `error`: empty, or why the row has no labels. These are the bytes of `label` for a
    folder of the same files. An actor that dies is started again and its batches are repeated.

    dataset      rows of `id` (text) and files as bytes or arrays: for irnet `image`, `cam`,
                 `boundary` and, where the table has them, `displacement` and `classes`
    method       irnet, bestie, boxes, proposals, scribbles or cut
    columns      the input columns; without it those of the method that the table has
    outputs      columns of labels, as in pycambium.labelling.Labeller
    keep         columns of the data set that stay
    concurrency  actors; (least, most) for a pool that grows and shrinks; without it 1 to as many as
                 there are cores
    num_cpus     cores of an actor, which are the threads of its `label`
    batch_size   rows of one run of `label`
    scratch      a folder on each machine for the files of a batch
    ray_remote_args  further arguments of the actors, resources for example
    options      as the program's, with underscores: exp_times=8, crf=True
    """
    settings: dict[str, Any] = {
        "method": method,
        "columns": columns,
        "outputs": tuple(outputs),
        "keep": tuple(keep),
        "threads": max(1, int(num_cpus)),
        "scratch": scratch,
        **options,
    }
    there = dataset.columns(fetch_if_missing=False)
    if there is None and columns is not None:
        there = [*columns, *keep]
    probe = Labeller(**{**settings, "scratch": None})
    if there is not None:  # mistakes are said here, before hours of work
        probe.check(there)
    if concurrency is None:
        pool = data.ActorPoolStrategy(min_size=1)
    elif isinstance(concurrency, tuple):
        pool = data.ActorPoolStrategy(min_size=concurrency[0], max_size=concurrency[1])
    else:
        pool = data.ActorPoolStrategy(size=concurrency)
    labels: Dataset = dataset.map_batches(
        Labeller,
        fn_constructor_kwargs=settings,
        batch_size=batch_size,
        batch_format="numpy",
        compute=pool,
        num_cpus=num_cpus,
        **(ray_remote_args or {}),
    )
    return labels


class _Shards(data.Datasink):  # type: ignore[misc]
    """One tar of labels for each task, in a folder that is hidden until all of them are there."""

    def __init__(self, folder: str, rows: int, old: list[str]) -> None:
        self.folder = folder
        self.hidden = tempfile.mkdtemp(prefix=_HIDDEN, dir=folder)
        os.chmod(self.hidden, 0o755)
        self.rows = rows
        self.old = old
        self.summary = Summary()

    @property
    def min_rows_per_write(self) -> int:
        return self.rows

    def write(self, blocks: Iterable[Any], ctx: Any) -> _Written:
        rows_of: Any = importlib.import_module("ray.data.block").BlockAccessor.for_block
        name = f"labels-{ctx.task_idx:06}.tar"
        path = os.path.join(self.hidden, name)
        rows = (row for block in blocks for row in rows_of(block).iter_rows(True))
        done, failed = shards.write_shard(path, rows)
        ids = {*shards.ids_of(path), *(id for id, error in failed if shards.is_repeated(id, error))}
        return _Written(name, done, failed[:100], len(failed), {_hash(id) for id in ids})

    def on_write_complete(self, write_result: Any) -> None:
        written: list[_Written] = sorted(write_result.write_returns, key=lambda each: each.name)
        counts = Counter(hash for each in written for hash in each.hashes)
        repeated = {hash for hash, count in counts.items() if count > 1}
        for each in written:
            path = os.path.join(self.hidden, each.name)
            if each.hashes & repeated:
                twice = {id for id in shards.ids_of(path) if _hash(id) in repeated}
                each.errors += shards.drop(path, twice)
                each.labelled -= len(twice)
                each.failed += len(twice)
            self.summary.shards.append(each.name)
            said = [_said(id, error) for id, error in sorted(each.errors)]
            self.summary._add(each.labelled, each.failed, said)
        new = [
            name for name in os.listdir(self.hidden) if not name.startswith(".")
        ]  # without .part
        for name in new:
            os.replace(os.path.join(self.hidden, name), os.path.join(self.folder, name))
        for path in self.old:
            if os.path.basename(path) not in new:
                os.unlink(path)
        shutil.rmtree(self.hidden, ignore_errors=True)


_HIDDEN = ".unfinished-"


@dataclass
class _Written:
    """What a task says of its tar."""

    name: str
    labelled: int
    errors: list[tuple[str, str]]
    failed: int
    hashes: set[int]


def _hash(id: str) -> int:
    return int.from_bytes(hashlib.blake2b(id.encode(), digest_size=8).digest(), "little")


def _said(id: str, error: str) -> str:
    return f"{id}: {error}" if id else error


def write_shards(
    dataset: Dataset,
    folder: str | os.PathLike[str],
    *,
    rows_per_shard: int = 1000,
    overwrite: bool = False,
) -> Summary:
    """Write labelled rows as tar shards, and say what became of all rows.

    FOLDER/labels-000000.tar holds `id.semantic.png`, `id.instances.png` and `id.json` of each row
    (see `pycambium.shards.write_shard`); FOLDER/labels-000000.failed.jsonl lists the rows without
    labels. The shards come into the folder when all are written. A task that is repeated writes
    the same file again. Which samples share a shard depends on the order in which Ray hands out
    blocks; the bytes of a sample do not. Labelled rows of one id all fail, in whatever shards.

    dataset         of `label`
    folder          on a disk that all machines see
    rows_per_shard  the least number of rows of a shard but the last
    overwrite       remove the shards of an earlier run, when the new ones are written; without it
                    such a folder is refused
    """
    where = os.path.abspath(os.fspath(folder))
    old = [
        path
        for ending in (".tar", ".failed.jsonl")
        for path in glob.glob(os.path.join(glob.escape(where), "labels-*" + ending))
    ]
    if old and not overwrite:
        raise ValueError(
            f"write_shards: {where} holds {os.path.basename(min(old))} of an earlier run; "
            "name another folder, or say overwrite=True"
        )
    for path in glob.glob(os.path.join(glob.escape(where), _HIDDEN + "*")):
        shutil.rmtree(path, ignore_errors=True)  # of a job that ended early
    os.makedirs(where, exist_ok=True)
    sink = _Shards(where, rows_per_shard, old)
    dataset.write_datasink(sink, ray_remote_args={"num_cpus": 0})  # the actors may hold every core
    return sink.summary


def summarise(dataset: Dataset) -> Summary:
    """Count the rows with labels and those without.

    dataset  of `label`, after materialize(): of another one Ray would label all images again
    """
    if not isinstance(dataset, data.dataset.MaterializedDataset):
        raise ValueError("summarise: Ray would label all images again; call materialize() first")
    out = Summary()
    for row in dataset.select_columns(["id", "error"]).iter_rows():
        failed = bool(row["error"])
        out._add(not failed, failed, [_said(row["id"], row["error"])] if failed else ())
    return out
