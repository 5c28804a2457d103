#!/usr/bin/env bash
# Expected: in COCO results for masks a "bbox" beside the "segmentation" changes nothing: masks are evaluated by their
#   masks.
# What is so: where the first result of a file has a box, the evaluator takes each result's area from its box. AP and AR
#   of small, medium and large objects change with it; AP over all sizes does not.
# Seen with: pycocotools 2.0.11, faster-coco-eval 1.8.0, hotcoco 1.3.0, which agree. One true object of 400 pixels that
#   is found, and one thin false object of 297 pixels in a box of 62 x 62: AP of small objects 0.5 without boxes, 1.0
#   with them.
# Source: open-mmlab/mmdetection#4898 dropped the box for this reason.
# Our users: include/cambium/metric/coco_ap.hpp takes areas as given, and examples/label/one_image.cpp writes
#   detections.json with boxes. docs/label.md (Scores) says so, with the line that drops "bbox" from its entries.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
gone() { cat "$folder/log"; echo "changed: it no longer runs"; exit 1; }
{ python3 -m venv "$folder/venv" &&
  "$folder/venv/bin/pip" install -q pycocotools==2.0.11 faster-coco-eval==1.8.0 hotcoco==1.3.0 numpy==2.4.6; } ||
  { echo "skipped: the packages cannot be installed"; exit 77; }

cat >"$folder/expected" <<'END'
pycocotools, without boxes: AP 0.5, small 0.5
pycocotools, with boxes: AP 0.5, small 1.0
faster-coco-eval, without boxes: AP 0.5, small 0.5
faster-coco-eval, with boxes: AP 0.5, small 1.0
hotcoco, without boxes: AP 0.5, small 0.5
hotcoco, with boxes: AP 0.5, small 1.0
END

"$folder/venv/bin/python" - "$folder" >"$folder/log" <<'END' || gone
import json, sys
import faster_coco_eval
import hotcoco
import numpy as np
import pycocotools.coco, pycocotools.cocoeval
from pycocotools import mask as runs

folder = sys.argv[1]


def encode(mask):
    segmentation = runs.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": segmentation["size"], "counts": segmentation["counts"].decode()}


y, x = np.mgrid[:128, :128]
thin, square = (abs(y - x) < 3) & (x < 60), (y < 20) & (90 <= x) & (x < 110)
truth = {
    "info": {},
    "images": [{"id": 1, "file_name": "a.png", "width": 128, "height": 128}],
    "categories": [{"id": 1, "name": "thing"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 400, "bbox": [90, 0, 20, 20]}],
}
truth["annotations"][0]["segmentation"] = encode(square)
json.dump(truth, open(folder + "/truth.json", "w"))
for name, boxes in ("without", False), ("with", True):
    results = []
    for mask, score in (thin, 0.9), (square, 0.8):
        results.append({"image_id": 1, "category_id": 1, "score": score, "segmentation": encode(mask)})
        if boxes:
            results[-1]["bbox"] = runs.toBbox(results[-1]["segmentation"]).tolist()
    json.dump(results, open(f"{folder}/{name}.json", "w"))


def by_pycocotools(name):
    truth = pycocotools.coco.COCO(folder + "/truth.json")
    return pycocotools.cocoeval.COCOeval(truth, truth.loadRes(f"{folder}/{name}.json"), "segm")


def by_faster_coco_eval(name):
    truth = faster_coco_eval.COCO(folder + "/truth.json")
    return faster_coco_eval.COCOeval_faster(truth, truth.loadRes(f"{folder}/{name}.json"), "segm")


def by_hotcoco(name):
    truth = hotcoco.COCO(folder + "/truth.json")
    return hotcoco.COCOeval(truth, truth.load_res(f"{folder}/{name}.json"), "segm")


for evaluator in by_pycocotools, by_faster_coco_eval, by_hotcoco:
    for name in "without", "with":
        evaluation = evaluator(name)
        evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
        by = evaluator.__name__[3:].replace("_", "-")
        print(f"\nseen: {by}, {name} boxes: AP {evaluation.stats[0]:.1f}, small {evaluation.stats[3]:.1f}", flush=True)
END

grep '^seen: ' "$folder/log" | sed 's/^seen: //' >"$folder/seen" || true
diff -u "$folder/expected" "$folder/seen" ||
  { echo "changed: what a box in results for masks does"; exit 1; }
echo "as stated: a box beside the mask changes AP of small objects"
