#!/usr/bin/env bash
# Expected: an evaluation of the same file with the same versions gives the same AP on each machine. NumPy's default
#   sort is called unstable, but up to 16 values it is an insertion sort, which keeps ties in order.
# What is so: since NumPy 1.25 (AVX-512) and 2.0 (AVX2) argsort takes another algorithm on processors that have these
#   instructions, and ties change places from 4 values on. An evaluator that sorts scores by np.argsort(-scores) gives
#   one AP on such a processor, another on one without, where detections share scores.
# Seen with: NumPy 2.4.6, map-boxes 1.0.6, x86-64. Scores .9 .5 .5 .5 .5 .7, where the third and fourth detection are
#   false: mAP 0.5694 with AVX2 or AVX-512, 0.6111 without. Sorting [1, 1, 0, 0] already moves ties with them.
# Source: numpy/numpy#24064 reports the order; the number of values and the effect on AP were observed.
# Our users: include/cambium/metric/coco_ap.hpp and instance_ap.hpp sort stably, so that AP is the same on every
#   machine, and say which of equal scores comes first; docs/sources.md has the row for AP^r.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
gone() { cat "$folder/log"; echo "changed: it no longer runs"; exit 1; }
{ python3 -m venv "$folder/venv" &&
  "$folder/venv/bin/pip" install -q map-boxes==1.0.6 numpy==2.4.6 pandas==2.3.3; } ||
  { echo "skipped: the packages cannot be installed"; exit 77; }

"$folder/venv/bin/python" -c '
from numpy._core._multiarray_umath import __cpu_features__ as has
raise SystemExit(not has.get("X86_V3", False))' || { echo "skipped: this processor has no AVX2"; exit 77; }

cat >"$folder/expected" <<'END'
with: order of [1, 1, 0, 0] keeps ties: no; mAP 0.5694
without: order of [1, 1, 0, 0] keeps ties: yes; mAP 0.6111
END

cat >"$folder/evaluate.py" <<'END'
import sys
import numpy as np
from map_boxes import mean_average_precision_for_boxes

truth, found = [], []
for i, (score, hit) in enumerate(zip([0.9, 0.5, 0.5, 0.5, 0.5, 0.7], [1, 1, 0, 0, 1, 1])):
    left, top = i / 10, 0 if hit else 0.5
    truth.append(["image", "thing", left, left + 0.05, 0, 0.05])
    found.append(["image", "thing", score, left, left + 0.05, top, top + 0.05])
mean, _ = mean_average_precision_for_boxes(np.array(truth, object), np.array(found, object), verbose=False)
keeps = "yes" if np.argsort(np.array([1.0, 1, 0, 0])).tolist() == [2, 3, 0, 1] else "no"
print(f"seen: {sys.argv[1]}: order of [1, 1, 0, 0] keeps ties: {keeps}; mAP {mean:.4f}")
END
{ "$folder/venv/bin/python" "$folder/evaluate.py" with &&
  NPY_DISABLE_CPU_FEATURES="X86_V3 X86_V4 AVX512_ICL AVX512_SPR" \
    "$folder/venv/bin/python" -W ignore "$folder/evaluate.py" without; } >"$folder/log" || gone

grep '^seen: ' "$folder/log" | sed 's/^seen: //' >"$folder/seen" || true
diff -u "$folder/expected" "$folder/seen" ||
  { echo "changed: the order of ties, or the mAP that follows"; exit 1; }
echo "as stated: tied scores are sorted, and evaluated, in another way on processors with AVX2"
