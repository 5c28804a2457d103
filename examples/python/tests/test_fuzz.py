"""Random arguments for every public function: none may crash the interpreter.

CAMBIUM_FUZZ_SECONDS (60) is how long, CAMBIUM_FUZZ_SEED (from the clock) where it begins.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import public


def test_no_arguments_crash_the_interpreter(tmp_path):
    seconds = float(os.environ.get("CAMBIUM_FUZZ_SECONDS", "60"))
    seed = int(os.environ.get("CAMBIUM_FUZZ_SEED", time.time()))
    log = tmp_path / "call"
    ended = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "fuzz.py"), str(seed), str(seconds), str(log)],
        capture_output=True,
        text=True,
        errors="replace",
        cwd=tmp_path,
        timeout=seconds * 2 + 120,
    )
    running = log.read_text(errors="replace").strip() if log.exists() else "no call"
    assert ended.returncode == 0, f"status {ended.returncode} in {running}\n{ended.stderr[-6000:]}"
    counted = dict(line.split("\t", 1) for line in ended.stdout.splitlines() if "\t" in line)
    assert int(counted.pop("calls")) > 20 * seconds
    print(ended.stdout)
    # Functions that refused everything were not tried.
    tried = [name for name in counted if name in public.functions() and ".compat." not in name]
    refused = [name for name in tried if counted[name].startswith("0\t")]
    assert seconds < 30 or len(refused) < len(tried) / 5, f"no call of these returned: {refused}"
