#!/usr/bin/env bash
# Expected: Label Studio's COCO export gives a rotated rectangle the upright box around its four corners.
# What is so: the rectangle is kept in percent of the photograph's width and height, and the export turns it in percent, as
#   if one percent were as long in both directions. That is right for square photographs alone. In others boxes are too
#   wide or too high, and lie beside the object; a rectangle turned by 90 degrees comes out with the wrong proportions.
#   Nothing is reported. Rectangles that were not turned are right, so that a few boxes of a set are wrong.
# Seen with: label-studio-sdk 2.1.2, whose converter is the one of Label Studio. A rectangle of 80 x 20 pixels turned by 90
#   degrees is [100, 60, 20, 80]. The export says so at 400 x 400; at 500 x 375 it says [93.3, 60, 26.7, 60], overlap (IoU)
#   0.600 with the right box; at 1000 x 250 [40, 60, 80, 20], IoU 0.143.
# Source: HumanSignal/label-studio#2293 and HumanSignal/label-studio-converter#101 reported YOLO's export in 2022; a
#   later change of the corners (label-studio-converter#136) left it. COCO's export was observed.
# Our users: docs/formats.md (Files of other tools) names this export, and says to draw polygons instead of turned
#   rectangles. A wrong box cannot be seen in the file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
gone() { cat "$folder/log"; echo "changed: it no longer runs"; exit 1; }
{ python3 -m venv "$folder/venv" &&
  "$folder/venv/bin/pip" install -q label-studio-sdk==2.1.2 numpy==2.2.6 opencv-python-headless==4.12.0.88 \
    pandas==3.1.1 pillow==13.0.0; } || { echo "skipped: the packages cannot be installed"; exit 77; }

cat >"$folder/expected" <<'END'
400 x 400, not turned: [100.0, 60.0, 80.0, 20.0], IoU 1.000
400 x 400, 90 degrees: [100.0, 60.0, 20.0, 80.0], IoU 1.000
400 x 400, 30 degrees: [90.0, 60.0, 79.3, 57.3], IoU 1.000
500 x 375, not turned: [100.0, 60.0, 80.0, 20.0], IoU 1.000
500 x 375, 90 degrees: [93.3, 60.0, 26.7, 60.0], IoU 0.600
500 x 375, 30 degrees: [86.7, 60.0, 82.6, 47.3], IoU 0.798
1000 x 250, not turned: [100.0, 60.0, 80.0, 20.0], IoU 1.000
1000 x 250, 90 degrees: [40.0, 60.0, 80.0, 20.0], IoU 0.143
1000 x 250, 30 degrees: [60.0, 60.0, 109.3, 27.3], IoU 0.404
END

"$folder/venv/bin/python" -W ignore - "$folder" >"$folder/log" 2>&1 <<'END' || gone
import json, math, sys
from label_studio_sdk.converter import Converter
from PIL import Image

folder = sys.argv[1]
view = """<View><Image name="image" value="$image"/>
<RectangleLabels name="box" toName="image"><Label value="thing"/></RectangleLabels></View>"""


def exported(width, height, left, top, w, h, degrees):
    image = folder + "/image.png"
    Image.new("RGB", (width, height)).save(image)
    value = {"x": 100 * left / width, "y": 100 * top / height, "width": 100 * w / width, "height": 100 * h / height}
    value |= {"rotation": degrees, "rectanglelabels": ["thing"]}
    drawn = {"id": "1", "type": "rectanglelabels", "from_name": "box", "to_name": "image", "value": value}
    drawn |= {"original_width": width, "original_height": height, "image_rotation": 0}
    task = {"id": 1, "data": {"image": image}, "annotations": [{"id": 1, "completed_by": 1, "result": [drawn]}]}
    with open(folder + "/tasks.json", "w") as file:
        json.dump([task], file)
    Converter(view, folder, download_resources=False).convert_to_coco(
        folder + "/tasks.json", folder + "/coco", is_dir=False
    )
    with open(folder + "/coco/result.json") as file:
        return json.load(file)["annotations"][0]["bbox"]


def right(left, top, w, h, degrees):  # the first corner stays, the rectangle turns clockwise about it
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    xs, ys = zip(*[(left + c * u - s * v, top + s * u + c * v) for u in (0, w) for v in (0, h)])
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]


def overlap(a, b):
    sides = [max(0, min(a[i] + a[i + 2], b[i] + b[i + 2]) - max(a[i], b[i])) for i in (0, 1)]
    common = sides[0] * sides[1]
    return common / (a[2] * a[3] + b[2] * b[3] - common)


for width, height in (400, 400), (500, 375), (1000, 250):
    for name, left, degrees in ("not turned", 100, 0), ("90 degrees", 120, 90), ("30 degrees", 100, 30):
        rectangle = left, 60, 80, 20, degrees
        box = exported(width, height, *rectangle)
        rounded = [round(v, 1) + 0.0 for v in box]
        print(f"seen: {width} x {height}, {name}: {rounded}, IoU {overlap(box, right(*rectangle)):.3f}")
END

grep '^seen: ' "$folder/log" | sed 's/^seen: //' >"$folder/seen" || true
diff -u "$folder/expected" "$folder/seen" ||
  { echo "changed: the boxes that Label Studio exports for turned rectangles"; exit 1; }
echo "as stated: Label Studio turns rectangles in percent, and exports wrong boxes unless the photograph is square"
