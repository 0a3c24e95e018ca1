#!/usr/bin/env python3
"""Writes the oracle values that internal/model checks its networks against.

    pip install torch torchvision timm safetensors
    python3 tools/golden/network.py [--out internal/model/testdata] [CASE...]

Every value comes from PyTorch in float64, on networks that timm (SAME padding, and
the MobileNets) or torchvision (symmetric padding) built, or that are put together
here of torchvision's blocks (ResNet). Weights and images are not stored:
both sides compute them. Element i, in C order of the PyTorch layout, of the
tensor called `name` (timm's name, or "input") is

    h     = splitmix64(fnv1a64(name) + i)             # uint64, wrapping
    u     = float64(h >> 40) / 2**23 - 1              # in [-1, 1)
    value = float32(center + scale*u)                 # float64 until the cast

with center and scale by the tensor's kind:

    weight        0, sqrt(3*gain/fan_in)    convolutions and classifier; fan_in is the
                                            product of the dimensions after the first
    bias          0, 0.1                    SE and classifier
    bn_weight     1, 0.3
    bn_bias       0, 0.2
    running_mean  0, 0.2
    running_var   1, 0.3
    input         0, 1.7                    [N,H,W,3], NHWC

ReLU's derivative jumps at 0, ReLU6's at 6 too, hard-swish's and hard-sigmoid's at -3 and
3, and float32 may round a pre-activation to the wrong side: one such value of lite0's
last map changes most gradients by a per cent, in PyTorch as well. So the cases with
these move a few of the biases before them: by the least steps that leave no
pre-activation of the training pass nearer to a kink than MARGIN/n, where n is the number
of values that the channel has in the batch
(the fewer, the larger is float32's error). That is at least seven times the largest
error of PyTorch's float32 runs, at every n. CASE.json lists what was moved.

Image n has the label (7n+3) mod classes. The loss is the batch's mean
cross-entropy with label smoothing 0.1. Dropout and stochastic depth are off.

CASE.json holds

    source          what computed it
    variant         the network's name in internal/scale, whose architecture arch changes;
                    of the cases in relatives/ only
    arch            the network, as internal/scale.Arch
    batch           images
    gain            of kind weight
    labels          [batch]
    label_smoothing
    tensors         [{name, kind, shape}]: the parameters and running statistics
    moved           {bias or bn_bias: {element: value}}, instead of the formula's
    eval_logits     [batch][classes], with the running statistics above
    train_logits    [batch][classes], with the batch's statistics
    loss            of train_logits
    gradients       {parameter: probe}, of loss
    running         {running statistic: probe}, after that one training forward pass
                    (PyTorch's: the variance that enters is the unbiased one, n/(n-1))
    frozen          [{stages | body | norms, loss, gradients, running}]: the training pass with
                    those layers in evaluation mode and their parameters without gradients
    optimizers      [{name, lr, momentum, alpha, eps, weight_decay, losses, norms}]: ten
                    steps on the same batch from the same start; losses[k] is before step
                    k; norms {tensor: L2 norm} after the tenth. Weight decay is added to
                    the gradient of everything but bn_weight and bn_bias.

A probe is {norm, samples}: the L2 norm, and the elements at the flat indices
splitmix64(fnv1a64(name) + 1000003 + j) mod numel, j = 0..15, or 0 and 1 in relatives/. The tiny cases also
have CASE.safetensors (float32): "grad.NAME" and the running statistics, whole.

A shift that the next batch normalization takes away again has no gradient: those
of most projections' bn_bias are zero but for rounding. Compare gradients with an
absolute tolerance in addition to the relative one.
"""

import argparse
import copy
import functools
import itertools
import json
import math
import pathlib

import numpy as np
import safetensors.torch
import timm
import torch
import torchvision
from timm.models._efficientnet_builder import decode_arch_def
from timm.models.efficientnet import EfficientNet as TimmEfficientNet
from timm.optim import RMSpropTF
from torch import nn
from torchvision.models.efficientnet import EfficientNet as VisionEfficientNet
from torchvision.models.efficientnet import MBConvConfig
from torchvision.models.resnet import Bottleneck

