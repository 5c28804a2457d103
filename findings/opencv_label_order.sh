#!/usr/bin/env bash
# Expected: connected components are numbered in raster order of their first pixels, as the two-pass algorithm gives
#   them. So OpenCV, scikit-image and SciPy number one map alike.
# What is so: OpenCV's default for eight neighbours goes through blocks of 2 x 2 pixels and numbers by them: a component
#   that begins in a lower row gets the smaller number when its block stands further left. With four neighbours it is
#   raster order. A "first component" or a seed per number that is taken over from another library is another object.
# Seen with: OpenCV 5.0.0 (opencv-python-headless 5.0.0.93), scikit-image 0.26.0, SciPy 1.17.1. Two pixels, (0, 5) and
#   (1, 0): OpenCV gives 2 and 1, or 1 and 2 with four neighbours; the other two give 1 and 2.
# Source: opencv/opencv#6823 brought the blocks; kornia/kornia-rs#1028 notes the order.
# Our users: include/cambium/component/relabel.hpp has both orders (reorder, label_order::blocks), and
#   include/cambium/component/connected.hpp numbers in raster order.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
gone() { cat "$folder/log"; echo "changed: it no longer runs"; exit 1; }
{ python3 -m venv "$folder/venv" &&
  "$folder/venv/bin/pip" install -q opencv-python-headless==5.0.0.93 scikit-image==0.26.0 scipy==1.17.1 \
    numpy==2.4.6; } ||
  { echo "skipped: the packages cannot be installed"; exit 77; }

cat >"$folder/expected" <<'END'
OpenCV, eight neighbours: 2 1
OpenCV, four neighbours: 1 2
scikit-image, eight neighbours: 1 2
SciPy, eight neighbours: 1 2
END

"$folder/venv/bin/python" - >"$folder/log" <<'END' || gone
import cv2
import numpy as np
import scipy.ndimage
import skimage.measure

mask = np.zeros((2, 8), np.uint8)
mask[0, 5] = mask[1, 0] = 1
for name, label in (
    ("OpenCV, eight neighbours", cv2.connectedComponents(mask, connectivity=8)[1]),
    ("OpenCV, four neighbours", cv2.connectedComponents(mask, connectivity=4)[1]),
    ("scikit-image, eight neighbours", skimage.measure.label(mask, connectivity=2)),
    ("SciPy, eight neighbours", scipy.ndimage.label(mask, np.ones((3, 3)))[0]),
):
    print(f"seen: {name}: {label[0, 5]} {label[1, 0]}")
END

grep '^seen: ' "$folder/log" | sed 's/^seen: //' >"$folder/seen" || true
diff -u "$folder/expected" "$folder/seen" ||
  { echo "changed: the order in which components are numbered"; exit 1; }
echo "as stated: with eight neighbours OpenCV numbers components by blocks of 2 x 2"
