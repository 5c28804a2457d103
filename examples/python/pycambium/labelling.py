"""Label rows of a table with the program `label`: what the workers of `pycambium.ray` do.

Any other engine that hands out batches of rows (Dask, multiprocessing, a data loader) can do the
same: make a `Labeller` once in each worker and call it with batches.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _cambium

__all__ = ["Labeller"]

_INPUTS: dict[str, tuple[str, str]] = {
    "image": ("--images", "png"),
    "cam": ("--cams", "npy"),
    "boundary": ("--boundaries", "npy"),
    "displacement": ("--displacements", "npy"),
    "classes": ("--tags", "txt"),
    "seg": ("--seg", "npy"),
    "centres": ("--centres", "npy"),
    "offsets": ("--offsets", "npy"),
    "semantic": ("--semantic", "png"),
    "points": ("--points", "txt"),
    "boxes": ("--boxes", "xml"),
    "mu": ("--mu", "npy"),
    "log_variance": ("--log-variance", "npy"),
    "masks": ("--masks", "png"),
    "proposals": ("--proposals", "json"),
    "scribbles": ("--scribbles", "png"),
    "features": ("--features", "npy"),
}
"""A column, the flag of `label` that takes it, and what its files are."""

_METHODS: dict[str, tuple[str, ...]] = {
    "irnet": ("image", "cam", "boundary", "displacement", "classes"),
    "bestie": ("image", "seg", "centres", "offsets", "semantic", "points", "classes"),
    "boxes": ("image", "boxes", "mu", "log_variance", "masks"),
    "proposals": ("image", "proposals", "semantic", "cam", "points", "boxes", "classes"),
    "scribbles": ("image", "scribbles", "points", "boundary"),
    "cut": ("image", "features"),
}
"""The columns that a method reads where a table has them."""

_OUTPUTS: dict[str, str] = {
    "semantic": "semantic/{id}.png",
    "instances": "instances/{id}.png",
    "overlay": "overlay/{id}.jpg",
    "scores": "scores/{id}.png",
    "trust": "trust/{id}.png",
    "centre": "targets/{id}.centre.npy",
    "offset": "targets/{id}.offset.npy",
    "weight": "targets/{id}.weight.npy",
    "target": "targets/{id}.target.npy",
    "trusted": "targets/{id}.trusted.npy",
}

_OURS = ("ids", "out", "shard", "resume", "dry_run", "threads", "method", "tags_are_classes")
_OF_A_SET = ("truth_semantic", "truth_instances")
_SHARED = ("boxes", "proposals")  # one file of all images, as an option
_FILES = (*_SHARED, "names")
_PREFIX = "pycambium-label-"


def _words(options: Mapping[str, object]) -> list[str]:
    """The flags of `label` that options mean."""
    out: list[str] = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if name in _OF_A_SET:
            raise ValueError(f"Labeller: {name} scores a whole set; compare the labels afterwards")
        if name in _OURS or (
            name not in _SHARED and flag in (each for each, _ in _INPUTS.values())
        ):
            raise ValueError(
                f"Labeller: {name} is no option here: the columns set it, or this class"
            )
        if value is True:
            out.append(flag)
        elif isinstance(value, os.PathLike) or (name in _FILES and isinstance(value, str)):
            out += [flag, os.path.abspath(os.fspath(value))]  # workers have folders of their own
        elif isinstance(value, (str, int, float, np.number)):
            if value is not False:
                out += [flag, str(value)]
        elif value is not None:
            raise ValueError(f"Labeller: {name} is {value!r}; expected text, a number or a path")
    return out


def _problem_of(id: str) -> str:
    """What `label` would refuse in an id, since it becomes part of the names of files."""
    parts = id.split("/")
    if any(ord(letter) < 32 for letter in id):
        return f"the id {id!r} holds control characters"
    if not id or "\\" in id or any(part in ("", ".", "..") for part in parts):
        return f"{id!r} cannot be an id: it is no name of a file below a folder"
    try:
        id.encode()
    except UnicodeEncodeError:
        return f"the id {id!r} is no text in UTF-8"
    return ""


def _file(id: str) -> str:
    """An id as a part of a path: `label` takes its names as UTF-8, whatever the locale."""
    return os.fsdecode(id.encode())


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _classes(value: object, zero_based: bool) -> list[int]:
    """The classes of an image: numbers, or the text of a .cls file."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        value = bytes(value).decode("utf-8-sig")
    words: Iterable[Any] = value.split() if isinstance(value, str) else np.ravel(np.asarray(value))
    out = []
    low, high = (0, 253) if zero_based else (1, 254)
    for word in words:
        number = int(word)
        if not isinstance(word, str) and number != word:
            raise ValueError(f"class {word} is no whole number")
        if not low <= number <= high:
            hint = "" if number else "; do the classes count from 0? Then say zero_based=True"
            raise ValueError(f"class {number} is outside {low}..{high}{hint}")
        if number in out:
            raise ValueError(f"class {number} is named twice")
        out.append(number)
    return out


