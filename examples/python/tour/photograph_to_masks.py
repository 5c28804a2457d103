"""From a photograph to masks, step by step, with a picture of each step.

    python photograph_to_masks.py [FOLDER]

The script draws its photograph. Where you have networks, their class activation maps and boundary
map take the place of the two that are drawn here. It needs matplotlib. The cells (# %%) open as a
notebook in VS Code, Spyder and Jupytext.
"""

# %% A photograph of 240 x 320 pixels: three oranges and two leaves on a table.
from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

import pycambium as pc

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

H, W = 240, 320
CLASSES = ["orange", "leaf"]
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "masks")
folder.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(7)
y, x = np.mgrid[:H, :W]


def ellipse(cy: float, cx: float, ry: float, rx: float, turn: float = 0.0) -> NDArray[np.float64]:
    """Squared distance from the centre: below 1 inside."""
    dy, dx = y - cy, x - cx
    u, v = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    return np.asarray((v / ry) ** 2 + (u / rx) ** 2)


objects = [  # class, shape
    (0, ellipse(80, 70, 42, 42)),
    (0, ellipse(165, 150, 48, 48)),
    (0, ellipse(70, 250, 36, 36)),
    (1, ellipse(190, 50, 20, 46, 0.5)),
    (1, ellipse(170, 265, 24, 48, -0.6)),
]
colours = np.array([[225.0, 130.0, 30.0], [60.0, 130.0, 50.0]])
photograph = np.stack(
    [150 + 20 * np.sin(y / 9 + channel) + 0.1 * x for channel in range(3)], axis=-1
)
truth = np.zeros((H, W), np.int32)
for kind, shape in objects:
    inside = shape < 1
    shade = 1.05 - 0.35 * shape[..., None]
    photograph[inside] = (colours[kind] * shade)[inside]
    truth[inside] = kind + 1
photograph = (photograph + rng.normal(0, 8, photograph.shape)).clip(0, 255).astype(np.uint8)

# %% What networks would give, on cells of 4 x 4 pixels: CAMs that see a part of each object, and
# a boundary map.
h, w = (H - 1) // 4 + 1, (W - 1) // 4 + 1
cams = np.zeros((2, h, w), np.float32)
for kind, shape in objects:
    seen = np.roll(shape, (-6, 8), (0, 1))  # the most telling part is not the middle
    cams[kind] = np.maximum(cams[kind], np.exp(-3 * seen)[::4, ::4])
cells = photograph[: h * 4, : w * 4].reshape(h, 4, w, 4, 3).mean(axis=(1, 3))
edges = np.sqrt(sum(g**2 for g in np.gradient(cells, axis=(0, 1))).sum(axis=-1))
boundary = (edges / np.percentile(edges, 98)).clip(0, 1).astype(np.float32)

# %% The walk: scores spread inside objects, and stop at boundaries.
transition = pc.make_transition(pc.path_affinity(boundary, radius=5), radius=5, beta=10)
walked = pc.random_walk(cams * (1 - boundary), transition, steps=256)
walked /= walked.max(axis=(1, 2), keepdims=True)


def enlarge(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cells to pixels, linearly in between."""
    for axis, size in ((1, H), (2, W)):
        at = np.clip((np.arange(size) - 1.5) / 4, 0, maps.shape[axis] - 1)
        low = at.astype(int)
        high = np.minimum(low + 1, maps.shape[axis] - 1)
        part = (at - low).astype(np.float32)
        part = part[:, None] if axis == 1 else part
        maps = maps.take(low, axis) * (1 - part) + maps.take(high, axis) * part
    return maps


scores = enlarge(walked)
background = np.full((1, H, W), 0.2, np.float32)  # IRNet's threshold
before = np.concatenate([background, scores]).argmax(axis=0).astype(np.int32)

# %% The CRF: borders move to where the colours change.
unary = pc.unary_from_labels(before, 1 + len(CLASSES), gt_prob=0.7)
marginals = pc.dense_crf(photograph, unary, iterations=10)
semantic = marginals.argmax(axis=0).astype(np.int32)

# %% Instances: connected pixels of one class. Small ones are dropped.
found = pc.drop_small(pc.connected_equal(semantic), 100)
instances = found.label


# %% The masks, beside the photograph and the truth.
def iou(labels: NDArray[np.int32]) -> list[float]:
    pairs = [(labels == k, truth == k) for k in range(1 + len(CLASSES))]
    return [float((a & b).sum() / (a | b).sum()) for a, b in pairs]


def show(name: str, *pictures: tuple[str, NDArray[np.generic], str | None]) -> None:
    figure, axes = plt.subplots(
        1, len(pictures), figsize=(4 * len(pictures), 3.4), layout="constrained"
    )
    for axis, (title, picture, colour) in zip(np.atleast_1d(axes), pictures):
        axis.imshow(picture, cmap=colour, interpolation="nearest")
        axis.set_title(title)
        axis.axis("off")
    figure.savefig(folder / f"{name}.png", dpi=80)
    plt.close(figure)


show(
    "1_inputs",
    ("photograph", photograph, None),
    ("CAM: orange", cams[0], "magma"),
    ("boundary", boundary, "gray"),
)
show(
    "2_walk",
    ("walked: orange", walked[0], "magma"),
    ("walked: leaf", walked[1], "magma"),
    ("labels", before, "viridis"),
)
show(
    "3_crf",
    ("before the CRF", before, "viridis"),
    ("after", semantic, "viridis"),
    ("truth", truth, "viridis"),
)
show("4_instances", ("photograph", photograph, None), ("instances", instances, "tab10"))

for name, labels in (
    ("CAMs", np.concatenate([background, enlarge(cams)]).argmax(axis=0)),
    ("walk", before),
    ("CRF", semantic),
):
    print(
        f"IoU after {name}:",
        " ".join(f"{value:.3f}" for value in iou(np.asarray(labels, np.int32))),
    )
print(f"{instances.max()} instances; pictures in {folder}")
