"""Writes internal/augment/testdata/golden.json: what Pillow and torchvision
make of a synthetic image, for augment's tests to equal.

    python tools/golden/augment.py internal/augment/testdata/golden.json

Needs numpy, Pillow and torchvision.
"""
import base64
import json
import math
import sys

import numpy as np
import PIL
import torchvision
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}


def source(w, h):
    """Blocks of 2x3 pixels, half of them saturated: sharp edges make kernels overshoot."""
    y, x, c = np.indices((h, w, 3), dtype=np.uint32)
    v = (y // 3 * np.uint32(73856093)) ^ (x // 2 * np.uint32(19349663)) ^ (c * np.uint32(83492791))
    v = v * np.uint32(2654435761)
    pix = np.where(v >> 30 == 3, 255, np.where(v >> 30 == 0, 0, v >> 24))
    return Image.fromarray(pix.astype(np.uint8))


def resize(interpolation, w, h, out, box=None):
    box = box or (0, 0, w, h)
    image = source(w, h).resize(out, FILTERS[interpolation], box=box)
    return {"interpolation": interpolation, "w": w, "h": h, "box": box}, image


def center_crop(kind, interpolation, w, h, size, pct=0.875):
    image = source(w, h)
    if kind == "tf":  # tensorflow/tpu, preprocessing.py, _decode_and_center_crop
        padding = round(size * (1 / 0.875 - 1))
        side = int(size / (size + padding) * min(w, h))
        x, y = (w - side + 1) // 2, (h - side + 1) // 2
        image = image.crop((x, y, x + side, y + side)).resize((size, size), FILTERS[interpolation])
    else:
        scaled = math.floor(size / pct) if kind == "timm" else round(size / pct)
        image = Resize(scaled, InterpolationMode(interpolation))(image)
        image = CenterCrop(size)(image)
    return {"interpolation": interpolation, "w": w, "h": h, "crop": kind, "pct": pct}, image


def cases():
    for interpolation in FILTERS:
        yield resize(interpolation, 61, 47, (20, 16))
        yield resize(interpolation, 9, 7, (31, 26))
        yield resize(interpolation, 300, 11, (13, 17))
        yield resize(interpolation, 500, 375, (24, 24))
        yield resize(interpolation, 1, 1, (5, 4))
        yield resize(interpolation, 24, 24, (24, 24))
        yield resize(interpolation, 61, 47, (15, 15), (7, 5, 40, 46))
        yield resize(interpolation, 61, 47, (21, 18), (0.3, 11.75, 60.9, 20.1))
    for w, h in (64, 48), (47, 65), (20, 20), (13, 200):
        yield center_crop("tf", "bicubic", w, h, 24)
        yield center_crop("timm", "bicubic", w, h, 24)
        yield center_crop("timm", "bilinear", w, h, 25, 0.922)
        yield center_crop("torchvision", "bicubic", w, h, 20, 20 / 23)


def main(path):
    out = {"pillow": PIL.__version__, "torchvision": torchvision.__version__, "cases": []}
    for case, image in cases():
        pix = base64.b64encode(image.tobytes()).decode()
        out["cases"].append(case | {"out": image.size, "pix": pix})
    with open(path, "w") as f:
        json.dump(out, f, indent=0)
        f.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