def _write(path: Path, column: str, value: Any) -> None:
    """A cell as the file that `label` reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        path.write_bytes(value)
        return
    array = np.asarray(value)
    kind = _INPUTS[column][1]
    if kind == "npy":
        with open(path, "wb") as file:
            np.lib.format.write_array(file, array, allow_pickle=False)
    elif column == "image":
        _cambium.write_photograph(path, np.ascontiguousarray(array))
    elif kind == "png":
        _cambium.write_label_map(path, np.ascontiguousarray(array, np.int32))
    else:
        raise TypeError(f"{type(value).__name__}, where text is needed")


class _Scratch:
    """A folder that goes with its owner: whoever comes next removes it if the owner was killed."""

    def __init__(self, where: str | None) -> None:
        parent = Path(where or tempfile.gettempdir())
        for old in parent.glob(_PREFIX + "*"):
            try:
                handle = self._locked(old)
            except OSError:  # somebody's, or gone, or the disk has no locks
                continue
            shutil.rmtree(old, ignore_errors=True)
            os.close(handle)
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            self._handle: int | None = None
            try:
                self._handle = self._locked(self.path)
            except (BlockingIOError, FileNotFoundError):  # another process sweeps it away
                continue
            except OSError:  # the disk has no locks: nobody sweeps there
                pass
            if self.path.is_dir():
                self._owner = os.getpid()
                return
            self._release()

    @staticmethod
    def _locked(folder: Path) -> int:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise
        return handle

    def _release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def is_usable(self) -> bool:
        """Not after a fork, nor where somebody cleaned the disk."""
        return self._owner == os.getpid() and self.path.is_dir()

    def close(self) -> None:
        if self._owner == os.getpid():  # a forked child leaves it to its parent
            shutil.rmtree(self.path, ignore_errors=True)
        self._release()


class Labeller:
    """Labels batches of rows by the program `label` of this package.

    The program runs once a batch, on files in a scratch folder. So every method and option of
    docs/label.md is there, labels and records have the bytes that `label` gives for a folder, and
    what fails or crashes is one row. It costs some milliseconds a batch.

    method   irnet, bestie, boxes, proposals, scribbles or cut
    columns  the input columns; without it those of the method that the batch has. An image needs a
             value in each, unless the method's files are optional (docs/label.md)
    outputs  columns of labels: semantic and instances; overlay, scores, trust, and the training
             targets centre, offset, weight, target and trusted where the options make them
    keep     columns of the batch that stay
    threads  of one call
    scratch  a folder for some images' files at a time; without it that of temporary files
    options  as the program's, with underscores: exp_times=8, crf=True, zero_based=True
    """

    def __init__(
        self,
        method: str = "irnet",
        *,
        columns: Sequence[str] | None = None,
        outputs: Sequence[str] = ("semantic", "instances"),
        keep: Sequence[str] = (),
        threads: int = 1,
        scratch: str | None = None,
        **options: object,
    ) -> None:
        if method not in _METHODS:
            raise ValueError(f"Labeller: no method {method!r}; there are {', '.join(_METHODS)}")
        for column in columns or ():
            if column not in _METHODS[method]:
                raise ValueError(
                    f"Labeller: {method} reads no column {column!r}; "
                    f"it reads {', '.join(_METHODS[method])}"
                )
        for output in outputs:
            if output not in _OUTPUTS:
                raise ValueError(f"Labeller: no output {output!r}; there are {', '.join(_OUTPUTS)}")
        for name in keep:
            if name in ("id", "record", "error", *outputs):
                raise ValueError(f"Labeller: keep={name!r} is a column of the result")
        self.method = method
        self.columns = None if columns is None else tuple(dict.fromkeys(columns))
        self.outputs = tuple(dict.fromkeys(outputs))
        self.keep = tuple(keep)
        self._words = _words(options)
        self._shared = tuple(name for name in _SHARED if options.get(name))
        self._zero_based = bool(options.get("zero_based"))
        self._threads = threads
        self._where = scratch
        self._scratch: _Scratch | None = None
        self._checked: set[tuple[str, ...]] = set()
        self._program = Path(__file__).parent / "bin" / "programs"
        if not self._program.exists():
            raise RuntimeError(
                "Labeller: this pycambium was built without the program label, since CLI11, "
                "OpenSSL, libpng, libjpeg, nlohmann json or pugixml was not found"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_scratch": None}

    def close(self) -> None:
        """Remove the scratch folder. The next call makes another."""
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = None

    def __del__(self) -> None:
        if getattr(self, "_scratch", None) is not None:
            self.close()

    def used(self, columns: Iterable[str]) -> tuple[str, ...]:
        """List the columns that are read of a table with these ones.

        columns  of the table
        """
        there = set(columns)
        if self.columns is None:
            return tuple(c for c in _METHODS[self.method] if c in there and c not in self._shared)
        if missing := [c for c in self.columns if c not in there]:
            raise ValueError(
                f"Labeller: the table has no column {missing[0]!r}; it has {sorted(there)}"
            )
        return self.columns

    def check(self, columns: Iterable[str]) -> None:
        """Raise ValueError where the method does not go with these columns, or an option is wrong.

        columns  of the table
        """
        there = set(columns)
        for name in self.keep:
            if name not in there:
                raise ValueError(
                    f"Labeller: the table has no column {name!r} to keep; it has {sorted(there)}"
                )
        used = self.used(there)
        if used in self._checked:
            return
        with self._folder() as folder:
            # of one image without files: what is wrong then is the command line
            self._lists(Path(folder), {"a": [1] if "classes" in used else None})
            ended = self._run(Path(folder), used, "--dry-run")
        if ended.returncode not in (0, 1):
            text = _text(ended.stderr).replace(f"{folder}/", "").strip()
            raise ValueError(
                f"Labeller: {text.removesuffix('Run with --help for more information.').strip()}"
            )
        self._checked.add(used)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Label a batch.

        The result has `id`, the outputs as bytes of PNG files, `record` (the text of
        records/<id>.json: classes, hashes, detections with run lengths), the columns that are
        kept, and `error`: empty, or why this row has no labels. A row that comes with one keeps it.

        batch  columns of equal length: `id`, and files as bytes or arrays
        """
        if "id" not in batch:
            raise ValueError(f"Labeller: the table has no column 'id'; it has {sorted(batch)}")
        self.check(batch)
        used = self.used(batch)
        ids = [_name(value) for value in batch["id"]]
        count = len(ids)
        errors = (
            ["" if _is_missing(e) else str(e) for e in batch["error"]]
            if "error" in batch
            else [""] * count
        )
        answers: list[tuple[dict[str, bytes], str]] = [({}, "")] * count

        rounds: list[dict[str, int]] = []  # ids of one round are distinct
        for row, id in enumerate(ids):
            errors[row] = errors[row] or _problem_of(id)
            if errors[row]:
                continue
            for each in rounds:
                if id not in each:
                    each[id] = row
                    break
            else:
                rounds.append({id: row})
        for each in rounds:
            self._label(batch, used, each, answers, errors)

        out = {
            name: _objects(batch[name]) if _is_list(batch[name]) else batch[name]
            for name in self.keep
        }
        out["id"] = _objects(id.encode(errors="backslashreplace").decode() for id in ids)
        for name in self.outputs:
            out[name] = _objects(files.get(name, b"") for files, _ in answers)
        out["record"] = _objects(record for _, record in answers)
        out["error"] = _objects(errors)
        return out

    def _folder(self) -> tempfile.TemporaryDirectory[str]:
        if self._scratch is not None and not self._scratch.is_usable():
            self.close()
        if self._scratch is None:
            self._scratch = _Scratch(self._where)
        return tempfile.TemporaryDirectory(dir=self._scratch.path)

    def _label(
        self,
        batch: Mapping[str, Any],
        used: tuple[str, ...],
        rows: dict[str, int],
        answers: list[tuple[dict[str, bytes], str]],
        errors: list[str],
    ) -> None:
        """One run of the program; where it fails as a whole, one for each row."""
        with self._folder() as name:
            folder = Path(name)
            lines: dict[str, list[int] | None] = {}
            for id, row in rows.items():
                try:
                    lines[id] = self._put(folder, batch, used, id, row)
                except OSError as problem:
                    if problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
                        raise  # the machine is at fault, not the row
                    errors[row] = f"{id}: {problem.strerror}"
                except (TypeError, ValueError, RuntimeError) as problem:
                    errors[row] = _plain(str(problem), folder, used, id)
            if not lines:
                return
            self._lists(folder, lines)
            ended = self._run(folder, used)
            if ended.returncode in (0, 1):
                reasons = _reasons(_text(ended.stderr), list(lines))
                for id in lines:
                    record = folder / "out" / "records" / f"{_file(id)}.json"
                    if record.exists():
                        text = record.read_text(encoding="utf-8")
                        answers[rows[id]] = (self._get(folder / "out", id), text)
                    else:
                        why = reasons.get(id) or f"label did not say why {id} failed"
                        errors[rows[id]] = _plain(why, folder, used, id)
                        if os.strerror(errno.ENOSPC) in errors[rows[id]]:
                            raise OSError(errno.ENOSPC, errors[rows[id]])
                return
            text = _text(ended.stderr).replace(f"{folder}/", "").strip()
        if len(lines) == 1:
            how = (
                f"signal {-ended.returncode}"
                if ended.returncode < 0
                else f"status {ended.returncode}"
            )
            errors[rows[next(iter(lines))]] = f"label ended by {how}: {text[-500:]}".rstrip(": ")
            return
        for id in lines:  # a row that the program cannot bear must not take the others with it
            self._label(batch, used, {id: rows[id]}, answers, errors)

    def _put(
        self, folder: Path, batch: Mapping[str, Any], used: tuple[str, ...], id: str, row: int
    ) -> list[int] | None:
        """Write the files of a row; the classes of the image, where they are a column."""
        classes: list[int] | None = None
        for column in used:
            value = batch[column][row]
            if column == "classes":
                if _is_missing(value):
                    raise ValueError(
                        f"{id} has no classes; where no image has them, leave the column out: "
                        "channel c of a CAM is then class c+1"
                    )
                try:
                    classes = _classes(value, self._zero_based)
                except ValueError as problem:
                    raise ValueError(f"classes of {id}: {problem}") from None
            elif not _is_missing(value):
                try:
                    _write(
                        folder / "in" / column / f"{_file(id)}.{_INPUTS[column][1]}", column, value
                    )
                except (TypeError, ValueError) as problem:
                    raise ValueError(f"{column} of {id}: {problem}") from None
        return classes

    def _lists(self, folder: Path, lines: Mapping[str, list[int] | None]) -> None:
        quoted = {id: '"' + id.replace('"', '""') + '"' for id in lines}
        (folder / "ids").write_text("".join(f"{quoted[id]}\n" for id in lines), encoding="utf-8")
        tags = (" ".join([quoted[id], *map(str, classes or ())]) for id, classes in lines.items())
        (folder / "tags").write_text("".join(f"{line}\n" for line in tags), encoding="utf-8")

    def _run(
        self, folder: Path, used: tuple[str, ...], *more: str
    ) -> subprocess.CompletedProcess[bytes]:
        words = ["pycambium", "label", "--method", self.method, "--threads", str(self._threads)]
        for column in used:
            flag, kind = _INPUTS[column]
            if column == "classes":
                # numbers of a column are classes, also where those of a batch look like flags
                words += [flag, f"{folder}/tags", "--tags-are-classes"]
            else:
                words += [flag, f"{folder}/in/{column}/{{id}}.{kind}"]
        words += ["--ids", f"{folder}/ids", "--out", f"{folder}/out", *self._words, *more]
        return subprocess.run(
            words,
            executable=self._program,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def _get(self, out: Path, id: str) -> dict[str, bytes]:
        files = {name: out / _OUTPUTS[name].replace("{id}", _file(id)) for name in self.outputs}
        return {name: path.read_bytes() for name, path in files.items() if path.exists()}


def _text(stderr: bytes) -> str:
    return stderr.decode(errors="replace")


def _name(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _plain(text: str, folder: Path, used: Iterable[str], id: str) -> str:
    """A message without the names of files that are gone."""
    for column in used:
        path = folder / "in" / column / f"{id}.{_INPUTS[column][1]}"
        text = text.replace(str(path), f"{column} of {id}")
        if text == f"{column} of {id}: {os.strerror(errno.ENOENT)}":
            return f"{id} has no {column}"
    return text.replace(f"{folder}/", "")


def _is_list(values: object) -> bool:
    return not isinstance(values, np.ndarray)


def _objects(values: Iterable[object]) -> NDArray[Any]:
    """An array of objects: NumPy's own bytes would lose zeros at their end."""
    listed = list(values)
    out = np.empty(len(listed), object)
    for i, value in enumerate(listed):
        out[i] = value
    return out


def _reasons(text: str, ids: Sequence[str]) -> dict[str, str]:
    """Why images failed, from the list at the end of what `label` says."""
    out: dict[str, str] = {}
    last = ""
    at = text.rfind(" images failed:\n")
    by_length = sorted(ids, key=len, reverse=True)
    for line in text[at:].split("\n")[1:] if at >= 0 else ():
        id = next((id for id in by_length if line.startswith(f"  {id}: ") and id not in out), None)
        if id is not None:
            last, out[id] = id, line[len(id) + 4 :]
        elif last and line:
            out[last] += "\n" + line
    return out
