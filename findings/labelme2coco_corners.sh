#!/usr/bin/env bash
# Expected: a converter from labelme to COCO keeps the polygons: the numbers of a corner go from one JSON to the other, and
#   shapes that share a group_id become one object, as labelme's own examples and labelme's answers to users say.
# What is so: labelme2coco hands the corners to sahi, and sahi cuts off their fractions. labelme writes corners with
#   fractions. So each mask moves up and to the left by up to one pixel, and a polygon less than one pixel wide
#   becomes a line. The bbox keeps its fractions, so box and mask of one annotation disagree. Each part of a group is an
#   object of its own, so that an object behind a pole counts twice.
# Seen with: labelme2coco 0.2.6, sahi 0.12.8, pycocotools 2.0.11. A square of 10 x 10 at (10.9, 10.9): corners at 10, bbox
#   from 10.9, overlap (IoU) with its own mask 0.681. One group of two polygons: two annotations.
# Source: wkentaro/labelme#633 and #714 say what a group is; Tony607/labelme2coco#9 asks an older converter for groups. The
#   corners were observed.
# Our users: docs/formats.md (Files of other tools) names this converter, and says what it loses.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
gone() { cat "$folder/log"; echo "changed: it no longer runs"; exit 1; }
{ python3 -m venv "$folder/venv" &&
  "$folder/venv/bin/pip" install -q labelme2coco==0.2.6 sahi==0.12.8 shapely==2.2.0 opencv-python==5.0.0.93 \
    numpy==2.4.6 pillow==13.0.0 pycocotools==2.0.11; } || { echo "skipped: the packages cannot be installed"; exit 77; }

cat >"$folder/expected" <<'END'
square: [10, 10, 20, 10, 20, 20, 10, 20], bbox [10.9, 10.9, 10.0, 10.0], IoU 0.681
thin: [30, 10, 30, 10, 30, 40, 30, 40], bbox [30.2, 10.0, 0.7, 30.0], IoU 0.000
group of two parts: 2 annotations of 1 polygon each
END

"$folder/venv/bin/python" - "$folder" >"$folder/log" 2>&1 <<'END' || gone
import json, os, sys
import labelme2coco
from PIL import Image
from pycocotools import mask as runs

folder = sys.argv[1] + "/in"


def rectangle(left, top, width, height):
    right, bottom = left + width, top + height
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


drawn = {
    "square": [rectangle(10.9, 10.9, 10, 10)],
    "thin": [rectangle(30.2, 10, 0.7, 30)],
    "group": [rectangle(50, 10, 10, 30), rectangle(64, 10, 10, 30)],
}
shapes = [
    {"label": name, "points": points, "group_id": 1 if len(parts) > 1 else None, "shape_type": "polygon", "flags": {}}
    for name, parts in drawn.items()
    for points in parts
]
os.makedirs(folder)
Image.new("RGB", (100, 60)).save(folder + "/a.png")
with open(folder + "/a.json", "w") as file:
    size = {"imagePath": "a.png", "imageData": None, "imageHeight": 60, "imageWidth": 100}
    json.dump({"version": "5.5.0", "flags": {}, "shapes": shapes, **size}, file)
labelme2coco.convert(folder, sys.argv[1])
with open(sys.argv[1] + "/dataset.json") as file:
    data = json.load(file)


def mask(polygon):
    return runs.merge(runs.frPyObjects([polygon], 60, 100))


names = {category["id"]: category["name"] for category in data["categories"]}
of = {name: [a for a in data["annotations"] if names[a["category_id"]] == name] for name in drawn}
for name in "square", "thin":
    (written,) = of[name]
    (polygon,) = written["segmentation"]
    before = mask([float(v) for point in drawn[name][0] for v in point])
    overlap = runs.iou([mask([float(v) for v in polygon])], [before], [0])[0, 0]
    print(f"\nseen: {name}: {polygon}, bbox {[round(v, 6) for v in written['bbox']]}, IoU {overlap:.3f}")
parts = {len(a["segmentation"]) for a in of["group"]}
print(f"seen: group of two parts: {len(of['group'])} annotations of {', '.join(map(str, parts))} polygon each")
END

grep '^seen: ' "$folder/log" | sed 's/^seen: //' >"$folder/seen" || true
diff -u "$folder/expected" "$folder/seen" ||
  { echo "changed: what labelme2coco makes of corners or groups"; exit 1; }
echo "as stated: labelme2coco cuts the fractions of corners off, and makes an object of each part of a group"
