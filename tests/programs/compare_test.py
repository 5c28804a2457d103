#!/usr/bin/env python3
"""bench/compare among stand-ins for cmake and the bench, whose times are written down: nothing is measured here."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "bench/compare"

CMAKE = """#!{python}
import json, os, sys
from pathlib import Path
words = sys.argv[1:]
if words[0] == "--build":
    home = Path(words[1])
    source = Path((home / "from").read_text())
    if (source / "bench/broken").exists():
        print("bench.cpp:3: error: no such thing")
        sys.exit(1)
    (home / "bench").mkdir(exist_ok=True)
    bench = home / "bench/cambium_bench"
    bench.write_text(Path(os.environ["STAND_INS"], "bench").read_text().replace("SOURCE", str(source)))
    bench.chmod(0o755)
else:
    home = Path(words[words.index("-B") + 1])
    home.mkdir(parents=True, exist_ok=True)
    (home / "from").write_text(words[words.index("-S") + 1])
    with open(os.environ["STAND_INS"] + "/settings", "a") as to:
        print(*words, file=to)
"""

# figures.json of a state has the times of each row's runs; the n-th run takes the n-th of them.
BENCH = """#!{python}
import json, os, re, sys
from pathlib import Path
figures = json.loads(Path("SOURCE/bench/figures.json").read_text())
given = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
names = [name for name in figures if re.search(given["benchmark_filter"], name)]
if "benchmark_list_tests" in given:
    print(*names, sep="\\n")
    sys.exit()
assert len(names) == 1, names
if figures[names[0]] == "fails":
    print("Segmentation of the walk failed", file=sys.stderr)
    sys.exit(3)
done = Path(os.environ["STAND_INS"], "done")
before = done.read_text().splitlines() if done.exists() else []
here = "SOURCE " + names[0]
row = dict(figures[names[0]][sum(line == here for line in before)], name=names[0])
with open(done, "a") as to:
    print(here, file=to)
with open(os.environ["STAND_INS"] + "/seconds", "a") as to:
    print(given.get("benchmark_min_time"), file=to)
