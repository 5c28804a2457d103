#!/usr/bin/env bash
# Expected: a lossless PNG optimiser keeps label maps. A program that reads the file afterwards reads the same numbers.
# What is so: what it keeps are the colours. Numbers of a palette are sorted anew, and a grey map may get a palette: class
#   15 becomes 1, and class 1 becomes 2. Both are valid classes, so no reader complains. A grey mask of 0 and 255 gets
#   1 bit: Pillow then gives True, which is neither 255 nor above 127, and the object is gone; OpenCV still gives 255.
# Seen with: pyoxipng 9.1.1 (no option set), Pillow 13.0.0, OpenCV 5.0.0.93. Background, class 15, class 1: 0 15 1 before,
#   0 1 2 after, for the palette of VOC and for grey. With all four reductions switched off the numbers stay.
# Source: observed; the package's page names the reductions, not what they do to numbers.
# Our users: parse_label_png in include/cambium/io/label_map.hpp refuses VOC's colours under other indices where a map has
#   void or a class from 8 on, and greys below 64 under other indices. tests/io/label_map_test.cpp shows it; docs/formats.md
#   (Label maps and truth) has the rows.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
gone() { cat "$folder/log"; echo "changed: it no longer runs"; exit 1; }
{ python3 -m venv "$folder/venv" &&
  "$folder/venv/bin/pip" install -q pyoxipng==9.1.1 pillow==13.0.0 numpy==2.4.6 opencv-python-headless==5.0.0.93; } ||
  { echo "skipped: the packages cannot be installed"; exit 77; }

cat >"$folder/expected" <<'END'
VOC's palette: P, numbers 0 15 1; optimised: P, numbers 0 1 2; reductions off: P, numbers 0 15 1
grey: L, numbers 0 15 1; optimised: P, numbers 0 1 2; reductions off: L, numbers 0 15 1
grey mask: L, numbers 0 255 255; optimised: 1, numbers 0 1 1; reductions off: L, numbers 0 255 255
pixels of the mask above 127: Pillow 1900, optimised 0; OpenCV 1900, optimised 1900
END

"$folder/venv/bin/python" - >"$folder/log" 2>&1 <<'END' || gone
import io
import cv2
import numpy as np
import oxipng
from PIL import Image

classes = np.zeros((120, 160), np.uint8)
classes[20:50, 10:40], classes[60:110, 60:80] = 15, 1
bits = [[(i >> 3 * j + c & 1) << 7 - j for j in range(8)] for i in range(256) for c in range(3)]
voc = [sum(b) for b in bits]
off = dict.fromkeys(
    ["bit_depth_reduction", "color_type_reduction", "palette_reduction", "grayscale_reduction"], False
)


def png(labels, palette=None):
    image, file = Image.fromarray(labels), io.BytesIO()
    if palette:
        image.putpalette(palette)
    image.save(file, "PNG")
    return file.getvalue()


def numbers(file):
    image = Image.open(io.BytesIO(file))
    at = np.array(image).astype(int)
    return f"{image.mode}, numbers {at[0, 0]} {at[30, 20]} {at[80, 70]}"


mask = png(np.where(classes > 0, 255, 0).astype(np.uint8))
for name, file in ("VOC's palette", png(classes, voc)), ("grey", png(classes)), ("grey mask", mask):
    optimised, kept = oxipng.optimize_from_memory(file), oxipng.optimize_from_memory(file, **off)
    print(f"seen: {name}: {numbers(file)}; optimised: {numbers(optimised)}; reductions off: {numbers(kept)}")


def above(file):
    by_pillow = np.array(Image.open(io.BytesIO(file)))
    by_opencv = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    return [np.count_nonzero(labels > 127) for labels in (by_pillow, by_opencv)]


before, after = above(mask), above(oxipng.optimize_from_memory(mask))
print(f"seen: pixels of the mask above 127: Pillow {before[0]}, optimised {after[0]};", end=" ")
print(f"OpenCV {before[1]}, optimised {after[1]}")
END

grep '^seen: ' "$folder/log" | sed 's/^seen: //' >"$folder/seen" || true
diff -u "$folder/expected" "$folder/seen" ||
  { echo "changed: what the optimiser does to the numbers of label maps"; exit 1; }
echo "as stated: a lossless optimiser keeps the colours of label maps, and gives them other numbers"
