#!/usr/bin/env python3
"""Trains timm's networks by effnet's recipes, for docs/results.md to compare with.

    pip install torch torchvision timm safetensors pillow
    python3 tools/train_timm.py DIR --seed 1                  # one training
    python3 tools/train_timm.py DIR --compare bin/effnet      # three seeds of each, in turn, and a table
    python3 tools/train_timm.py DIR --compare bin/effnet --finetune WEIGHTS [--shots 16]

DIR is a folder as effnet takes it. The recipe is what `effnet train DIR --config
configs/small.yaml` does: random resized crop and flip, RMSpropTF
with L2 in the gradient on all but batch normalisation, linear warm-up and cosine by the
step, the gradient clipped by its norm, label smoothing, dropout, stochastic depth, EMA
with the reference's warm-up over weights and running statistics, evaluated after each
epoch. With --finetune it is what `effnet finetune WEIGHTS DIR --epochs 3` does: WEIGHTS, a
checkpoint of effnet (see effnet import), AdamW, a classifier that begins with zeros and
has its own learning rate. One line an epoch on stderr, one JSON object on stdout.
"""

import argparse
import copy
import functools
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
import time

import safetensors.torch
import timm
import torch
import torch.nn.functional as F
from timm.optim import RMSpropTF
from torchvision import datasets, transforms
from torchvision.datasets import ImageFolder

IMAGENET = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "interpolation": "bicubic"}


def metadata(path):
    """What a checkpoint of effnet says of itself."""
    with safetensors.safe_open(path, "pt") as f:
        return json.loads(f.metadata()["effnet"])


def few(data, shots, seed):
    """shots images of each class."""
    chosen = []
    for c in range(len(data.classes)):
        of = [i for i, t in enumerate(data.targets) if t == c]
        chosen += random.Random(seed).sample(of, shots)
    return torch.utils.data.Subset(data, sorted(chosen))


@functools.cache
def read(path):
    """An image, decoded once for all epochs: the processes that read share it."""
    return datasets.folder.pil_loader(path)


def loaders(args):
    prep = metadata(args.finetune)["preprocess"] if args.finetune else IMAGENET
    mode = transforms.InterpolationMode(prep["interpolation"])
    tail = [transforms.ToTensor(), transforms.Normalize([v / 255 for v in prep["mean"]], [v / 255 for v in prep["std"]])]
    train = ImageFolder(f"{args.dir}/train", transforms.Compose(
        [transforms.RandomResizedCrop(args.img_size, (args.scale, 1), interpolation=mode), transforms.RandomHorizontalFlip(), *tail]), loader=read)
    padding = round(args.img_size * (1 / 0.875 - 1))

    def center(image):  # tensorflow/tpu, preprocessing.py, _decode_and_center_crop
        side = int(args.img_size / (args.img_size + padding) * min(image.size))
        x, y = (image.width - side + 1) // 2, (image.height - side + 1) // 2
        return image.crop((x, y, x + side, y + side)).resize((args.img_size, args.img_size), {"bilinear": 2, "bicubic": 3}[prep["interpolation"]])

    val = ImageFolder(f"{args.dir}/val", transforms.Compose([center, *tail]), loader=read)
    assert train.classes == val.classes
    for path, _ in train.samples + val.samples:
        read(path)
    classes = len(train.classes)
    if args.shots:
        train = few(train, args.shots, args.seed)
    make = lambda s, **k: torch.utils.data.DataLoader(s, args.batch_size, num_workers=args.workers, persistent_workers=args.workers > 0, **k)
    random_of = lambda seed: torch.Generator().manual_seed(seed)
    order = torch.utils.data.RandomSampler(train, generator=random_of(args.order))
    return make(train, sampler=order, drop_last=True, generator=random_of(1000 + args.crops)), make(val, generator=random_of(0)), classes


def network(args, classes):
    name = "tf_efficientnet_" + (metadata(args.finetune)["arch"]["name"] if args.finetune else "b0")
    net = timm.create_model(name, num_classes=classes, drop_rate=0.2, drop_path_rate=args.drop_path)
    if args.finetune:
        weights = safetensors.torch.load_file(args.finetune)
        net.load_state_dict({k: v for k, v in weights.items() if not k.startswith("classifier")}, strict=False)
        torch.nn.init.zeros_(net.classifier.weight)
        torch.nn.init.zeros_(net.classifier.bias)
    for m in net.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.momentum = args.bn_momentum
    return net.to(memory_format=torch.channels_last)


def optimizer_of(args, net):
    """Groups: what decays, batch normalisation, and with --finetune the classifier; scale is of the learning rate."""
    is_norm = lambda n: ".bn" in n or n.startswith("bn")
    is_head = lambda n: args.finetune and n.startswith("classifier")
    group = lambda has, decay, scale: {"params": [p for n, p in net.named_parameters() if has(n)], "weight_decay": decay, "scale": scale}
    groups = [group(lambda n: not is_norm(n) and not is_head(n), args.weight_decay, 1), group(is_norm, 0, 1)]
    if not args.finetune:
        return RMSpropTF(groups, lr=args.lr, alpha=0.9, eps=1e-3, momentum=0.9)
    return torch.optim.AdamW([*groups, group(is_head, args.weight_decay, args.head_lr)], lr=args.lr)