Path(given["benchmark_out"]).write_text(json.dumps({"benchmarks": [row]}))
"""


def times(*ms):
    return [{"median_ms": v, "real_time": 7e9, "time_unit": "ns"} for v in ms]


class Compare(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.home, self.tools = self.root / "home of it", self.root / "tools"
        for place in (self.home / "bench", self.tools):
            place.mkdir(parents=True)
        shutil.copy(PROGRAM, self.home / "bench/compare")
        for name, text in (("cmake", CMAKE), ("bench", BENCH)):
            (self.tools / name).write_text(text.replace("{python}", sys.executable))
            (self.tools / name).chmod(0o755)
        (self.home / "CMakeLists.txt").touch()
        (self.home / "bench/CMakeLists.txt").touch()
        self.git("init", "-q")

    def git(self, *words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", *identity, *words], cwd=self.home, check=True, capture_output=True, text=True)

    def commit(self, tag, figures):
        (self.home / "bench/figures.json").write_text(json.dumps(figures))
        self.git("add", "-A", ":!build")
        self.git("commit", "-q", "--allow-empty", "-m", tag)
        self.git("tag", tag)

    def run_it(self, *words):
        path = f"{self.tools}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "STAND_INS": str(self.tools)}
        command = [sys.executable, self.home / "bench/compare", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=self.root, env=environment)

    def table(self, *words):
        done = self.run_it(*words)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [line for line in done.stdout.splitlines() if not line.startswith(("OLD is", "row "))]
        return {line.split()[0]: line.split()[1:] for line in lines}

    def ran(self):
        lines = (self.tools / "done").read_text().splitlines()
        return [Path(line.rsplit(" ", 1)[0]).parent.name + " " + line.rsplit(" ", 1)[1] for line in lines]

    def test_medians_and_the_rounds_own_ratios(self):
        # ratios of rounds: 2, 4, 1: their median is 2, while the medians' ratio is 30 / 10 = 3
        self.commit("before", {"a/b": times(20, 40, 30)})
        self.commit("after", {"a/b": times(10, 10, 30)})
        self.assertEqual(self.table("before", "after", "--rounds", "3")["a/b"][:4], ["30", "10", "2.00", "1.00-4.00"])

    def test_they_run_in_turn_row_by_row(self):
        self.commit("before", {"x": times(1, 1), "y": times(1, 1)})
        one = self.git("rev-parse", "HEAD").stdout[:12]
        self.commit("after", {"x": times(1, 1), "y": times(1, 1)})
        two = self.git("rev-parse", "HEAD").stdout[:12]
        self.table("before", "after", "--rounds", "2")
        self.assertEqual(self.ran(), [f"{who} {row}" for row in "xy" for _ in range(2) for who in (one, two)])

    def test_a_row_without_a_median_has_its_mean_in_its_unit(self):
        self.commit("before", {"u": [{"real_time": 5000, "time_unit": "us"}]})
        self.commit("after", {"u": [{"real_time": 2e6, "time_unit": "ns"}]})
        self.assertEqual(self.table("before", "after", "--rounds", "1")["u"][:3], ["5", "2", "2.50"])

    def test_rows_that_one_alone_has_are_told(self):
        self.commit("before", {"gone": times(1), "x": times(1)})
        self.commit("after", {"x": times(1), "new": times(1)})
        rows = self.table("before", "after", "--rounds", "1")
        self.assertEqual(" ".join(rows["gone"]), "only OLD has it; NEW does not")
        self.assertEqual(" ".join(rows["new"]), "only NEW has it; OLD does not")
        self.assertEqual(rows["x"][2], "1.00")

    def test_a_filter_and_names_with_signs(self):
        self.commit("before", {"w/4x4+1": times(6), "w/4x441": times(9), "z": times(1)})
        self.commit("after", {"w/4x4+1": times(3), "w/4x441": times(3), "z": times(1)})
        rows = self.table("before", "after", "--rounds", "1", "--filter", "^w")
        self.assertEqual({name: row[2] for name, row in rows.items()}, {"w/4x4+1": "2.00", "w/4x441": "3.00"})

    def test_a_folder_with_changes_that_are_not_committed(self):
        self.commit("before", {"x": times(8)})
        (self.home / "bench/figures.json").write_text(json.dumps({"x": times(2)}))
        self.assertEqual(self.table("before", str(self.home), "--rounds", "1")["x"][2], "4.00")

    def test_options_reach_the_builds_and_the_benches(self):
        self.commit("before", {"x": times(1)})
        (self.home / "bench/figures.json").write_text(json.dumps({"x": times(2)}))
        self.table("before", str(self.home), "--rounds", "1", "--opencv", "--seconds", "0.125")
        for line in (self.tools / "settings").read_text().splitlines():
            for word in ("-DCMAKE_BUILD_TYPE=Release", "-DCAMBIUM_BENCH_OPENCV=ON", "-DCAMBIUM_BENCH_TORCH=OFF"):
                self.assertIn(word, line.split())
        self.assertEqual((self.tools / "seconds").read_text().split(), ["0.125", "0.125"])

    def test_errors(self):
        self.commit("before", {"x": times(1), "bad": "fails"})
        self.commit("after", {"x": times(1), "bad": "fails"})
        (self.home / "bench/broken").touch()
        self.commit("broken", {"x": times(1)})
        (self.home / "bench/CMakeLists.txt").unlink()
        self.commit("without", {"x": times(1)})
        empty = self.root / "empty"
        empty.mkdir()
        for words, told in (
            (["nothing", "after"], "nothing is neither a folder with the sources nor a revision of "),
            (["before", str(empty)], f"{empty} is neither a folder with the sources nor a revision of "),
            (["before", "after", "--output=x"], "unrecognized arguments: --output=x"),
            (["before", "after", "--filter", "^nothing"], "no row of either passes the filter ^nothing"),
            (["before", "after", "--filter", "bad"], "ended with status 3; its last words: Segmentation of the walk failed"),
            (["before", "broken"], "could not be built: bench.cpp:3: error: no such thing\nthe whole log is "),
            (["before", "without"], "has no bench/CMakeLists.txt"),
            (["before", str(self.home)], "has no bench/CMakeLists.txt"),
            (["before", "after", "--rounds", "0"], "argument --rounds: invalid number of at least 1 value: '0'"),
            (["before", "after", "--seconds", "-1"], "argument --seconds: "),
            (["before"], "the following arguments are required: NEW"),
        ):
            with self.subTest(words):
                done = self.run_it(*words)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(told, done.stderr)
                self.assertNotIn("Traceback", done.stderr)

    def test_help(self):
        done = self.run_it("--help")
        self.assertEqual(done.returncode, 0)
        for word in ("OLD", "NEW", "--filter", "--rounds", "--seconds", "--opencv", "--torch"):
            self.assertIn(word, done.stdout)


if __name__ == "__main__":
    unittest.main()
