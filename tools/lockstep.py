#!/usr/bin/env python3
"""Takes the steps that tools/lockstep wrote with PyTorch, and compares.

    pip install torch torchvision timm safetensors
    go run ./tools/lockstep DIR OUT
    python3 tools/lockstep.py OUT

timm's tf_efficientnet_b0 begins with effnet's weights and gets effnet's batches; the
network, the optimizer, the schedule and the step are those of tools/train_timm.py. It
trains in float64, which is what the others are compared with, in float32, and in float64
from nudged weights, each off by 2^-24 of itself: half of what float32 can tell apart. The
first table says how far effnet, float32 and the nudged run are from float64, and effnet
from float32, whose weights are rounded alike:

    loss       of the batch                gradient   its length, before it is clipped
    weights    all of them                 means, variances   the running ones
    ema        the average's weights

A difference of vectors is the length of their difference, and all are divided by the
value that they are from. The second table compares the logits of evaluation after the
last step, also those that float64 and float32 make of effnet's weights. Exits with 1 if
effnet's learning rates are not the script's, or if effnet is --times as far from float64
as the others: after a step as float32 and the nudged run were until then, in evaluation
as float32 with the same weights.
"""

import argparse
import copy
import json
import pathlib
import sys

import safetensors.torch
import torch
import train_timm

SHOWN = [1, 2, 3, 5, 10, 20, 37, 50, 74, 111, 148]
WHAT = ["loss", "gradient", "weights", "means", "variances", "ema"]


class Run:
    """timm's network in training."""

    def __init__(self, args, start, dtype, nudge=0.0):
        self.args, self.dtype = args, dtype
        self.net = train_timm.network(args, len(start["classifier.bias"]))
        self.net.drop_rate = 0.0
        self.net.load_state_dict(start, strict=True)
        self.net.to(dtype)
        random = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for p in self.net.parameters():
                p *= 1 + nudge * (2 * torch.randint(0, 2, p.shape, generator=random, dtype=dtype) - 1)
        self.ema = copy.deepcopy(self.net)
        self.optimizer = train_timm.optimizer_of(args, self.net)

    def step(self, batch, step, lr):
        """What a step, from 0, leaves behind."""
        self.net.train()
        images = batch["images"].permute(0, 3, 1, 2).to(self.dtype)
        loss, gradient = train_timm.train_step(self.args, self.net, self.ema, self.optimizer, images, batch["labels"].long(), step, lr)
        return seen(loss, gradient, self.net.state_dict(), self.ema.state_dict())

    def logits(self, images):
        """Of the network and of its average."""
        images = images.permute(0, 3, 1, 2).to(self.dtype, memory_format=torch.channels_last)
        with torch.no_grad():
            return {name: torch.cat([net.eval()(x) for x in images.split(50)]).double() for name, net in (("weights", self.net), ("ema", self.ema))}


def seen(loss, gradient, state, ema):
    """What is compared after a step, as vectors in float64."""
    of = lambda state, end: torch.cat([v.double().flatten() for k, v in state.items() if k.endswith(end)])
    scalar = lambda v: torch.tensor([v], dtype=torch.float64)
    weights = (".weight", ".bias")
    return dict(zip(WHAT, [scalar(loss), scalar(gradient), of(state, weights), of(state, "running_mean"), of(state, "running_var"), of(ema, weights)]))


def effnet(out, lines):
    """What each of effnet's steps left behind."""
    before = 0.0
    for k, line in enumerate(lines, 1):
        in_epoch = sum(l["epoch"] == line["epoch"] for l in lines[:k])
        total = line["loss"] * in_epoch  # the file has the mean of the epoch so far
        loss = total - (before if in_epoch > 1 else 0)
        before = total
        state, ema = (safetensors.torch.load_file(out / f"{name}-{k}.safetensors") for name in ("weights", "ema"))
        yield seen(loss, line["gradient_norm"], state, ema)


def difference(x, y):
    return ((x - y).norm() / y.norm()).item()


