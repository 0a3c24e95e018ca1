#!/usr/bin/env python3
"""Writes PyTorch's cross entropy and its gradient for targets that do not sum to one,
for the tests of internal/backend to equal.

    pip install torch timm
    python3 tools/golden/loss.py [--out internal/backend/testdata/loss.json]

Logits and labels are given; targets are timm's smoothed and mixed ones, times the
classes' weights as torch.nn.functional.cross_entropy takes them. With labels alone,
PyTorch divides the sum by the weights used; here the sum is divided by the rows, as
with targets. Everything is float64.
"""

import argparse
import json

import timm
import torch
from timm.data.mixup import mixup_target
from torch.nn.functional import cross_entropy

LABELS = torch.tensor([2, 0, 1, 4, 4, 3])
CLASSES = 5
WEIGHTS = torch.tensor([0.5, 2.25, 1.0, 4.0, 0.125], dtype=torch.float64)
ONES = torch.ones(CLASSES, dtype=torch.float64)


def case(name, weights, smoothing=0.0, lam=1.0, labels=False):
    rows = len(LABELS)
    logits = 3 * torch.sin(1.7 * torch.arange(rows * CLASSES, dtype=torch.float64)).reshape(rows, CLASSES)
    logits.requires_grad_(True)
    targets = mixup_target(LABELS, CLASSES, lam=lam, smoothing=smoothing).double()
    if labels:
        loss = cross_entropy(logits, LABELS, weight=weights, reduction="sum") / rows
    else:
        loss = cross_entropy(logits, targets, weight=weights)
    loss.backward()
    return {
        "name": name,
        "logits": logits.detach().flatten().tolist(),
        "targets": (targets * weights).flatten().tolist(),
        "loss": loss.item(),
        "gradient": logits.grad.flatten().tolist(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="internal/backend/testdata/loss.json")
    out = parser.parse_args().out
    cases = [
        case("probabilities", ONES, smoothing=0.1, lam=0.7),
        case("weighted labels", WEIGHTS, labels=True),
        case("weighted, smoothed", WEIGHTS, smoothing=0.1),
        case("weighted, smoothed, mixed", WEIGHTS, smoothing=0.1, lam=0.7),
    ]
    with open(out, "w") as f:
        json.dump({"torch": torch.__version__, "timm": timm.__version__, "classes": CLASSES, "cases": cases}, f)
        f.write("\n")


if __name__ == "__main__":
    main()
