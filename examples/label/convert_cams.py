#!/usr/bin/env python3
"""Turn IRNet's pickled CAM files into the plain .npy files that `label` reads.

    python3 convert_cams.py CAM_DIR OUT_DIR

Each CAM_DIR/<id>.npy of the original is a pickled dictionary {keys, cam, high_res} that holds torch tensors; reading
one runs pickle, so convert only files you made yourself. Written are

    OUT_DIR/<id>.npy    float32 [C,h,w], the stride-4 CAMs ("cam")
    OUT_DIR/tags.txt    lines "<id> <class> ...": the classes of the channels as labels, key + 1

and with --high-res also OUT_DIR/high_res/<id>.npy, float32 [C,H,W]. Needs numpy, and torch if the tensors are
torch's. Nothing is written for a file that cannot be read; the others go on, and the status is then 1.
"""
import argparse
import os
import sys
from pathlib import Path


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

    def array(values):
        return numpy.ascontiguousarray(numpy.asarray(values), dtype=numpy.float32)

    def save(path: Path, values) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        with open(partial, "wb") as file:
            numpy.save(file, values, allow_pickle=False)
        os.replace(partial, path)

    files = sorted(args.cams.glob("*.npy"))
    if not files:
        sys.exit(f"{args.cams}: holds no .npy file")
    lines, failed = [], 0
    for file in files:
        try:
            content = numpy.load(file, allow_pickle=True).item()
            keys = [int(k) for k in content["keys"]]
            cam = array(content["cam"])
            if cam.ndim != 3 or cam.shape[0] != len(keys):
                raise ValueError(f"cam is {cam.shape} but there are {len(keys)} keys")
            save(args.out / file.name, cam)
            if args.high_res:
                save(args.out / "high_res" / file.name, array(content["high_res"]))
            lines.append(" ".join([file.stem, *(str(k + 1) for k in keys)]))
        except Exception as reason:  # whatever is wrong with one file, the rest goes on
            failed += 1
            print(f"{file}: {reason}", file=sys.stderr)
    if lines:
        (args.out / "tags.txt").write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} converted, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
