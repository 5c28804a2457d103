#!/usr/bin/env python3
"""Turn pickled CAM files of IRNet and its relatives into the plain .npy files that `label` reads.

    python3 convert_cams.py CAM_DIR OUT_DIR

Each CAM_DIR/<id>.npy is a pickled dictionary. Two kinds are known:

    {keys, cam, high_res}    IRNet's: keys are classes from 0, cam [C,h,w] at stride 4, high_res [C,H,W]
    {class: map, ...}        SEAM's and others': a map [h,w] for each class from 0

Reading them runs pickle, so convert only files you made yourself. Written are

    OUT_DIR/<id>.npy    float32 [C,h,w]: IRNet's "cam", or the maps of the classes in ascending order
    OUT_DIR/tags.txt    lines "<id> <class> ...": the classes of the channels as labels, key + 1. If an id has blanks or
                        begins with # or a quote, all ids are in quotes

and with --high-res also OUT_DIR/high_res/<id>.npy, float32 [C,H,W]. Needs numpy, and torch if the tensors are
torch's. Nothing is written for a file that cannot be converted; the others go on, and the status is then 1. tags.txt
keeps the lines of other images that an earlier run wrote.
"""
import argparse
import os
import sys
from pathlib import Path


def kind_of(value) -> str:
    """What a file holds, in words."""
    if isinstance(value, dict):
        keys = ", ".join(repr(k) for k in list(value)[:6]) + (", ..." if len(value) > 6 else "")
        return f"a dictionary with the keys {keys}" if value else "a dictionary without keys"
    if hasattr(value, "shape"):
        return f"an array {value.dtype} {list(value.shape)}"
    return f"a {type(value).__name__}"


NEEDED = "needed is IRNet's dictionary {'keys', 'cam', 'high_res'} or a dictionary {class: map}"


def whole(key) -> int:
    """A class from 0, as a key says it."""
    if str(key) in ("True", "False"):
        raise ValueError(f"class {key} is no number")
    number = int(key)
    if number != key and str(number) != str(key).strip():
        raise ValueError(f"class {key!r} is no whole number")
    if not 0 <= number <= 253:
        raise ValueError(f"class {number} is outside 0..253")
    return number


def is_class(key) -> bool:
    try:
        whole(key)
        return True
    except (TypeError, ValueError, RuntimeError):
        return False


def tag_lines(tags) -> str:
    """Lines "<id> <class> ..."; if one id needs quotes, all get them, so that no line can be read in two ways."""
    quotes = any(i[0] in "\"#" or " " in i for i in tags)
    name = (lambda i: '"' + i.replace('"', '""') + '"') if quotes else (lambda i: i)
    return "".join(" ".join([name(i), *map(str, classes)]) + "\n" for i, classes in sorted(tags.items()))


def read_tag_lines(path: Path):
    """The lines of an earlier run: what tag_lines wrote."""
    tags = {}
    for line in path.read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n"):
        if line.startswith('"'):
            end = 1
            while line[end] != '"' or line[end:end + 2] == '""':
                end += 2 if line[end] == '"' else 1
            name, rest = line[1:end].replace('""', '"'), line[end + 1:]
        else:
            name, _, rest = line.partition(" ")
        if name:
            tags[name] = [int(word) for word in rest.split()]
    return tags