GAIN = 2.4  # logits of all cases O(1), and different for different images
GAINS = [GAIN, 2, 1.6, 1.3, 1]  # of relatives the first with which they are
SMOOTHING = 0.1
STEPS = 10
SAMPLES, SAMPLE_OFFSET = 16, 1000003
INPUT_SCALE = 1.7
MARGIN = 0.08  # moves one channel in sixteen
KINKS = {nn.ReLU: [0], nn.ReLU6: [0, 6], nn.Hardswish: [-3, 3], nn.Hardsigmoid: [-3, 3]}
BIASED = {"act1": "conv_reduce", "gate": "conv_expand", "act2": "conv_head"}  # timm's activations after a layer with a bias


# The formula.


def fnv1a64(name: str) -> int:
    h = 0xCBF29CE484222325
    for b in name.encode():
        h = (h ^ b) * 0x100000001B3 % 2**64
    return h


def splitmix64(x: np.ndarray) -> np.ndarray:
    z = x + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def hashes(name: str, start: int, n: int) -> np.ndarray:
    return splitmix64(np.uint64(fnv1a64(name)) + np.arange(start, start + n, dtype=np.uint64))


def generate(name: str, shape, center: float, scale: float) -> torch.Tensor:
    u = (hashes(name, 0, math.prod(shape)) >> np.uint64(40)).astype(np.float64) / 2**23 - 1
    values = (center + scale * u).astype(np.float32).astype(np.float64)
    return torch.from_numpy(values.reshape(shape))


def kind_of(name: str, shape) -> str:
    module, leaf = name.split(".")[-2:]
    if leaf.startswith("running_"):
        return leaf
    if module.startswith("bn") or ".downsample.1." in name:
        return "bn_" + leaf
    assert leaf == ("weight" if len(shape) > 1 else "bias"), name
    return leaf


def center_scale(kind: str, shape, gain: float) -> tuple[float, float]:
    if kind == "weight":
        return 0, math.sqrt(3 * gain / math.prod(shape[1:]))
    return {
        "bias": (0, 0.1),
        "bn_weight": (1, 0.3),
        "bn_bias": (0, 0.2),
        "running_mean": (0, 0.2),
        "running_var": (1, 0.3),
    }[kind]


# The networks. A stage is (kernel, stride, expansion, channels, repeats), and the block's kind unless it is MBConv.

TINY = [(3, 1, 1, 8, 1), (3, 2, 6, 16, 2), (5, 2, 6, 24, 2), (3, 1, 4, 32, 1)]
TINY_V2 = [(3, 1, 1, 8, 2, "fused"), (3, 2, 4, 16, 2, "fused"), (3, 2, 4, 24, 2), (5, 1, 6, 32, 1)]
TINY_MOBILENETV1 = [(3, 1, 1, 16, 1, "separable"), (3, 2, 1, 24, 2, "separable"), (5, 2, 1, 40, 2, "separable")]
TINY_MOBILENETV2 = [(3, 1, 1, 8, 1), (3, 2, 6, 16, 2), (3, 2, 6, 24, 2), (3, 1, 6, 32, 1)]
TINY_RESNET = [(3, 1, 4, 32, 2, "bottleneck"), (3, 2, 4, 48, 2, "bottleneck"), (3, 2, 4, 64, 1, "bottleneck")]
B0 = [
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
]


def make_arch(name, table, stem, head, classes, resolution, padding, activation="swish"):
    se = 0.25 if activation == "swish" else 0
    block = lambda s: s[5] if len(s) > 5 else "mbconv"
    return {
        "name": name,
        "resolution": resolution,
        "stem": stem,
        "stages": [
            {
                "block": block(s),
                "kernel": s[0],
                "stride": s[1],
                "expansion": s[2],
                "channels": s[3],
                "repeats": s[4],
                "se_ratio": se if block(s) == "mbconv" else 0,
            }
            for s in table
        ],
        "head": head,
        "classes": classes,
        "activation": activation,
        "padding": padding,
        "dropout": 0,
        "stochastic_depth": 0,
        "bn_eps": 1e-3 if padding == "same" else 1e-5,
        "bn_momentum": 0.01 if padding == "same" else 0.1,
        "width": 1,
        "depth": 1,
    }


def tiny(name, resolution, padding, activation="swish", table=TINY, head=64):
    return make_arch(name, table, 8, head, 10, resolution, padding, activation)


def full(name, padding, activation="swish"):
    return make_arch(name, B0, 32, 1280, 1000, 64, padding, activation)


