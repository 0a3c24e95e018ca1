"""Writes what PyTorch's and timm's optimizers make of 40 weights in 200 steps, and a
running average of them, for the tests of internal/optim to equal; and timm's layer-wise
learning rates for internal/train's.

    python tools/golden/optim.py internal

Needs numpy, torch and timm. Everything is float64.
"""
import json
import sys

import numpy as np
import timm
import torch
from timm.optim import RMSpropTF, param_groups_layer_decay
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3

N, DECAYED, STEPS = 40, 25, 200
I = np.arange(N)
GROUPS = [{"From": 5, "N": 20, "Decay": True, "Scale": 0.25}, {"From": 25, "N": 10, "Decay": False, "Scale": 0.25},
          {"From": 35, "N": 5, "Decay": False, "Scale": 3.0}]  # the first five are frozen
WHOLE = [{"From": 0, "N": DECAYED, "Decay": True, "Scale": 1.0}, {"From": DECAYED, "N": N - DECAYED, "Decay": False, "Scale": 1.0}]


def gradient(t):
    return np.sin(0.37 * I + 0.11 * t * (1 + I % 5)) * (1 + I % 3)


def run(make, clip=0.0, micro=1, groups=WHOLE):
    of = lambda values, g: torch.tensor(values[g["From"] : g["From"] + g["N"]])
    weights = [torch.nn.Parameter(of(np.cos(I), g)) for g in groups]
    frozen = torch.tensor(np.cos(I[: groups[0]["From"]]))
    optimizer = make([{"params": [w], "weight_decay": 0.02 * g["Decay"], "scale": g["Scale"]} for w, g in zip(weights, groups)])
    norms, snapshots = [], []
    for t in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = group["scale"] * 0.01 / (1 + t / 50)
        g = np.mean([gradient(micro * t + k) for k in range(micro)], axis=0)
        for w, group in zip(weights, groups):
            w.grad = of(g, group)
        if clip:
            norms.append(torch.nn.utils.clip_grad_norm_(weights, clip).item())
        optimizer.step()
        if t in (0, 1, 9, 49, STEPS - 1):
            snapshots.append(torch.cat([frozen, *weights]).tolist())
    return {"weights": snapshots, "norms": norms[:3]}


CASES = {
    "rmsprop": (dict(rule="rmsprop"), lambda p: RMSpropTF(p, lr=0, alpha=0.9, eps=1e-3, momentum=0.9)),
    "rmsprop decoupled": (dict(rule="rmsprop", decoupled=True),
                          lambda p: RMSpropTF(p, lr=0, alpha=0.9, eps=1e-3, momentum=0.9, decoupled_decay=True)),
    "sgd": (dict(rule="sgd"), lambda p: torch.optim.SGD(p, lr=0, momentum=0.9)),
    "adam": (dict(rule="adam"), lambda p: torch.optim.Adam(p, lr=0, betas=(0.9, 0.99), eps=1e-3)),
    "adamw": (dict(rule="adam", decoupled=True), lambda p: torch.optim.AdamW(p, lr=0, betas=(0.9, 0.99), eps=1e-3)),
    "adam, PyTorch's constants": (dict(rule="adam", beta2=0.999, eps=1e-8), lambda p: torch.optim.Adam(p, lr=0)),
    "clipped": (dict(rule="sgd", clip=3.0), lambda p: torch.optim.SGD(p, lr=0, momentum=0.9)),
    # As fine-tuning has it: frozen weights, and groups with a share of the learning rate.
    "groups": (dict(rule="adam", decoupled=True, clip=3.0, groups=GROUPS), lambda p: torch.optim.AdamW(p, lr=0, betas=(0.9, 0.99), eps=1e-3)),
    "three micro-batches": (dict(rule="sgd", micro=3), lambda p: torch.optim.SGD(p, lr=0, momentum=0.9)),
}


def average():
    """timm's ModelEmaV3 of a weight that follows the gradient, decay 0.99 with the reference's warm-up."""
    model = torch.nn.Linear(N, 1, bias=False).double()
    model.weight.data[0] = torch.tensor(np.cos(I))
    ema = ModelEmaV3(model, decay=0.99)
    for t in range(STEPS):
        model.weight.data[0] = torch.tensor(gradient(t))
        ema.decay = min(0.99, (1 + t) / (10 + t))  # tf.train.ExponentialMovingAverage(num_updates=t)
        ema.update(model)
    return ema.module.weight[0].tolist()


def cosine():
    """timm's CosineLRScheduler by the step: 1000 steps to 0.001 from 0.1, warm-up of 100 from 0.01."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    schedule = CosineLRScheduler(optimizer, t_initial=1000, lr_min=0.001, warmup_t=100, warmup_lr_init=0.01, t_in_epochs=False)
    rates = []
    for t in range(1000):
        schedule.step_update(t)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates[::50]


def layer_decay():
    """timm's share of the learning rate of each of two networks' parameters, at a decay of 0.8 a layer."""
    return {"b0": decayed("tf_efficientnet_b0"), "mobilenetv3-small": decayed("mobilenetv3_small_100")}


def decayed(model):
    net = timm.create_model(model)
    names = {id(p): n for n, p in net.named_parameters()}
    groups = param_groups_layer_decay(net, layer_decay=0.8)
    return {names[id(p)]: g["lr_scale"] for g in groups for p in g["params"]}


def main(internal):
    with open(internal + "/train/testdata/layer_decay.json", "w") as f:
        json.dump(layer_decay(), f, indent=0)
        f.write("\n")
    cases = []
    for name, (options, make) in CASES.items():
        keys = {k: options[k] for k in ("clip", "micro", "groups") if k in options}
        cases.append({"name": name} | options | run(make, **keys))
    with open(internal + "/optim/testdata/golden.json", "w") as f:
        json.dump({"torch": torch.__version__, "timm": timm.__version__, "cases": cases, "ema": average(), "cosine": cosine()}, f)
        f.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
