"""Writes small files with torch.save and what is in them, for the tests of
internal/weights/torchfile. Some of them would run code in Python.

    python tools/golden/torchfile.py internal

Needs torch and numpy.
"""
import argparse
import collections
import datetime
import enum
import json
import os
import pathlib
import sys
import zipfile

import numpy as np
import torch


def ramp(*shape, dtype=torch.float32):
    """1, -2, 3, -4, ... in quarters for formats with fractions."""
    n = torch.Size(shape).numel()
    values = torch.arange(1, n + 1) * (1 - 2 * (torch.arange(n) % 2))
    return (values / (4 if dtype.is_floating_point else 1)).to(dtype).reshape(shape)


def network():
    """Names and shapes as a network's, in the formats that one is saved in."""
    return collections.OrderedDict([
        ("conv.weight", ramp(2, 3, 3, 3)), ("bn.weight", ramp(2)), ("bn.running_mean", ramp(2)),
        ("bn.num_batches_tracked", torch.tensor(7)), ("scale", torch.tensor(0.1)), ("empty", torch.zeros(0, 3)),
    ])


def formats():
    dtypes = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8]
    out = {str(dtype): ramp(5, dtype=dtype) for dtype in dtypes}
    out["third"] = torch.tensor([1 / 3, 1e-7], dtype=torch.float64)  # rounded, to a float32
    out["half"] = torch.tensor([1 / 3, 65504, 6e-8, -0.0], dtype=torch.float16)
    out["bhalf"] = torch.tensor([1 / 3, 1e38, 1e-39], dtype=torch.bfloat16)
    out["uint8"] = torch.tensor([0, 200], dtype=torch.uint8)
    out["bool"] = torch.tensor([True, False])
    return out


def views():
    """Tensors that do not lie in C order, and several in one storage."""
    base = ramp(4, 6)
    return {"base": base, "transposed": base.t(), "row": base[2], "column": base[:, 1], "window": base[1:3, 2:6:2],
            "permuted": ramp(2, 3, 4).permute(2, 0, 1), "last": base[3, 5], "nhwc": ramp(1, 2, 3, 2).to(memory_format=torch.channels_last)}


