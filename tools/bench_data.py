#!/usr/bin/env python3
"""Compares Pillow and torchvision with `effnet data bench` and prints the ratios.

    make build
    pip install torch torchvision numpy pillow
    python3 tools/bench_data.py PHOTOS

PHOTOS is a folder of photographs as DIR/train/CLASS/IMAGE. Mosaics of them, 500x375
JPEGs of quality 95 (the size of ImageNet's, about 70 KB each), are decoded, cropped at
random to 224 px (bicubic), flipped and normalised to float32; with "aa", AutoAugment
for ImageNet comes before the last step. One core: one worker, one thread.

"PIL" decodes with Pillow and applies torchvision.transforms.v2 to its images, as
torchvision's and timm's training scripts do. "tensors" decodes with
torchvision.io.decode_jpeg and applies the same transforms to tensors, the fastest way
torchvision has. The raw row reads a pack of 224 px pixels, flipped and normalised.

Each measurement is a fresh process; the programs take turns, round after round. The
table is Markdown on stdout; medians over the rounds.
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

PIPELINES = ["PIL", "tensors"]


def mosaics(photos, to, count):
    from PIL import Image

    files = sorted(p for p in pathlib.Path(photos).glob("train/*/*") if p.is_file())
    rng, size = random.Random(1), 0
    for i in range(count):
        image = Image.new("RGB", (500, 375))
        for x in 0, 224, 448:
            for y in 0, 224:
                image.paste(Image.open(rng.choice(files)).convert("RGB").resize((224, 224)), (x, y))
        path = to / "train" / "ab"[i % 2] / f"{i:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=95, subsampling=2)
        size += path.stat().st_size
    return size // count


def peer(pipeline, folder, aa, seconds):
    """One measurement, in a process of its own."""
    import time

    import torch
    from PIL import Image
    from torchvision.io import ImageReadMode, decode_image, read_file
    from torchvision.transforms import v2

    torch.set_num_threads(1)
    policy = [v2.AutoAugment(v2.AutoAugmentPolicy.IMAGENET)] if aa else []
    geometry = [
        v2.RandomResizedCrop(224, interpolation=v2.InterpolationMode.BICUBIC, antialias=True),
        v2.RandomHorizontalFlip(),
        *policy,
    ]
    tail = [
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
    if pipeline == "PIL":
        transform = v2.Compose(geometry + [v2.ToImage()] + tail)
        load = lambda p: Image.open(p).convert("RGB")
    else:
        transform = v2.Compose(geometry + tail)
        load = lambda p: decode_image(read_file(p), ImageReadMode.RGB)
    files = sorted(str(p) for p in pathlib.Path(folder).glob("train/*/*"))
    batch = torch.empty(20, 3, 224, 224)
    done, start = 0, None
    while True:
        for i, path in enumerate(files):
            batch[i % 20] = transform(load(path))
            done += 1
        now = time.perf_counter()
        if start is None:  # the first pass fills the caches
            done, start = 0, now
        elif now - start > seconds:
            return done / (now - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos")
    parser.add_argument("--effnet", default="bin/effnet")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--peer", choices=PIPELINES, help=argparse.SUPPRESS)
    parser.add_argument("--aa", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        print(peer(args.peer, args.photos, args.aa, args.seconds))
        return
    with tempfile.TemporaryDirectory() as folder:
        bench(args, pathlib.Path(folder))


def bench(args, folder):
    size = mosaics(args.photos, folder / "photos", 120)
    pack = folder / "raw.pack"
    subprocess.run(
        [args.effnet, "data", "pack", folder / "photos", pack, "--raw", "--crop", "--size", "224", "-q"],
        check=True, stdout=subprocess.DEVNULL)

    def effnet(source, *flags):
        command = [args.effnet, "data", "bench", source, "--json", "-j", "1", "-b", "20", "--img-size", "224",
                   "--seconds", str(args.seconds), *flags]
        out = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | {"GOMAXPROCS": "1"})
        return json.loads(out.stdout)["images_per_sec"]

    def other(pipeline, aa):
        command = [sys.executable, __file__, folder / "photos", "--peer", pipeline, "--seconds", str(args.seconds)]
        out = subprocess.run(command + ["--aa"] * aa, check=True, capture_output=True, text=True)
        return float(out.stdout)

    contenders = {
        ("crop, flip", "effnet"): lambda: effnet(folder / "photos"),
        ("crop, flip", "PIL"): lambda: other("PIL", False),
        ("crop, flip", "tensors"): lambda: other("tensors", False),
        ("aa", "effnet"): lambda: effnet(folder / "photos", "--aa", "v0"),
        ("aa", "PIL"): lambda: other("PIL", True),
        ("aa", "tensors"): lambda: other("tensors", True),
        ("raw pack", "effnet"): lambda: effnet(pack, "--scale", "1,1", "--ratio", "1,1"),
    }
    results = {key: [] for key in contenders}
    for n in range(args.rounds):
        for key, run in contenders.items():
            print(f"round {n + 1}/{args.rounds}: {', '.join(key)}", file=sys.stderr)
            results[key].append(run())
    print(f"{args.rounds} rounds, one core; JPEGs of {size} bytes\n")
    print("| work | program | images/s | least to most | effnet is |\n|---|---|---|---|---|")
    for (work, program), values in results.items():
        ours = statistics.median(results[work, "effnet"])
        ratio = "" if program == "effnet" else f"{ours / statistics.median(values):.2f}x"
        print(f"| {work} | {program} | {statistics.median(values):.0f} | {min(values):.0f} to {max(values):.0f} | {ratio} |")


if __name__ == "__main__":
    main()