def replace(path: Path, write) -> None:
    """A file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, "wb") as file:
            write(file)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cams", type=Path, metavar="CAM_DIR")
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    parser.add_argument("--high-res", action="store_true", help="also write the full-size CAMs")
    args = parser.parse_args()
    try:
        import numpy
    except ImportError:
        sys.exit("convert_cams.py needs numpy")

    def array(what: str, values):
        if hasattr(values, "detach"):  # torch's, on whatever device
            values = values.detach().cpu()
            values = values.float().numpy()
        values = numpy.asarray(values)
        if numpy.iscomplexobj(values):
            raise ValueError(f"{what} holds complex numbers")
        out = numpy.ascontiguousarray(values, dtype=numpy.float32)
        if not numpy.isfinite(out).all():
            raise ValueError(f"{what} holds values that are not finite")
        return out

    def load(file: Path):
        with open(file, "rb") as opened:
            begin = opened.read(6)
        if begin[:2] == b"PK":
            raise ValueError(f"holds an archive (npz, or torch.save); {NEEDED}, written by numpy.save")
        if begin[:1] != b"\x80" and begin != b"\x93NUMPY":
            raise ValueError("is empty" if not begin else f"is no npy file; {NEEDED}, written by numpy.save")
        content = numpy.load(file, allow_pickle=True)
        if isinstance(content, numpy.ndarray) and content.dtype == object and content.ndim == 0:
            content = content.item()
        return content

    def convert(content):
        """keys, cam [C,h,w], high_res [C,H,W] or None"""
        if isinstance(content, dict) and "keys" in content and "cam" in content:
            keys = [whole(k) for k in content["keys"]]
            cam, high = array("cam", content["cam"]), None
            if args.high_res:
                if "high_res" not in content:
                    raise ValueError("has no 'high_res', which --high-res asks for")
                high = array("high_res", content["high_res"])
        elif isinstance(content, dict) and content and all(is_class(k) for k in content):
            if args.high_res:
                raise ValueError("holds {class: map}; --high-res is for IRNet's files, which have both sizes")
            ordered = sorted(content, key=whole)
            keys, high = [whole(k) for k in ordered], None
            maps = [array(f"the map of class {k}", content[k]) for k in ordered]
            for k, m in zip(keys, maps):
                if m.ndim != 2 or m.shape != maps[0].shape:
                    raise ValueError(f"the map of class {k} is {list(m.shape)}; [h,w] is needed, alike for all classes")
            cam = numpy.stack(maps)
        elif isinstance(content, numpy.ndarray) and content.dtype != object:
            raise ValueError(f"holds {kind_of(content)}, which is no pickle: label reads arrays [C,h,w] as they are")
        else:
            raise ValueError(f"holds {kind_of(content)}; {NEEDED}")
        for what, maps in (("cam", cam), ("high_res", high)):
            if maps is not None and (maps.ndim != 3 or maps.shape[0] != len(keys)):
                raise ValueError(f"{what} is {list(maps.shape)}, but there are {len(keys)} keys; [C,h,w] is needed")
        if len(set(keys)) != len(keys):
            raise ValueError(f"a class stands twice in its keys: {keys}")
        return keys, cam, high

    if not args.cams.is_dir():
        sys.exit(f"{args.cams}: there is no such folder")
    if args.cams.resolve() in (args.out.resolve(), *([(args.out / "high_res").resolve()] if args.high_res else [])):
        sys.exit(f"{args.out}: is the folder of the files to convert; name another for what is written")
    named = sorted(f for f in args.cams.iterdir() if f.suffix.lower() == ".npy" and not f.is_dir())
    files = [f for f in named if f.suffix == ".npy" and f.is_file()]

    def left_out(what: str, names) -> None:
        if names:
            many = f"{len(names)} files {what} are" if len(names) > 1 else f"1 file {what} is"
            print(f"note: {args.cams}: {many} left out: {names[0]}" + (", ..." if len(names) > 1 else ""), file=sys.stderr)

    left_out("with an ending in capitals", [f.name for f in named if f.suffix != ".npy"])
    left_out("that cannot be opened", [f.name for f in named if f.suffix == ".npy" and not f.is_file()])
    if not files:
        sys.exit(f"{args.cams}: holds no .npy file")
    tags_file = args.out / "tags.txt"
    try:
        tags = read_tag_lines(tags_file) if tags_file.exists() else {}
    except (OSError, ValueError, IndexError) as reason:
        sys.exit(f"{tags_file}: is there, but no run of convert_cams.py wrote it ({reason}); name another folder")
    done, failed = 0, 0
    for file in files:
        try:
            if any(ord(c) < 32 for c in file.stem):
                raise ValueError("its name holds control characters")
            keys, cam, high = convert(load(file))
            if high is not None:
                replace(args.out / "high_res" / file.name, lambda to: numpy.save(to, high, allow_pickle=False))
            replace(args.out / file.name, lambda to: numpy.save(to, cam, allow_pickle=False))
            tags[file.stem] = [k + 1 for k in keys]
            done += 1
        except Exception as reason:  # whatever is wrong with one file, the rest goes on
            failed += 1
            print(f"{file}: {reason}", file=sys.stderr)
    if done:
        text = tag_lines(tags).encode("utf-8", "surrogateescape")
        replace(tags_file, lambda to: to.write(text))
    print(f"{done} converted, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