def head(title, columns):
    print(f"\n{title}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)


def row(*values):
    print(f"| {' | '.join(v if isinstance(v, str) else f'{v:.1e}' for v in values)} |", flush=True)


def compare_logits(out, runs, last, trained, times):
    """Of evaluation after the last step, to which runs may be trained. Returns what is wrong with effnet's."""
    evaluation = safetensors.torch.load_file(out / "eval.safetensors")
    logits = {name: run.logits(evaluation["images"]) for name, run in runs.items()}
    logits["effnet"] = {name: evaluation[f"{name}.logits"].double() for name in ("weights", "ema")}
    for dtype in ("float64", "float32"):
        run = runs[dtype]
        for name, net in (("weights", run.net), ("ema", run.ema)):
            net.load_state_dict(safetensors.torch.load_file(out / f"{name}-{last}.safetensors"), strict=True)
        logits[f"{dtype} of effnet's weights"] = run.logits(evaluation["images"])
    pairs = [("effnet", "float64 of effnet's weights"), ("float32 of effnet's weights", "float64 of effnet's weights")]
    if trained:
        pairs += [("effnet", "float64"), ("float32", "float64"), ("nudged", "float64")]
    head("Logits of evaluation:", ["network", "", "from", "difference", "largest, of the largest logit", "same class"])
    failed = []
    for which in ("weights", "ema"):
        far = {}
        for name, other in pairs:
            got, want = logits[name][which], logits[other][which]
            far[name, other] = difference(got, want)
            agree = (got.argmax(1) == want.argmax(1)).sum().item()
            row(which, name, other, far[name, other], ((got - want).abs().max() / want.abs().max()).item(), f"{agree} of {len(want)}")
        ours, theirs, *_ = far.values()
        if not ours <= times * theirs:
            failed.append(f"evaluation of {which}: logits of effnet differ by {ours:.1e} and those of float32 by {theirs:.1e}")
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--steps", type=int, help="train only so many")
    parser.add_argument("--times", type=float, default=4, help="how much farther than the others effnet may be from float64")
    given = parser.parse_args()
    torch.set_num_threads(1)  # float64's convolutions are thousands of small ones, and two threads wait for each other
    args = argparse.Namespace(**train_timm.SMALL | {"epochs": 40, "finetune": None, "drop_path": 0})
    lines = [json.loads(line) for line in open(given.out / "run" / "metrics.jsonl")]
    lines = [line for line in lines if line["kind"] == "step"]
    per_epoch = sum(line["epoch"] == 1 for line in lines)
    last = len(lines)
    lines = lines[: given.steps]

    start = safetensors.torch.load_file(given.out / "weights-0.safetensors")
    runs = {
        "float64": Run(args, start, torch.float64),
        "float32": Run(args, start, torch.float32),
        "nudged": Run(args, start, torch.float64, nudge=2**-24),
    }
    failed, most, rates = [], dict.fromkeys(WHAT, 0.0), 0.0
    head("Differences from float64 after each step:", ["step", "", *WHAT])
    for k, (line, ours) in enumerate(zip(lines, effnet(given.out, lines)), 1):
        lr = train_timm.learning_rate(args, k - 1, per_epoch)
        rates = max(rates, abs(line["lr"] - lr) / args.lr)
        batch = safetensors.torch.load_file(given.out / f"batch-{k}.safetensors")
        after = {name: run.step(batch, k - 1, lr) for name, run in runs.items()} | {"effnet": ours}
        want = after["float64"]
        far = {name: {w: difference(after[name][w], want[w]) for w in WHAT} for name in ("effnet", "float32", "nudged")}
        for w in WHAT:
            most[w] = max(most[w], far["float32"][w], far["nudged"][w])
            if not far["effnet"][w] <= given.times * most[w]:  # nor NaN
                failed.append(f"step {k}: {w} of effnet differs by {far['effnet'][w]:.1e}, and of the others by at most {most[w]:.1e}")
        if k in SHOWN or k == len(lines):
            for name in far:
                row(str(k), name, *far[name].values())
            row(str(k), "effnet from float32", *(difference(ours[w], after["float32"][w]) for w in WHAT))
        print(f"step {k}  loss {want['loss'].item():.4f}  weights of effnet {far['effnet']['weights']:.1e}, of float32 {far['float32']['weights']:.1e}", file=sys.stderr)
    failed += compare_logits(given.out, runs, last, len(lines) == last, given.times)
    print(f"\nLearning rates differ by at most {rates:.1e} of the peak.")
    if rates > 1e-12:
        failed.append("learning rates differ")
    print("\n" + "\n".join(failed or ["OK"]), flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
