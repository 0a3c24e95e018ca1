#!/usr/bin/env python3
"""Writes the statistics of a million of torchvision's random crops, for the tests of
internal/data to compare effnet's with.

    pip install torch torchvision
    python3 tools/golden/draws.py [--out internal/data/testdata/draws.json]

A crop is described by its share of the image's area, the logarithm of its width over
its height, and its place: the left and the upper margin, each divided by both margins
of its axis, or a half where there are none. For each there are the mean, the standard
deviation and the nine deciles, and the correlation of each two.
"""

import argparse
import json

import numpy
import torch
import torchvision
from torchvision.transforms import RandomResizedCrop

NAMES = ["area", "log ratio", "x", "y"]
CASES = [(500, 375, (0.08, 1)), (500, 375, (0.35, 1)), (224, 224, (0.08, 1)), (100, 150, (0.7, 1))]
DRAWS = 1_000_000


def case(w, h, scale):
    image = torch.empty(1, h, w)
    draws = numpy.empty((DRAWS, 4))
    for k in range(DRAWS):
        y, x, ch, cw = RandomResizedCrop.get_params(image, scale, (3 / 4, 4 / 3))
        draws[k] = cw * ch / (w * h), numpy.log(cw / ch), x / (w - cw) if cw < w else 0.5, y / (h - ch) if ch < h else 0.5
    with numpy.errstate(invalid="ignore"):
        correlations = numpy.nan_to_num(numpy.corrcoef(draws.T))
    return {
        "w": w, "h": h, "scale": scale,
        "values": [{"name": n, "mean": v.mean(), "sd": v.std(), "deciles": numpy.quantile(v, numpy.arange(1, 10) / 10).tolist()}
                   for n, v in zip(NAMES, draws.T)],
        "correlations": correlations.tolist(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="internal/data/testdata/draws.json")
    out = parser.parse_args().out
    torch.manual_seed(1)
    with open(out, "w") as f:
        json.dump({"torchvision": torchvision.__version__, "draws": DRAWS, "cases": [case(*c) for c in CASES]}, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
