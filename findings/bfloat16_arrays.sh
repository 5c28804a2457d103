#!/usr/bin/env bash
# Expected: what np.save or safetensors.numpy writes without a word, np.load or safetensors.numpy reads.
# What is so: for bfloat16 (the type of JAX's half-size arrays, by ml_dtypes) that depends. np.save writes the type as
#   '<V2', two bytes of nothing in particular; np.load gives void, with ml_dtypes imported or not, and the numbers are
#   gone unless the reader knows to view them as bfloat16. One safetensors file is read by load_file where the program
#   imported ml_dtypes, raises TypeError where it did not, and raises KeyError from load, which takes the same bytes
#   from memory. float8_e5m2 is worse off in npy: np.save writes '<f1', which np.load refuses.
# Seen with: NumPy 2.4.6, ml_dtypes 0.6.0, safetensors 0.8.0.
# Source: jax-ml/ml_dtypes#41 and #216; safetensors/safetensors#598.
# Our users: examples/trainer/network/safetensors.cpp reads BF16 (examples/trainer/tests/safetensors_test.cpp);
#   include/cambium/io/npy.hpp refuses '<V2' instead of guessing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
gone() { cat "$folder/log"; echo "changed: it no longer runs"; exit 1; }
{ python3 -m venv "$folder/venv" &&
  "$folder/venv/bin/pip" install -q numpy==2.4.6 ml_dtypes==0.6.0 safetensors==0.8.0; } ||
  { echo "skipped: the packages cannot be installed"; exit 77; }

cat >"$folder/expected" <<'END'
bfloat16 npy: '<V2' is read as |V2
bfloat16 safetensors: BF16, load_file: bfloat16
bfloat16 safetensors: BF16, load: KeyError
bfloat16 safetensors: BF16, load_file without ml_dtypes: TypeError
float8_e5m2 npy: '<f1' is read as ValueError
END

"$folder/venv/bin/python" - "$folder" >"$folder/log" <<'END' || gone
import re, subprocess, sys
import ml_dtypes
import numpy as np
import safetensors.numpy

folder = sys.argv[1]


def read(load):
    try:
        return load().dtype
    except Exception as error:
        return type(error).__name__


def npy(dtype):
    path = folder + "/a.npy"
    np.save(path, np.array([1.5, 2], dtype))
    written = re.search(rb"'descr': ('[^']*')", open(path, "rb").read()).group(1).decode()
    print(f"seen: {np.dtype(dtype).name} npy: {written} is read as {read(lambda: np.load(path))}")


npy(ml_dtypes.bfloat16)
path = folder + "/a.safetensors"
safetensors.numpy.save_file({"a": np.array([1.5, 2], ml_dtypes.bfloat16)}, path)
content = open(path, "rb").read()
written = re.search(rb'"dtype":"([^"]*)"', content).group(1).decode()
print(f"seen: bfloat16 safetensors: {written}, load_file: {read(lambda: safetensors.numpy.load_file(path)['a'])}")
print(f"seen: bfloat16 safetensors: {written}, load: {read(lambda: safetensors.numpy.load(content)['a'])}")
without = f"""
import safetensors.numpy
try:
    print(safetensors.numpy.load_file({path!r})["a"].dtype)
except Exception as error:
    print(type(error).__name__)
"""
without = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True).stdout.strip()
print(f"seen: bfloat16 safetensors: {written}, load_file without ml_dtypes: {without}")
npy(ml_dtypes.float8_e5m2)
END

grep '^seen: ' "$folder/log" | sed 's/^seen: //' >"$folder/seen" || true
diff -u "$folder/expected" "$folder/seen" ||
  { echo "changed: what becomes of saved bfloat16 arrays"; exit 1; }
echo "as stated: saved bfloat16 arrays come back as bytes, as numbers or not at all, by the way they are read"