def learning_rate(args, step, per_epoch):
    """Of a step, from 0, where an epoch has per_epoch of them."""
    total, warmup = args.epochs * per_epoch, args.warmup_epochs * per_epoch
    return args.lr * (step / warmup if step < warmup else (1 + math.cos(math.pi * step / total)) / 2)


def train_step(args, net, ema, optimizer, images, labels, step, lr):
    """Does a step, from 0, and returns the loss and the gradient's length before it is clipped."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["scale"]
    loss = F.cross_entropy(net(images.to(memory_format=torch.channels_last)), labels, label_smoothing=0.1)
    optimizer.zero_grad()
    loss.backward()
    length = torch.nn.utils.clip_grad_norm_(net.parameters(), args.clip_grad)
    optimizer.step()
    decay = min(args.ema_decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for e, v in zip(ema.state_dict().values(), net.state_dict().values()):
            e.copy_(v) if not e.is_floating_point() else e.lerp_(v, 1 - decay)
    return loss.item(), length.item()


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
            if args.finetune:
                command = [args.compare, "finetune", args.finetune, args.dir, "--epochs", str(args.epochs), "--shots", str(args.shots)]
            else:
                command = [args.compare, "train", args.dir, "--config", "configs/small.yaml"]
            command += ["--seed", str(seed), "--out", out + "/run", "--json", "-q"]
            result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            last = result["epochs"][-1]
            rows["effnet"].append((last["val_top1"], last["ema_top1"], time.time() - start))
        start = time.time()
        command = [sys.executable, __file__, args.dir, "--seed", str(seed)]
        if args.finetune:
            command += ["--finetune", args.finetune, "--epochs", str(args.epochs), "--shots", str(args.shots)]
        result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        rows["timm"].append((result["top1"], result["top1_ema"], time.time() - start))
        print(seed, {name: values[-1] for name, values in rows.items()}, file=sys.stderr)
    print("| program | top-1 of each seed | mean | EMA of each seed | mean | wall time, s |\n|---|---|---|---|---|---|")
    for name, values in rows.items():
        raw, ema, seconds = zip(*values)
        show = lambda v: ", ".join(f"{100 * x:.1f}" for x in v)
        print(f"| {name} | {show(raw)} | {100 * statistics.mean(raw):.1f} | {show(ema)} | {100 * statistics.mean(ema):.1f} | {', '.join(f'{s:.0f}' for s in seconds)} |")


# The settings of configs/small.yaml and configs/finetune.yaml.
SMALL = dict(img_size=64, batch_size=32, lr=0.001, warmup_epochs=5, scale=0.35, drop_path=0.1, bn_momentum=0.1, weight_decay=1e-5, clip_grad=5, ema_decay=0.99)
FINETUNE = dict(img_size=224, batch_size=16, lr=0.00003, head_lr=100, warmup_epochs=0.3, scale=0.7, drop_path=0, bn_momentum=0.01, weight_decay=0.05,
                clip_grad=5, ema_decay=0.99)


# What is drawn: the first weights, the order of images, crops and flips, dropout and
# stochastic depth.
SOURCES = ["weights", "order", "crops", "drops"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dir")
    parser.add_argument("--finetune", metavar="WEIGHTS", help="train this checkpoint of effnet")
    parser.add_argument("--shots", type=int, default=0, help="train on N images of each class")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=42)
    for source in SOURCES:
        parser.add_argument(f"--{source}", type=int, metavar="SEED", help="of this source of chance alone (default: --seed)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2, help="processes that read images")
    parser.add_argument("--compare", metavar="EFFNET", help="train with this program too")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    args = parser.parse_args()
    vars(args).update(FINETUNE if args.finetune else SMALL, epochs=args.epochs or (3 if args.finetune else 40))
    if args.compare:
        compare(args)
        return
    for source in SOURCES:
        if getattr(args, source) is None:
            setattr(args, source, args.seed)
    torch.manual_seed(args.weights)
    torch.set_num_threads(args.threads)
    train, val, classes = loaders(args)
    net = network(args, classes)
    torch.manual_seed(5000 + args.drops)
    ema = copy.deepcopy(net)
    optimizer = optimizer_of(args, net)
    step = 0
    best = best_ema = 0
    start = time.time()
    for epoch in range(args.epochs):
        net.train()
        for images, labels in train:
            loss, _ = train_step(args, net, ema, optimizer, images, labels, step, learning_rate(args, step, len(train)))
            step += 1
        top1, top1_ema = evaluate(net, val), evaluate(ema, val)
        best, best_ema = max(best, top1), max(best_ema, top1_ema)
        print(f"epoch {epoch + 1}  loss {loss:.4f}  top-1 {top1:.4f}  EMA {top1_ema:.4f}  {time.time() - start:.0f} s", file=sys.stderr)
    print(json.dumps({"seed": args.seed, "top1": top1, "top1_ema": top1_ema, "best": best, "best_ema": best_ema, "seconds": time.time() - start}))


if __name__ == "__main__":
    main()
