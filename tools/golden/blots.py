"""Makes the images that classify/testdata/blots.safetensors was trained on, and the two that
the package's examples show it: a red, green or blue blot somewhere on grey noise.

    python3 tools/golden/blots.py /tmp/blots classify/testdata
    effnet train /tmp/blots --config tools/golden/blots.yaml --out /tmp/run
    cp /tmp/run/best.safetensors classify/testdata/blots.safetensors
"""

import pathlib
import sys

import numpy as np
from PIL import Image

SIDE = 48
COLOURS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (40, 60, 220)}


def blot(rng, colour, centre=None):
    pixels = rng.normal(128, 25, (SIDE, SIDE, 3))
    y, x = np.mgrid[:SIDE, :SIDE]
    cx, cy = centre or rng.uniform(10, SIDE - 10, 2)
    near = np.hypot(x - cx, y - cy) < rng.uniform(5, 8)
    pixels[near] = np.array(COLOURS[colour]) + rng.normal(0, 15, (near.sum(), 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def main(images, testdata):
    rng = np.random.default_rng(1)
    for split, n in (("train", 200), ("val", 50)):
        for colour in COLOURS:
            folder = pathlib.Path(images, split, colour)
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(n):
                blot(rng, colour).save(folder / f"{i:03}.png")
    blot(rng, "red", (12, 14)).save(pathlib.Path(testdata, "red.png"))
    blot(rng, "blue", (34, 30)).save(pathlib.Path(testdata, "blue.png"))


main(*sys.argv[1:])