def training():
    """As torchvision's training saves it: a step of an optimizer, running averages."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    averages = torch.optim.swa_utils.AveragedModel(model)
    optimizer = torch.optim.RMSprop(model.parameters(), 0.1, momentum=0.9)
    model(ramp(4, 3)).sum().backward()
    optimizer.step()
    return {"epoch": 3, "model": model.state_dict(), "optimizer": optimizer.state_dict(),
            "model_ema": averages.state_dict(), "best": 0.5, "notes": [None, True, "a", (1, 2, 3, 4), 1 << 70, torch.float32, torch.Size([1])]}


class Phase(enum.Enum):
    TRAIN = 1


class Settings(dict):
    """A dict with attributes, as several training programs have."""


def clutter():
    """What training programs save in addition to the weights."""
    return {
        "args": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("runs/1"), nested=argparse.Namespace(a=[1])), "when": datetime.datetime(2024, 1, 2),
        "took": datetime.timedelta(seconds=3), "best": np.float64(0.5), "step": np.int64(3), "curve": np.arange(3.0), "kind": np.dtype("f4"),
        "seen": collections.Counter("abca"), "log": collections.defaultdict(list, {"a": [1]}), "recent": collections.deque([1, 2], maxlen=3),
        "dtype": torch.float16, "device": torch.device("cpu"), "phase": Phase.TRAIN, "settings": Settings(a=1), "complex": 1j, "set": {1, 2},
        "frozen": frozenset({1}), "range": range(3), "bytes": b"abc", "array": bytearray(b"abc"), "class": Phase, "function": os.path.join, "slice": slice(1, 2),
        "generator": torch.Generator().get_state(), "rng": np.random.default_rng(0),
    }


class Call:
    """A value that is the result of a call, made when the file is loaded."""

    def __reduce__(self):
        return os.system, ("echo executed",)


def prefixed(prefix, tensors=None):
    return {prefix + name: value for name, value in (tensors or network()).items()}


def files():
    """Names, objects and options of torch.save; what Read should find, or None."""
    legacy = {"_use_new_zipfile_serialization": False}
    net = network()
    yield "zip.pth", net, {}, net
    yield "zip_protocol5.pth", net, {"pickle_protocol": 5}, net
    yield "legacy.pth", net, legacy, net
    yield "legacy_protocol4.pth", net, {**legacy, "pickle_protocol": 4}, net
    yield "parameters.pth", {"w": torch.nn.Parameter(ramp(2, 2))}, {}, {"w": ramp(2, 2)}
    yield "formats.pth", formats(), {}, formats()
    yield "formats_legacy.pth", formats(), legacy, formats()
    yield "views.pth", views(), {}, views()
    yield "views_legacy.pth", views(), legacy, views()
    trained = training()
    yield "training.pth", trained, {}, trained["model_ema"]
    wrapped = prefixed("_orig_mod.module.")
    yield "wrapped.pth", {"state_dict": wrapped, "model": net}, {}, wrapped
    yield "system.pth", {"w": ramp(2), "call": Call()}, {}, {"w": ramp(2)}
    yield "system_legacy.pth", {"w": ramp(2), "call": Call()}, legacy, {"w": ramp(2)}
    yield "call.pth", Call(), {}, None
    yield "namespace.pth", {"state_dict": net, "args": argparse.Namespace(lr=0.1)}, {}, net
    for name, options in ("clutter.pth", {}), ("clutter_legacy.pth", legacy), ("clutter_protocol4.pth", {"pickle_protocol": 4}):
        yield name, {**clutter(), "state_dict": net}, options, net
    yield "inside.pth", Settings({**net, "epoch": 3, "args": argparse.Namespace(lr=0.1)}), {}, net
    yield "lightning.pth", {"epoch": 1, "state_dict": prefixed("model."), "hyper_parameters": Settings(lr=0.1), "loops": {}}, {}, prefixed("model.")
    yield "parameter.pth", {"w": attributed()}, {}, {"w": ramp(2, 2)}
    block = torch.nn.Sequential(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1, bias=False), torch.nn.BatchNorm2d(2)), torch.nn.Linear(2, 1))
    yield "module.pth", block, {}, block.state_dict()
    yield "module_inside.pth", {"model": torch.nn.DataParallel(block), "epoch": 1}, {}, prefixed("module.", block.state_dict())


def attributed():
    """A parameter with an attribute of its own, which is saved differently."""
    w = torch.nn.Parameter(ramp(2, 2))
    w.shared = True
    return w


SECTIONS = {"training.pth": ("model_ema", ["epoch", "model", "optimizer", "best", "notes"]), "wrapped.pth": ("state_dict", ["model"]),
            "system.pth": ("", ["call"]), "system_legacy.pth": ("", ["call"]), "namespace.pth": ("state_dict", ["args"]), "inside.pth": ("", ["epoch", "args"]),
            "lightning.pth": ("state_dict", ["epoch", "hyper_parameters", "loops"]), "module_inside.pth": ("model", ["epoch"]),
            **{name: ("state_dict", list(clutter())) for name in ("clutter.pth", "clutter_legacy.pth", "clutter_protocol4.pth")}}


def expected(name, tensors):
    section, others = SECTIONS.get(name, ("", []))
    return {"section": section, "others": others, "tensors": [
        {"name": key, "shape": list(value.shape), "data": value.detach().float().flatten().tolist()}
        for key, value in tensors.items() if not key.endswith(("num_batches_tracked", "n_averaged"))]}


def deflate(source, target):
    """The same zip, compressed, as other programs make it."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            new.writestr(zipfile.ZipInfo(entry), old.read(entry), zipfile.ZIP_DEFLATED)


def main(internal):
    folder = internal + "/weights/torchfile/testdata/"
    os.makedirs(folder, exist_ok=True)
    golden = {}
    for name, value, options, tensors in files():
        torch.save(value, folder + name, **options)
        if tensors is not None:
            golden[name] = expected(name, tensors)
    deflate(folder + "zip.pth", folder + "deflated.pth")
    golden["deflated.pth"] = golden["zip.pth"]
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 1)), folder + "script.pt")
    with open(folder + "golden.json", "w") as f:
        json.dump({"torch": torch.__version__, "files": golden}, f)
        f.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
