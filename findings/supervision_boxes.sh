#!/usr/bin/env bash
# Expected: the "bbox" that a data set library writes beside a mask is the mask's box, so exact boxes score AP 1 on it,
#   and an object one pixel wide has a box of width 1.
# What is so: supervision's mask_to_xyxy returns the last pixel that is inside, and its COCO export takes differences,
#   as if that were the edge behind it. Each box is one pixel short in both directions; a line has no height, a dot
#   neither. The area beside it counts the mask's pixels. Within supervision the round trip agrees, so it shows only
#   where another tool reads on.
# Seen with: supervision 0.31.2, pycocotools 2.0.11. A square of 10 x 10: [10, 10, 9, 9] with area 100, where COCO's own
#   toBbox gives [10, 10, 10, 10]. Evaluated on the square's box, the exact box scores AP 0.700 instead of 1.
# Source: observed; COCO's rule is in cocodataset/cocoapi#5.
# Our users: include/cambium/io/coco.hpp takes boxes from masks where it writes them. Where it reads them, error_in_box
#   names a box of 0 x 0, and a box without height is one row of pixels. A box that is one pixel short cannot be seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
gone() { cat "$folder/log"; echo "changed: it no longer runs"; exit 1; }
{ python3 -m venv "$folder/venv" &&
  "$folder/venv/bin/pip" install -q supervision==0.31.2 opencv-python==5.0.0.93 numpy==2.4.6 scipy==1.17.1 \
    matplotlib==3.11.2 pycocotools==2.0.11; } || { echo "skipped: the packages cannot be installed"; exit 77; }

cat >"$folder/expected" <<'END'
square: [10, 10, 9, 9], area 100; COCO: [10, 10, 10, 10]
line: [5, 60, 19, 0], area 20; COCO: [5, 60, 20, 1]
dot: [55, 55, 0, 0], area 1; COCO: [55, 55, 1, 1]
AP of the square's exact box: 0.700
END

"$folder/venv/bin/python" -W ignore - "$folder" >"$folder/log" <<'END' || gone
import json, sys
import cv2
import numpy as np
import supervision as sv
from pycocotools import mask as runs
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

folder = sys.argv[1]
masks = {name: np.zeros((64, 64), bool) for name in ("square", "line", "dot")}
masks["square"][10:20, 10:20] = masks["line"][60, 5:25] = masks["dot"][55, 55] = True


def as_coco(name, chosen):
    mask = np.stack(chosen)
    objects = sv.Detections(xyxy=sv.mask_to_xyxy(mask).astype(float), mask=mask, class_id=np.zeros(len(mask), int))
    image, path = folder + "/image.png", f"{folder}/{name}.json"
    cv2.imwrite(image, np.zeros((64, 64, 3), np.uint8))
    sv.DetectionDataset(classes=["thing"], images=[image], annotations={image: objects}).as_coco(annotations_path=path)
    return path


def whole(box):
    return [round(v) for v in box]


def encode(mask):
    return runs.encode(np.asfortranarray(mask.astype(np.uint8)))


exact = {name: runs.toBbox(encode(mask)).tolist() for name, mask in masks.items()}
for name, a in zip(masks, json.load(open(as_coco("all", list(masks.values()))))["annotations"]):
    print(f"seen: {name}: {whole(a['bbox'])}, area {a['area']:.0f}; COCO: {whole(exact[name])}")
truth = COCO(as_coco("square", [masks["square"]]))
found = truth.loadRes([{"image_id": 1, "category_id": 1, "score": 0.9, "bbox": exact["square"]}])
evaluation = COCOeval(truth, found, "bbox")
evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
print(f"seen: AP of the square's exact box: {evaluation.stats[0]:.3f}")
END

grep '^seen: ' "$folder/log" | sed 's/^seen: //' >"$folder/seen" || true
diff -u "$folder/expected" "$folder/seen" ||
  { echo "changed: the boxes that supervision writes beside masks"; exit 1; }
echo "as stated: supervision's COCO boxes are one pixel short, and thin objects have no width or height"