# Networks that are only data: name here, name in timm, activation.
RELATIVES = [
    ("mnasnet-a1", "semnasnet_100", "relu"),
    ("mnasnet-b1", "mnasnet_100", "relu"),
    ("es", "efficientnet_es", "relu"),
    ("em", "efficientnet_em", "relu"),
    ("el", "efficientnet_el", "relu"),
    ("tinynet-a", "tinynet_a", "swish"),
    ("tinynet-b", "tinynet_b", "swish"),
    ("tinynet-c", "tinynet_c", "swish"),
    ("tinynet-d", "tinynet_d", "swish"),
    ("tinynet-e", "tinynet_e", "swish"),
    ("v2-b0", "tf_efficientnetv2_b0", "swish"),
    ("v2-b3", "tf_efficientnetv2_b3", "swish"),
    ("mobilenetv3-large", "mobilenetv3_large_100", "hard-swish"),
    ("mobilenetv3-small", "mobilenetv3_small_100", "hard-swish"),
]


def relative(model, activation):
    """What a case changes of its variant."""
    same = model.startswith("tf_")
    return {
        "resolution": 64,
        "classes": 10,
        "activation": activation,
        "padding": "same" if same else "symmetric",
        "dropout": 0,
        "stochastic_depth": 0,
        "bn_eps": 1e-3 if same else 1e-5,
        "bn_momentum": 0.1,
    }


def timm_relative(model, arch):
    return timm.create_model(model, num_classes=arch["classes"], drop_rate=0, drop_path_rate=0)


def batch_norm(arch):
    return functools.partial(nn.BatchNorm2d, eps=arch["bn_eps"], momentum=arch["bn_momentum"])


def timm_tiny(arch):
    stages = []
    for s in arch["stages"]:
        one, more = {"mbconv": ("ds", "ir"), "fused": ("cn", "er"), "separable": ("dsa", None)}[s["block"]]
        block = one if s["expansion"] == 1 else more
        se = f"_se{s['se_ratio']}" if s["se_ratio"] else "_skip" if block == "cn" else ""
        stages.append(
            [f"{block}_r{s['repeats']}_k{s['kernel']}_s{s['stride']}_e{s['expansion']}_c{s['channels']}{se}"]
        )
    return TimmEfficientNet(
        decode_arch_def(stages),
        num_classes=arch["classes"],
        num_features=arch["head"],
        stem_size=arch["stem"],
        pad_type="same" if arch["padding"] == "same" else "",
        act_layer={"swish": nn.SiLU, "relu6": nn.ReLU6}[arch["activation"]],
        norm_layer=batch_norm(arch),
    )


def timm_full(model, arch):
    return timm.create_model(model, drop_rate=0, drop_path_rate=0, bn_momentum=arch["bn_momentum"])


def vision(arch):
    ins = [arch["stem"]] + [s["channels"] for s in arch["stages"]]
    return VisionEfficientNet(
        [
            MBConvConfig(s["expansion"], s["kernel"], s["stride"], c, s["channels"], s["repeats"])
            for s, c in zip(arch["stages"], ins)
        ],
        dropout=0,
        stochastic_depth_prob=0,
        num_classes=arch["classes"],
        norm_layer=batch_norm(arch),
        last_channel=arch["head"],
    )


