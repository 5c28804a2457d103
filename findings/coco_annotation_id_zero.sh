#!/usr/bin/env bash
# Expected: ids in a COCO file are names; which numbers they are changes no score. And evaluators that agree on
#   random sets agree on this one.
# What is so: two of three evaluators keep the id of the matched object, with 0 for "none". An object whose annotation
#   id is 0 can be matched by nothing that counts: its finder is a false detection. The third counts it.
# Seen with: pycocotools 2.0.11 and faster-coco-eval 1.8.0 (which warns), hotcoco 1.3.0 (which does not). Two objects,
#   both found exactly: AP 1.000 with ids 1 and 2 from all; with ids 0 and 1 AP 0.252, 0.252 and 1.000.
# Source: cocodataset/cocoapi#332, MiXaiLL76/faster_coco_eval#77.
# Our users: include/cambium/metric/coco_ap.hpp matches by place, not by id, so it says 1.000; write_coco in
#   include/cambium/io/coco_write.hpp writes no annotation id 0. For the first two evaluators number annotations from 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
gone() { cat "$folder/log"; echo "changed: it no longer runs"; exit 1; }
{ python3 -m venv "$folder/venv" &&
  "$folder/venv/bin/pip" install -q pycocotools==2.0.11 faster-coco-eval==1.8.0 hotcoco==1.3.0 numpy==2.4.6; } ||
  { echo "skipped: the packages cannot be installed"; exit 77; }

cat >"$folder/expected" <<'END'
ids from 1: pycocotools AP 1.000
ids from 1: faster-coco-eval AP 1.000
ids from 1: hotcoco AP 1.000
ids from 0: pycocotools AP 0.252
ids from 0: faster-coco-eval AP 0.252
ids from 0: hotcoco AP 1.000
END

"$folder/venv/bin/python" -W ignore - "$folder" >"$folder/log" <<'END' || gone
import json, sys
import faster_coco_eval
import hotcoco
import pycocotools.coco, pycocotools.cocoeval

folder = sys.argv[1]
boxes = [[2, 2, 10, 10], [20, 20, 10, 10]]
json.dump(
    [{"image_id": 1, "category_id": 1, "score": 0.9 - i / 10, "bbox": b} for i, b in enumerate(boxes)],
    open(folder + "/found.json", "w"),
)


def by_pycocotools():
    truth = pycocotools.coco.COCO(folder + "/truth.json")
    return pycocotools.cocoeval.COCOeval(truth, truth.loadRes(folder + "/found.json"), "bbox")


def by_faster_coco_eval():
    truth = faster_coco_eval.COCO(folder + "/truth.json")
    return faster_coco_eval.COCOeval_faster(truth, truth.loadRes(folder + "/found.json"), "bbox")


def by_hotcoco():
    truth = hotcoco.COCO(folder + "/truth.json")
    return hotcoco.COCOeval(truth, truth.load_res(folder + "/found.json"), "bbox")


for start in 1, 0:
    truth = {
        "info": {},
        "images": [{"id": 1, "file_name": "a.png", "width": 32, "height": 32}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [
            {"id": start + i, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 100, "bbox": b}
            for i, b in enumerate(boxes)
        ],
    }
    json.dump(truth, open(folder + "/truth.json", "w"))
    for evaluator in by_pycocotools, by_faster_coco_eval, by_hotcoco:
        evaluation = evaluator()
        evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
        by = evaluator.__name__[3:].replace("_", "-")
        print(f"\nseen: ids from {start}: {by} AP {evaluation.stats[0]:.3f}", flush=True)
END

grep '^seen: ' "$folder/log" | sed 's/^seen: //' >"$folder/seen" || true
diff -u "$folder/expected" "$folder/seen" ||
  { echo "changed: what an annotation id of 0 does"; exit 1; }
echo "as stated: an object with annotation id 0 counts for hotcoco alone"
