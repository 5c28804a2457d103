#!/usr/bin/env bash
# Expected: DetectionDataset.as_coco() writes every object of a data set as an object (iscrowd 0). A mask with a hole is
#   written as run lengths, because polygons hold no holes.
# What is so: supervision ties run lengths to iscrowd 1. An object with a hole, or in two pieces, becomes a crowd.
#   COCO's evaluators neither ask for crowds nor count what lies in them, so a detector that misses each such object
#   keeps AP50 1, and one that finds only them gets 0.
# Seen with: supervision 0.31.2, pycocotools 2.0.11. A square, a ring, and an object in two pieces: flags 0 1 1; AP50
#   1.000 for all three, 1.000 for the square alone, 0.000 for the ring and the pieces alone.
# Source: the note in the docstring of supervision's detections_to_coco_annotations names the flag; the effect on AP is
#   ours.
# Our users: remarks_on in include/cambium/io/coco_data.hpp says how many annotations of a file are crowds and of which
#   classes, and that some tools write objects so. --crowds objects of label and the trainer takes them as objects. docs/formats.md
#   (COCO, Crowds) says so; tests/programs/label_methods_test.cpp shows it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
gone() { cat "$folder/log"; echo "changed: it no longer runs"; exit 1; }
{ python3 -m venv "$folder/venv" &&
  "$folder/venv/bin/pip" install -q supervision==0.31.2 opencv-python==5.0.0.93 numpy==2.4.6 scipy==1.17.1 \
    matplotlib==3.11.2 pycocotools==2.0.11; } || { echo "skipped: the packages cannot be installed"; exit 77; }

cat >"$folder/expected" <<'END'
iscrowd: square 0, ring 1, pieces 1
AP50, all three found: 1.000
AP50, the square alone found: 1.000
AP50, the ring and the pieces alone found: 0.000
END

"$folder/venv/bin/python" - "$folder" >"$folder/log" <<'END' || gone
import json, sys
import cv2
import numpy as np
import supervision as sv
from pycocotools import mask as runs
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

folder = sys.argv[1]


def box(top, left, height, width):
    mask = np.zeros((64, 64), bool)
    mask[top : top + height, left : left + width] = True
    return mask


masks = np.stack([box(40, 40, 20, 20), box(2, 2, 20, 20) & ~box(8, 8, 8, 8), box(2, 34, 20, 8) | box(2, 50, 20, 8)])
image = folder + "/image.png"
cv2.imwrite(image, np.zeros((64, 64, 3), np.uint8))
objects = sv.Detections(xyxy=sv.mask_to_xyxy(masks).astype(float), mask=masks, class_id=np.zeros(3, int))
sv.DetectionDataset(classes=["thing"], images=[image], annotations={image: objects}).as_coco(
    annotations_path=folder + "/truth.json"
)
flags = [a["iscrowd"] for a in json.load(open(folder + "/truth.json"))["annotations"]]
print("seen: iscrowd: square {}, ring {}, pieces {}".format(*flags))


def result(mask):
    segmentation = runs.encode(np.asfortranarray(mask.astype(np.uint8)))
    segmentation["counts"] = segmentation["counts"].decode()
    return {"image_id": 1, "category_id": 1, "score": 0.9, "segmentation": segmentation}


for name, found in ("all three", masks), ("the square alone", masks[:1]), ("the ring and the pieces alone", masks[1:]):
    truth = COCO(folder + "/truth.json")
    evaluation = COCOeval(truth, truth.loadRes([result(m) for m in found]), "segm")
    evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
    print(f"seen: AP50, {name} found: {evaluation.stats[1]:.3f}")
END

grep '^seen: ' "$folder/log" | sed 's/^seen: //' >"$folder/seen" || true
diff -u "$folder/expected" "$folder/seen" ||
  { echo "changed: supervision's crowds, or what their evaluation gives"; exit 1; }
echo "as stated: supervision writes objects with holes and in pieces as crowds, and AP leaves them out"
