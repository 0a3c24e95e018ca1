#!/usr/bin/env python3
"""Shows that a checkpoint of effnet is timm's network: loads it strictly, compares predictions.

    pip install torch timm safetensors pillow
    python3 tools/timm_check.py runs/NAME/best.safetensors --effnet bin/effnet

The images are noise and gradients, larger than the network's input by exactly what
the evaluation crop takes away, so that nothing is resized and both
sides see the same pixels. timm computes in float64. Exits with 1 when the networks
differ by more than rounding.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import safetensors
import safetensors.torch
import timm
import torch
from PIL import Image

IMAGES = 8
FLOOR = -60  # log-probabilities below it are equal: float32 ends at -103


def load(path):
    """timm's network with the checkpoint's weights, and the checkpoint's metadata."""
    with safetensors.safe_open(path, "pt") as f:
        metadata = f.metadata() or {}
    if "effnet" not in metadata:
        sys.exit(f"{path}: no effnet metadata: not a checkpoint of effnet")
    meta = json.loads(metadata["effnet"])
    arch = meta["arch"]
    name = "tf_efficientnet_" + arch["name"].removeprefix("efficientnet-")
    if not timm.is_model(name):
        sys.exit(f"{path}: timm has no {name}: only published variants can be compared")
    net = timm.create_model(
        name,
        num_classes=arch["classes"],
        pad_type="same" if arch["padding"] == "same" else "",
        bn_eps=arch["bn_eps"],
    )
    net.load_state_dict(safetensors.torch.load_file(path), strict=True)
    return name, net.double().eval(), meta


def make_images(resolution, padding):
    """[IMAGES, side, side, 3] uint8, and the slice of a side that the crop keeps."""
    side = resolution + padding
    begin = (padding + 1) // 2
    rng = np.random.default_rng(1)
    ramp = np.linspace(0, 1, side)
    images = []
    for i in range(IMAGES):
        noise = rng.random((side, side, 3))
        x, y, phase = ramp[None, :, None], ramp[:, None, None], rng.random(3)
        gradient = 0.5 + 0.5 * np.sin(2 * np.pi * (rng.normal() * x + rng.normal() * y + phase))
        share = i / (IMAGES - 1)
        images.append(share * noise + (1 - share) * gradient)
    return np.round(255 * np.stack(images)).astype(np.uint8), slice(begin, begin + resolution)


def timm_log_probabilities(net, pixels, preprocess):
    """[IMAGES, classes] for pixels [IMAGES, resolution, resolution, 3]."""
    x = (torch.from_numpy(pixels).double() - torch.tensor(preprocess["mean"])) / torch.tensor(preprocess["std"])
    with torch.no_grad():
        return torch.cat([net(image[None]).log_softmax(1) for image in x.permute(0, 3, 1, 2)]).numpy()


def effnet_log_probabilities(binary, checkpoint, images, classes):
    """[IMAGES, classes] from `effnet predict` on PNG files of the images."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(pathlib.Path(folder) / f"{i}.png") for i in range(len(images))]
        for path, image in zip(paths, images):
            Image.fromarray(image).save(path)
        command = [binary, "predict", checkpoint, *paths, "--json", "--topk", "0"]
        out = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    probabilities = np.full((len(paths), classes), np.nan)
    for row in out:
        for p in row["predictions"]:
            probabilities[paths.index(row["path"]), p["index"]] = p["probability"]
    with np.errstate(divide="ignore"):
        return np.log(probabilities)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--effnet", required=True, help="the effnet binary")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="of the relative difference")
    args = parser.parse_args()
    torch.set_num_threads(1)

    name, net, meta = load(args.checkpoint)
    print(f"{name} loads {args.checkpoint} strictly")
    preprocess, classes = meta["preprocess"], meta["arch"]["classes"]
    if preprocess["crop"] == "tf":
        padding = round(preprocess["resolution"] * (1 / 0.875 - 1))
    elif preprocess.get("crop_pct") == 1:
        padding = 0  # the crops of timm and torchvision keep all of such an image
    else:
        sys.exit(f"{args.checkpoint}: evaluation crop {preprocess['crop']!r}: only 'tf' and a crop_pct of 1 can be compared")
    images, keep = make_images(preprocess["resolution"], padding)
    want = timm_log_probabilities(net, images[:, keep, keep], preprocess)
    got = effnet_log_probabilities(args.effnet, args.checkpoint, images, classes)
    if np.isnan(got).any():
        sys.exit("FAILED: effnet skipped classes or images, or gave NaN")
    difference = np.maximum(got, FLOOR) - np.maximum(want, FLOOR)
    relative = np.linalg.norm(difference) / np.linalg.norm(np.maximum(want, FLOOR))
    same = int((got.argmax(1) == want.argmax(1)).sum())
    print(f"log-probabilities of {IMAGES} images, {classes} classes: largest difference {np.abs(difference).max():.2g}, "
          f"relative {relative:.2g}; top-1 agrees on {same}")
    ok = relative <= args.tolerance and same == IMAGES
    print("OK" if ok else "FAILED")
    sys.exit(not ok)


if __name__ == "__main__":
    main()
