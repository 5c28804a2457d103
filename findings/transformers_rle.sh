#!/usr/bin/env bash
# Expected: where Transformers says "COCO run-length encoding" (return_coco_annotation=True of post_process_instance_
#   segmentation of Mask2Former, MaskFormer, OneFormer), COCO's tools read the result.
# What is so: its encoder writes pairs of start and length, along rows, counted from 1. COCO's counts are lengths alone, of
#   background and object in turn, along columns. There is no size either. Wrapped as {size, counts} it is refused as
#   too long, so the masks of a run look damaged, though they are whole.
# Seen with: transformers 5.23.0, pycocotools 2.0.11, faster-coco-eval 1.8.0, hotcoco 1.3.0. A block of 3 x 4 pixels at row
#   1, column 2 of 6 x 8 is [11, 4, 19, 4, 27, 4]; COCO's counts are [13, 3, 3, 3, 3, 3, 3, 3, 14].
# Source: observed; the docstring of the encoder refers to COCO's API for the format. By its source the list of an image
#   also has an entry for pixels without an object, before those of segments_info (not run here: that needs PyTorch).
# Our users: include/cambium/io/proposals.hpp refuses such a list, and counts that do not fill the image. docs/formats.md
#   (Mask proposals) says what to write instead.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
gone() { cat "$folder/log"; echo "changed: it no longer runs"; exit 1; }
{ python3 -m venv "$folder/venv" &&
  "$folder/venv/bin/pip" install -q transformers==5.23.0 pillow==13.0.0 numpy==2.4.6 pycocotools==2.0.11 \
    faster-coco-eval==1.8.0 hotcoco==1.3.0; } || { echo "skipped: the packages cannot be installed"; exit 77; }

cat >"$folder/expected" <<'END'
block: [11, 4, 19, 4, 27, 4]; COCO: [13, 3, 3, 3, 3, 3, 3, 3, 14]
block: read as pairs of start and length along rows: the same mask
block, read by pycocotools: ValueError
block, read by faster-coco-eval: ValueError
block, read by hotcoco: ValueError
END

"$folder/venv/bin/python" - >"$folder/log" 2>&1 <<'END' || gone
from itertools import groupby
import faster_coco_eval.core.mask
import hotcoco
import numpy as np
import pycocotools.mask
from transformers.models.mask2former.image_processing_pil_mask2former import binary_mask_to_rle

tools = {"pycocotools": pycocotools.mask, "faster-coco-eval": faster_coco_eval.core.mask, "hotcoco": hotcoco.mask}
block = np.zeros((6, 8), np.uint8)
block[1:4, 2:6] = 1


def encoded(mask):
    return [int(number) for number in binary_mask_to_rle(mask)]


coco = [len(list(run)) for _, run in groupby(block.ravel(order="F"))]
print(f"seen: block: {encoded(block)}; COCO: {coco}")
pairs = np.zeros(block.size, np.uint8)
for start, length in np.reshape(encoded(block), (-1, 2)):
    pairs[start - 1 : start - 1 + length] = 1
same = "the same mask" if np.array_equal(pairs.reshape(block.shape), block) else "another mask"
print(f"seen: block: read as pairs of start and length along rows: {same}")
for tool, masks in tools.items():
    try:
        masks.decode(masks.frPyObjects({"size": [6, 8], "counts": encoded(block)}, 6, 8))
        print(f"seen: block, read by {tool}: accepted")
    except ValueError:
        print(f"seen: block, read by {tool}: ValueError")
END

grep '^seen: ' "$folder/log" | sed 's/^seen: //' >"$folder/seen" || true
diff -u "$folder/expected" "$folder/seen" ||
  { echo "changed: how Transformers encodes masks, or who reads them"; exit 1; }
echo "as stated: Transformers' run lengths are pairs along rows, not COCO's"
