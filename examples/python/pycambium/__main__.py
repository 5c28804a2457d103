"""`python -m pycambium label ...`: the programs, which lie beside this file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAMS = {
    "label": "a folder of photographs with weak labels in, a folder of masks out",
    "sweep": "background thresholds tried on the scores of label --keep-scores",
    "points": "the peaks of class activation maps as BESTIE's point files",
}


def usage() -> str:
    lines = "\n".join(f"  {name:8}{text}" for name, text in PROGRAMS.items())
    return f"Usage: python -m pycambium PROGRAM [OPTIONS]\n\n{lines}\n\nEach program has --help."


def main(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(usage(), file=sys.stdout if words else sys.stderr)
        return 0 if words else 2
    name, rest = words[0], words[1:]
    if name not in PROGRAMS:
        known = ", ".join(PROGRAMS)
        print(f"pycambium: '{name}' is none of its programs: {known}", file=sys.stderr)
        return 2
    program = Path(__file__).parent / "bin" / "programs"
    if not program.exists():
        print(
            f"pycambium: {name} is not in this installation; it was built without CLI11, OpenSSL, "
            "libpng, libjpeg, nlohmann json or pugixml",
            file=sys.stderr,
        )
        return 2
    arguments = ["python -m pycambium", name, *rest]  # what --help says
    if os.name == "posix":
        sys.stdout.flush()
        os.execv(
            program, arguments
        )  # the program takes this process's place: its signals, its status
    return subprocess.run(arguments, executable=program).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
