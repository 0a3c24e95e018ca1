#!/usr/bin/env python3
"""Trains timm's tf_efficientnet_b0 by the recipe of configs/small.yaml, for docs/results.md
to compare with.

    pip install torch torchvision timm pillow
    python3 tools/train_timm.py DIR --seed 1                  # one training
    python3 tools/train_timm.py DIR --compare bin/effnet      # three seeds of each, in turn, and a table

DIR is a folder as effnet takes it. The recipe is what `effnet train DIR --config
configs/small.yaml` does: random resized crop and flip with Pillow's bicubic, RMSpropTF
with L2 in the gradient on all but batch normalisation, linear warm-up and cosine by the
step, the gradient clipped by its norm, label smoothing, dropout, stochastic depth, EMA with the reference's warm-up over
weights and running statistics, evaluated after each epoch. One line an epoch on stderr,
one JSON object on stdout.
"""

import argparse
import copy
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time

import timm
import torch
import torch.nn.functional as F
from timm.optim import RMSpropTF
from torchvision import transforms
from torchvision.datasets import ImageFolder

MEAN, STD = [123.675 / 255, 116.28 / 255, 103.53 / 255], [58.395 / 255, 57.12 / 255, 57.375 / 255]


def loaders(args):
    bicubic = transforms.InterpolationMode.BICUBIC
    tail = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    train = ImageFolder(f"{args.dir}/train", transforms.Compose(
        [transforms.RandomResizedCrop(args.img_size, (args.scale, 1), interpolation=bicubic), transforms.RandomHorizontalFlip(), *tail]))
    padding = round(args.img_size * (1 / 0.875 - 1))

    def center(image):  # tensorflow/tpu, preprocessing.py, _decode_and_center_crop
        side = int(args.img_size / (args.img_size + padding) * min(image.size))
        x, y = (image.width - side + 1) // 2, (image.height - side + 1) // 2
        return image.crop((x, y, x + side, y + side)).resize((args.img_size, args.img_size), 3)

    val = ImageFolder(f"{args.dir}/val", transforms.Compose([center, *tail]))
    assert train.classes == val.classes
    make = lambda s, **k: torch.utils.data.DataLoader(s, args.batch_size, num_workers=args.workers, persistent_workers=args.workers > 0, **k)
    return make(train, shuffle=True, drop_last=True), make(val)


def network(args, classes):
    net = timm.create_model("tf_efficientnet_b0", num_classes=classes, drop_rate=0.2, drop_path_rate=args.drop_path)
    for m in net.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.momentum = args.bn_momentum
    return net.to(memory_format=torch.channels_last)


def evaluate(net, batches):
    net.eval()
    right = count = 0
    with torch.no_grad():
        for images, labels in batches:
            right += (net(images.to(memory_format=torch.channels_last)).argmax(1) == labels).sum().item()
            count += len(labels)
    return right / count


def compare(args):
    """Trains each seed with effnet and here, in turn, and prints a table of the last epochs."""
    rows = {"effnet": [], "timm": []}
    for seed in args.seeds:
        with tempfile.TemporaryDirectory() as out:
            start = time.time()
            command = [args.compare, "train", args.dir, "--config", "configs/small.yaml", "--seed", str(seed), "--out", out + "/run", "--json", "-q"]
            result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            last = result["epochs"][-1]
            rows["effnet"].append((last["val_top1"], last["ema_top1"], time.time() - start))
        start = time.time()
        command = [sys.executable, __file__, args.dir, "--seed", str(seed)]
        result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        rows["timm"].append((result["top1"], result["top1_ema"], time.time() - start))
        print(seed, {name: values[-1] for name, values in rows.items()}, file=sys.stderr)
    print("| program | top-1 of each seed | mean | EMA of each seed | mean | wall time, s |\n|---|---|---|---|---|---|")
    for name, values in rows.items():
        raw, ema, seconds = zip(*values)
        show = lambda v: ", ".join(f"{100 * x:.1f}" for x in v)
        print(f"| {name} | {show(raw)} | {100 * statistics.mean(raw):.1f} | {show(ema)} | {100 * statistics.mean(ema):.1f} | {', '.join(f'{s:.0f}' for s in seconds)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dir")
    parser.add_argument("--img-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=0.001)
    parser.add_argument("--warmup-epochs", type=float, default=5)
    parser.add_argument("--scale", type=float, default=0.35)
    parser.add_argument("--drop-path", type=float, default=0.1)
    parser.add_argument("--bn-momentum", type=float, default=0.1)
    parser.add_argument("--weight-decay", type=float, default=1e-5)
    parser.add_argument("--clip-grad", type=float, default=5)
    parser.add_argument("--ema-decay", type=float, default=0.99)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2, help="processes that read images")
    parser.add_argument("--compare", metavar="EFFNET", help="train with this program too")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    args = parser.parse_args()
    if args.compare:
        compare(args)
        return
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    train, val = loaders(args)
    net = network(args, len(train.dataset.classes))
    ema = copy.deepcopy(net)
    decayed = [p for n, p in net.named_parameters() if ".bn" not in n and not n.startswith("bn")]
    others = [p for n, p in net.named_parameters() if ".bn" in n or n.startswith("bn")]
    optimizer = RMSpropTF([{"params": decayed, "weight_decay": args.weight_decay}, {"params": others, "weight_decay": 0}],
                          lr=args.lr, alpha=0.9, eps=1e-3, momentum=0.9)
    total, warmup, step = args.epochs * len(train), args.warmup_epochs * len(train), 0
    best = best_ema = 0
    start = time.time()
    for epoch in range(args.epochs):
        net.train()
        for images, labels in train:
            lr = args.lr * (step / warmup if step < warmup else (1 + math.cos(math.pi * step / total)) / 2)
            for group in optimizer.param_groups:
                group["lr"] = lr
            loss = F.cross_entropy(net(images.to(memory_format=torch.channels_last)), labels, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), args.clip_grad)
            optimizer.step()
            decay = min(args.ema_decay, (1 + step) / (10 + step))
            with torch.no_grad():
                for e, v in zip(ema.state_dict().values(), net.state_dict().values()):
                    e.copy_(v) if not e.is_floating_point() else e.lerp_(v, 1 - decay)
            step += 1
        top1, top1_ema = evaluate(net, val), evaluate(ema, val)
        best, best_ema = max(best, top1), max(best_ema, top1_ema)
        print(f"epoch {epoch + 1}  loss {loss.item():.4f}  top-1 {top1:.4f}  EMA {top1_ema:.4f}  {time.time() - start:.0f} s", file=sys.stderr)
    print(json.dumps({"seed": args.seed, "top1": top1, "top1_ema": top1_ema, "best": best, "best_ema": best_ema, "seconds": time.time() - start}))


if __name__ == "__main__":
    main()