class ResNet(nn.Module):
    """torchvision's Bottleneck blocks, by this project's names."""

    def __init__(self, arch):
        super().__init__()
        norm, channels = batch_norm(arch), arch["stem"]
        side = arch["stem_kernel"]
        self.conv_stem = nn.Conv2d(3, channels, side, 2, side // 2, bias=False)
        self.bn1 = norm(channels)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(3, 2, 1)
        stages = []
        for s in arch["stages"]:
            assert s["expansion"] == Bottleneck.expansion
            blocks = []
            for stride in [s["stride"]] + [1] * (s["repeats"] - 1):
                downsample = None
                if stride != 1 or channels != s["channels"]:
                    conv = nn.Conv2d(channels, s["channels"], 1, stride, bias=False)
                    downsample = nn.Sequential(conv, norm(s["channels"]))
                blocks.append(Bottleneck(channels, s["channels"] // 4, stride, downsample, norm_layer=norm))
                channels = s["channels"]
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.classifier = nn.Linear(channels, arch["classes"])

    def forward(self, x):
        x = self.blocks(self.pool(self.relu(self.bn1(self.conv_stem(x)))))
        return self.classifier(x.mean((2, 3)))


CASES = {
    "tiny_same": (tiny("tiny_same", 33, "same"), timm_tiny),
    "tiny_symmetric": (tiny("tiny_symmetric", 32, "symmetric"), vision),
    "tiny_lite": (tiny("tiny_lite", 32, "same", "relu6"), timm_tiny),
    "tiny_v2": (tiny("tiny_v2", 33, "same", table=TINY_V2), timm_tiny),
    "tiny_mobilenetv1": (
        tiny("tiny_mobilenetv1", 33, "symmetric", "relu6", TINY_MOBILENETV1, head=0),
        timm_tiny,
    ),
    "tiny_mobilenetv2": (tiny("tiny_mobilenetv2", 32, "symmetric", "relu6", TINY_MOBILENETV2), timm_tiny),
    "tiny_resnet": (
        tiny("tiny_resnet", 63, "symmetric", "relu", TINY_RESNET, head=0) | {"stem_kernel": 7, "stem_pool": True},
        ResNet,
    ),
    "b0_symmetric": (full("b0_symmetric", "symmetric"), vision),
    "b0_same": (full("b0_same", "same"), functools.partial(timm_full, "tf_efficientnet_b0")),
    "lite0_same": (full("lite0_same", "same", "relu6"), functools.partial(timm_full, "tf_efficientnet_lite0")),
}

CASES |= {
    f"relatives/{name}": (relative(model, activation), functools.partial(timm_relative, model))
    for name, model, activation in RELATIVES
}


# What fine-tuning may leave as it is: the stem and some stages, all but the classifier, the normalisations.
FROZEN = [{"stages": 2}, {"body": True}, {"norms": True}]
FROZEN_CASES = ("tiny_same", "tiny_v2", "tiny_mobilenetv1", "tiny_resnet")


def timm_name(name: str, arch) -> str:
    """timm's name of a torchvision EfficientNet tensor; timm's own names pass through."""
    part = name.split(".")
    if part[0] == "classifier":
        return "classifier." + part[-1]
    if part[0] != "features":
        return name
    stages = len(arch["stages"])
    stage, leaf = int(part[1]), part[-1]
    if stage == 0:
        return f"{['conv_stem', 'bn1'][int(part[2])]}.{leaf}"
    if stage == stages + 1:
        return f"{['conv_head', 'bn2'][int(part[2])]}.{leaf}"
    layer = int(part[4])  # features.S.I.block.LAYER.(0|1|fc1|fc2).LEAF
    if stage == 1:  # no expansion: depthwise, SE, projection
        modules = [("conv_dw", "bn1"), "se", ("conv_pw", "bn2")]
    else:
        modules = [("conv_pw", "bn1"), ("conv_dw", "bn2"), "se", ("conv_pwl", "bn3")]
    if modules[layer] == "se":
        module = "se." + {"fc1": "conv_reduce", "fc2": "conv_expand"}[part[5]]
    else:
        module = modules[layer][int(part[5])]
    return f"blocks.{stage - 1}.{part[2]}.{module}.{leaf}"


# The measurements.


class Case:
    """A network in float64 with generated weights, its batch and its tensors by timm's names."""

    def __init__(self, name: str):
        self.name = name
        self.relative = name.startswith("relatives/")
        self.samples = 2 if self.relative else SAMPLES
        self.arch, build = CASES[name]
        self.batch = 2 if self.arch["classes"] == 1000 else 4
        self.net = build(self.arch).double()
        builder = torchvision if build in (vision, ResNet) else timm
        self.source = f"{builder.__name__} {builder.__version__}, torch {torch.__version__}"
        self.check_batch_norms()
        side = self.arch["resolution"]
        self.images = generate("input", (self.batch, side, side, 3), 0, INPUT_SCALE).permute(0, 3, 1, 2)
        self.labels = torch.tensor([(7 * n + 3) % self.arch["classes"] for n in range(self.batch)])
        for self.gain in GAINS if self.relative else [GAIN]:
            self.fill()
            if not self.relative or self.net.eval()(self.images).std() < 3:
                break
        self.moved = self.avoid_kinks()

    @torch.no_grad()
    def fill(self):
        for n, t in self.tensors(self.net).items():
            t.copy_(generate(n, t.shape, *center_scale(kind_of(n, t.shape), t.shape, self.gain)))

    def avoid_kinks(self):
        """Moves biases before KINKS, layer by layer in one training pass; {bias: {element: value}}."""
        moved = {}

        def before(name, layer, kinks, x):
            margin = MARGIN / (x.numel() / x.shape[1])
            for c in (kink_distance(x, kinks) < margin).nonzero().flatten().tolist():
                start = layer.bias[c].item()
                for step in itertools.count(2):  # margin, -margin, 2 margin, ...
                    bias = float(np.float32(start + margin * (step // 2) * (-1) ** step))
                    if kink_distance(x[:, c : c + 1] + (bias - start), kinks) >= margin:
                        break
                x[:, c] += bias - start
                moved.setdefault(name, {})[c] = float(f"{bias:.9g}")
            return (x,)

        net = copy.deepcopy(self.net).train()
        for act, layers in bent_activations(net):
            kinks = KINKS[type(act)]
            turns = itertools.cycle(functools.partial(before, name + ".bias", m, kinks) for name, m in layers)
            act.register_forward_pre_hook(lambda act, args, turns=turns: next(turns)(args[0]))
        with torch.no_grad():
            net(self.images)
            for name, elements in moved.items():
                bias = self.net.get_parameter(name)
                for c, value in elements.items():
                    bias[c] = np.float32(value).item()
        return moved

    def check_batch_norms(self):
        for m in self.net.modules():
            if isinstance(m, nn.BatchNorm2d):
                assert (m.eps, m.momentum) == (self.arch["bn_eps"], self.arch["bn_momentum"]), m

    def tensors(self, net) -> dict[str, torch.Tensor]:
        """Parameters and running statistics by timm's names, in timm's order."""
        named = {timm_name(n, self.arch): t for n, t in net.named_parameters()}
        named |= {
            timm_name(n, self.arch): t
            for n, t in net.named_buffers()
            if not n.endswith("num_batches_tracked")
        }
        return named

    def loss(self, net):
        logits = net(self.images)
        return nn.functional.cross_entropy(logits, self.labels, label_smoothing=SMOOTHING), logits

    def measure(self):
        """The case's JSON document, and its gradients and running statistics whole."""
        with torch.no_grad():
            eval_logits = self.net.eval()(self.images)
        net = copy.deepcopy(self.net).train()
        loss, logits = self.loss(net)
        loss.backward()
        tensors = self.tensors(net)
        grads = {n: t.grad for n, t in tensors.items() if isinstance(t, nn.Parameter)}
        running = {n: t for n, t in tensors.items() if n not in grads}
        document = {
            "source": self.source,
            **({"variant": self.name.removeprefix("relatives/")} if self.relative else {}),
            "arch": self.arch,
            "batch": self.batch,
            "gain": self.gain,
            "labels": self.labels.tolist(),
            "label_smoothing": SMOOTHING,
            "tensors": [
                {"name": n, "kind": kind_of(n, t.shape), "shape": list(t.shape)} for n, t in tensors.items()
            ],
            **({"moved": self.moved} if self.moved else {}),
            "eval_logits": rounded(eval_logits),
            "train_logits": rounded(logits),
            "loss": rounded(loss),
            "gradients": {n: probe(n, t, self.samples) for n, t in grads.items()},
            "running": {n: probe(n, t, self.samples) for n, t in running.items()},
            **({"frozen": [self.freeze(f) for f in FROZEN]} if self.name in FROZEN_CASES else {}),
            "optimizers": [self.train(o) for o in self.optimizers()],
        }
        whole = {"grad." + n: t for n, t in grads.items()} | running
        return document, {n: t.detach().float().contiguous() for n, t in whole.items()}

    def freeze(self, frozen):
        """A training pass in which some layers stay as they are; see FROZEN."""
        net = copy.deepcopy(self.net).train()
        for name, module in net.named_modules():
            if list(module.children()) and not isinstance(module, nn.BatchNorm2d):  # timm's has the activation inside
                continue
            part = name.split(".")
            still = frozen.get("body", False) and part[0] != "classifier"
            if frozen.get("stages"):
                still = part[0] in ("conv_stem", "bn1") or part[0] == "blocks" and int(part[1]) < frozen["stages"]
            if frozen.get("norms"):
                still = isinstance(module, nn.BatchNorm2d)
            if still:
                module.eval().requires_grad_(False)
        loss, _ = self.loss(net)
        loss.backward()
        tensors = self.tensors(net)
        return frozen | {
            "loss": rounded(loss),
            "gradients": {n: probe(n, t.grad) for n, t in tensors.items() if t.grad is not None},
            "running": {n: probe(n, t) for n, t in tensors.items() if not isinstance(t, nn.Parameter)},
        }

    def optimizers(self):
        rmsprop = {"name": "rmsprop", "lr": 0.01, "momentum": 0.9, "alpha": 0.9, "eps": 1e-3, "weight_decay": 1e-5}
        sgd = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4}
        without = ("tiny_v2", "tiny_mobilenetv1", "tiny_mobilenetv2", "tiny_resnet", "b0_symmetric", "lite0_same")
        if self.relative or self.name in without:
            return []
        return [rmsprop, sgd] if self.name == "tiny_same" else [rmsprop]

    def train(self, optimizer):
        net = copy.deepcopy(self.net).train()
        options = {k: v for k, v in optimizer.items() if k not in ("name", "weight_decay")}
        parameters = {n: t for n, t in self.tensors(net).items() if isinstance(t, nn.Parameter)}
        is_bn = {n: kind_of(n, t.shape).startswith("bn_") for n, t in parameters.items()}
        groups = [
            {"params": [t for n, t in parameters.items() if is_bn[n]], "weight_decay": 0},
            {"params": [t for n, t in parameters.items() if not is_bn[n]], "weight_decay": optimizer["weight_decay"]},
        ]
        update = {"rmsprop": RMSpropTF, "sgd": torch.optim.SGD}[optimizer["name"]](groups, **options)
        losses = []
        for _ in range(STEPS):
            update.zero_grad()
            loss, _ = self.loss(net)
            loss.backward()
            update.step()
            losses.append(rounded(loss))
        norms = {n: rounded(t.norm()) for n, t in self.tensors(net).items()}
        return optimizer | {"losses": losses, "norms": norms}


def bent_activations(net):
    """The activations with kinks, and by which layers' biases their inputs are moved, in turn; by name."""
    for name, m in net.named_modules():
        if type(getattr(m, "act", None)) in KINKS:  # timm's normalisation with an activation
            yield m.act, [(name, m)]
        for act, layer in BIASED.items():
            if type(getattr(m, act, None)) in KINKS:
                yield getattr(m, act), [(f"{name}.{layer}".lstrip("."), getattr(m, layer))]
        if isinstance(getattr(m, "relu", None), nn.ReLU):  # one module in several places
            norms = ("bn1", "bn2", "bn3") if isinstance(m, Bottleneck) else ("bn1",)
            yield m.relu, [(f"{name}.{n}".lstrip("."), getattr(m, n)) for n in norms]


def kink_distance(x: torch.Tensor, kinks) -> torch.Tensor:
    """Each channel's least distance from where the activation bends."""
    return torch.stack([(x - k).abs() for k in kinks]).amin((0, 1, 3, 4))


def probe(name: str, t: torch.Tensor, samples=SAMPLES) -> dict:
    at = hashes(name, SAMPLE_OFFSET, samples) % np.uint64(t.numel())
    return {"norm": rounded(t.norm()), "samples": rounded(t.flatten()[at.astype(np.int64)])}


def rounded(t: torch.Tensor):
    """t as nested lists of numbers of nine significant digits, enough for a float32."""

    def walk(v):
        return [walk(x) for x in v] if isinstance(v, list) else float(f"{v:.9g}")

    return walk(t.tolist())


def dump(v, depth=2, indent="") -> str:
    """JSON with one member a line down to depth, so that a diff can be read."""
    if depth == 0 or not v or not isinstance(v, (dict, list)):
        return json.dumps(v, separators=(",", ":"))
    inner = indent + " "
    if isinstance(v, dict):
        members = [f"{inner}{json.dumps(k)}: {dump(x, depth - 1, inner)}" for k, x in v.items()]
        return "{\n" + ",\n".join(members) + "\n" + indent + "}"
    return "[\n" + ",\n".join(inner + dump(x, depth - 1, inner) for x in v) + "\n" + indent + "]"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default="internal/model/testdata")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all when absent")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.cases or CASES:
        document, whole = Case(name).measure()
        (args.out / f"{name}.json").write_text(dump(document) + "\n")
        if name.startswith("tiny_"):
            safetensors.torch.save_file(whole, args.out / f"{name}.safetensors")
        spread = np.std(document["eval_logits"]), np.std(document["train_logits"])
        losses = [o["losses"][-1] for o in document["optimizers"]]
        print(f"{name}: logits' spread {spread[0]:.3g} eval, {spread[1]:.3g} train; loss {document['loss']} -> {losses}")


if __name__ == "__main__":
    main()
