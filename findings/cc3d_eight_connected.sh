#!/usr/bin/env bash
# Expected: the components of a mask lie on the mask; with delta, touching pixels of one component differ by at most
#   delta, or are joined by steps of at most delta.
# What is so: with connectivity=8 a two-dimensional bool mask whose rows have an odd length gets labels on pixels that are
#   False, and with delta=2 a pixel joins neighbours that all differ from it by more than 2. With connectivity=4, and for
#   the same mask as uint8 without binary_image, the result is right.
# Seen with: connected-components-3d 4.1.1, NumPy 2.4.6, CPython 3.11. The mask 101/001/001 has label 2 at (1,0), which is
#   False. The map 54/38 has one component with delta=2, though 8 differs from 5, 4 and 3 by at least 3.
# Source: observed; in 3,000 random masks of up to 6 by 6 pixels 106 had labels off the mask.
# Our users: pycambium.compat.cc3d has the names and types of this package; its labels lie on the mask, and delta is
#   compared for every pair of neighbours (examples/python/tests/test_compat_cc3d.py, docs/python.md).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
gone() { cat "$folder/log"; echo "changed: it no longer runs"; exit 1; }
{ python3 -m venv "$folder/venv" &&
  "$folder/venv/bin/pip" install -q connected-components-3d==4.1.1 numpy==2.4.6; } ||
  { echo "skipped: the packages cannot be installed"; exit 77; }

cat >"$folder/expected" <<'END'
bool, 8-connected: labelled although False: 1 pixels
bool, 4-connected: labelled although False: 0 pixels
uint8, 8-connected: labelled although 0: 0 pixels
delta 2, 8-connected: components: 1
delta 2, 4-connected: components: 2
END

cat >"$folder/label.py" <<'END'
import cc3d
import numpy as np

mask = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 1]])
for connectivity in (8, 4):
    labels = cc3d.connected_components(mask.astype(bool), connectivity=connectivity)
    off = np.count_nonzero(labels[mask == 0])
    print(f"seen: bool, {connectivity}-connected: labelled although False: {off} pixels")
labels = cc3d.connected_components(mask.astype(np.uint8), connectivity=8)
print(f"seen: uint8, 8-connected: labelled although 0: {np.count_nonzero(labels[mask == 0])} pixels")
values = np.array([[5, 4], [3, 8]], np.uint8)
for connectivity in (8, 4):
    labels = cc3d.connected_components(values, connectivity=connectivity, delta=2)
    print(f"seen: delta 2, {connectivity}-connected: components: {labels.max()}")
END
"$folder/venv/bin/python" "$folder/label.py" >"$folder/log" 2>&1 || gone

grep '^seen: ' "$folder/log" | sed 's/^seen: //' >"$folder/seen" || true
diff -u "$folder/expected" "$folder/seen" ||
  { echo "changed: labels off the mask, or components with delta"; exit 1; }
echo "as stated: 8-connected masks are labelled off the mask, and delta joins what differs by more"
