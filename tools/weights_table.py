#!/usr/bin/env python3
"""Writes internal/hub/table.tsv: the published weights of networks that effnet builds.

    pip install timm torchvision efficientnet_pytorch keras
    go run ./tools/weightnames > networks.tsv
    python3 tools/weights_table.py networks.tsv RESULTS TPU LUKEMELAS > internal/hub/table.tsv

RESULTS is results/results-imagenet.csv of huggingface/pytorch-image-models, TPU the
folder models/official/efficientnet of tensorflow/tpu, LUKEMELAS README.md of
lukemelas/EfficientNet-PyTorch: paths, or URLs that begin so. A network is one of ours if
its program's own model, built without weights, has tensors of the same names and shapes.
Those that are not are listed on stderr.
"""
import csv
import hashlib
import importlib.metadata
import io
import itertools
import math
import os
import re
import sys
import urllib.request

os.environ.setdefault("KERAS_BACKEND", "torch")

import efficientnet_pytorch  # noqa: E402
import keras  # noqa: E402
import timm  # noqa: E402
import torch  # noqa: E402
import torchvision  # noqa: E402
from efficientnet_pytorch import utils as luke  # noqa: E402
from keras.src.applications import efficientnet as keras1, efficientnet_v2 as keras2  # noqa: E402

# Where each column is from; the table begins with these lines.
COLUMNS = {
    "name": "ORIGIN/NETWORK.TAG, as its origin calls them; of TensorFlow's the tag is the folder of the release",
    "default": "yes where ORIGIN/NETWORK alone means these: timm's get_pretrained_cfg, torchvision's DEFAULT, of TensorFlow's the best top-1",
    "variant": "effnet's name of the network, by the names and shapes of its tensors",
    "file": "hf:REPOSITORY of the Hugging Face hub (timm's default_cfgs), or the URL (the package's, or the README's)",
    "hash": "of the file, or the start of it: in torchvision's and lukemelas' file names (SHA-256), in keras.applications (MD5)",
    "params": "parameters, counted in the program's own model",
    "bytes": "its parameters and running statistics in float32; a file has a little more",
    "classes": "the program's",
    "top1": "percent on ImageNet-1k: timm's results-imagenet.csv, torchvision's metrics, the READMEs of tensorflow/tpu and lukemelas; empty where none is published",
    "size": "pixels, as images are evaluated: timm's test_input_size or input_size, torchvision's transforms, the models of lukemelas and Keras, tensorflow/tpu's tables",
    "crop": "as effnet's setting: the rule of the program",
    "crop_pct": "timm's crop_pct at that size, torchvision's crop_size / resize_size, tensorflow/tpu's preprocessing.py",
    "interpolation": "timm's default_cfgs, torchvision's transforms, tensorflow/tpu's preprocessing.py and lite builder",
    "mean": "of pixels 0 to 255: timm's, torchvision's, the layers of Keras' model, the MEAN_RGB of tensorflow/tpu's builders, 127.5 of AdvProp's networks",
    "std": "the same",
    "padding": "the convolutions of the program's own model",
    "bn_eps": "the same, its first batch normalisation",
    "licence": "timm's default_cfgs; of the others their package's or repository's",
    "trained": "timm's tags, torchvision's metrics, the READMEs",
    "names": "the program whose names the digest is of; for TensorFlow's, of timm's copy of the network",
    "digest": "SHA-256 of the names and shapes of the program's own model with 1000 classes (tools/weightnames)",
}
PIXELS = 255
IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
# tensorflow/tpu: CROP_PADDING 32 of preprocessing.py is 0.875 at 224 px, which is how
# effnet's crop rule "tf" takes it. Lite networks resize by the bilinear method (main.py).
TPU = {"crop": "tf", "crop_pct": 0.875, "interpolation": "bicubic"}
# Where a README's networks have their means and deviations, and timm's names of them.
BUILDERS = {
    "README.md": ("efficientnet_builder.py", "efficientnet-", "tf_efficientnet_"),
    "lite/README.md": ("lite/efficientnet_lite_builder.py", "efficientnet-", "tf_efficientnet_"),
    "edgetpu/README.md": ("edgetpu/efficientnet_edgetpu_builder.py", "efficientnet-edgetpu-", "tf_efficientnet_e"),
}


def read(path):
    if re.match(r"https?://", path):
        return urllib.request.urlopen(path).read().decode()
    with open(path, encoding="utf-8") as f:
        return f.read()


def floats(values, by=PIXELS):
    return ",".join(f"{round(v * by, 4):g}" for v in values)


def digest(shapes):
    lines = sorted(f"{name} {','.join(map(str, shape))}\n" for name, shape in shapes)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def torch_model(model):
    """What a PyTorch model shows of itself."""
    state = {k: tuple(v.shape) for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    same = any("Same" in type(m).__name__ or "StaticSamePadding" in type(m).__name__ for m in model.modules())
    eps = next((m.eps for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)), 0)
    return {
        "digest": digest(state.items()), "params": sum(p.numel() for p in model.parameters()),
        "bytes": 4 * sum(torch.Size(s).numel() for s in state.values()),
        "padding": "same" if same else "symmetric", "bn_eps": f"{eps:g}",
    }


def built(make):
    with torch.device("meta"):
        return torch_model(make())


DATA = [("in12k", "ImageNet-12k"), ("in21k", "ImageNet-21k"), ("jft", "JFT-300M"), ("in1k", "ImageNet-1k")]


def trained(tag):
    return ", ".join(data for word, data in DATA if word in tag.split("_")) or "ImageNet-1k"


def at_classes(shown, model_classes, classes, features):
    """params and bytes of a model with another number of classes."""
    more = (classes - model_classes) * (features + 1)
    return shown | {"params": shown["params"] + more, "bytes": shown["bytes"] + 4 * more, "classes": classes}


def timm_rows(results):
    top1 = {(r["model"], int(r["img_size"])): r["top1"] for r in csv.DictReader(io.StringIO(results))}
    shown = {}
    names = [n for module in ("efficientnet", "mobilenetv3") for n in timm.list_models(module=module, pretrained=True)]
    for name in sorted(names):
        cfg = timm.get_pretrained_cfg(name)
        network, _, tag = name.partition(".")
        if network not in shown:
            with torch.device("meta"):
                model = timm.create_model(network, num_classes=1000)
            shown[network] = torch_model(model), model.get_classifier().in_features
        model, features = shown[network]
        size = (cfg.test_input_size or cfg.input_size)[-1]
        yield at_classes(model, 1000, cfg.num_classes, features) | {
            "name": f"timm/{name}", "default": "yes" if timm.get_pretrained_cfg(network).tag == tag else "",
            "file": f"hf:{cfg.hf_hub_id}", "top1": top1.get((name, size), ""), "size": size,
            "crop": "timm", "crop_pct": f"{cfg.test_crop_pct or cfg.crop_pct:g}", "interpolation": cfg.interpolation,
            "mean": floats(cfg.mean), "std": floats(cfg.std), "licence": cfg.license or "", "trained": trained(tag), "names": "timm",
        }


def torchvision_rows():
    licence = importlib.metadata.metadata("torchvision")["License"]
    for network in torchvision.models.list_models(torchvision.models, include=["efficientnet*", "mnasnet*", "mobilenet*"]):
        enum = torchvision.models.get_model_weights(network)
        model = built(lambda: torchvision.models.get_model(network, weights=None))
        for w in enum:
            t = w.transforms()
            yield model | {
                "name": f"torchvision/{network}.{w.name}", "default": "yes" if w is enum.DEFAULT else "", "file": w.url,
                "hash": "sha256:" + re.search(r"-([0-9a-f]{8,})\.pth$", w.url)[1], "classes": len(w.meta["categories"]),
                "top1": w.meta["_metrics"]["ImageNet-1K"]["acc@1"], "size": t.crop_size[0], "crop": "torchvision",
                "crop_pct": f"{t.crop_size[0] / t.resize_size[0]:.4g}", "interpolation": t.interpolation.value,
                "mean": floats(t.mean), "std": floats(t.std), "licence": licence, "trained": "ImageNet-1k", "names": "torchvision",
            }


def lukemelas_rows(readme):
    top1 = dict(re.findall(r"^\| `([\w-]+)` *\|[^|]*\| *([\d.]+)", readme, re.M))
    licence = importlib.metadata.metadata("efficientnet_pytorch")["License"]
    for prefix, urls in (("", luke.url_map), ("adv-", luke.url_map_advprop)):
        for network, url in urls.items():
            size = luke.efficientnet_params(network)[2]
            mean, std = ([0.5] * 3, [0.5] * 3) if prefix else IMAGENET
            yield built(lambda: efficientnet_pytorch.EfficientNet.from_name(network)) | TPU | {
                "name": f"lukemelas/{prefix}{network}", "default": "yes", "file": url,
                "hash": "sha256:" + re.search(r"-([0-9a-f]{8,})\.pth$", url)[1], "classes": 1000,
                "top1": "" if prefix else top1.get(network, ""), "size": size, "mean": floats(mean), "std": floats(std),
                "licence": licence, "trained": "ImageNet-1k", "names": "lukemelas/EfficientNet-PyTorch",
            }


def keras_model(build):
    """What a Keras model shows of itself, and its size, mean and standard deviation."""
    model = build(weights=None)
    shapes, scale, offset, mean, std = [], 1.0, 0.0, [0.0], [1.0]
    for layer in model.layers:
        if isinstance(layer, keras.layers.Rescaling):
            if isinstance(layer.scale, (int, float)):  # a second one repairs the standard deviation: x / sqrt(std)
                scale, offset = layer.scale, layer.offset
        elif isinstance(layer, keras.layers.Normalization):
            mean, std = [float(v) for v in layer.input_mean or [0]], [float(v) ** 0.5 for v in layer.input_variance or [1]]
        else:
            # Version 2 calls a depthwise layer dwconv2, which is read as dwconv.
            shapes += [(w.path.replace("dwconv2/", "dwconv/"), tuple(w.shape)) for w in layer.weights]
    if mean == [0.0]:  # Version 1 without weights has no statistics, its weights have ImageNet's
        mean, std = IMAGENET if offset == 0 else ([0.0], [1.0])
    norm = next(layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))
    total = sum(torch.Size(s).numel() for _, s in shapes)
    trained_ = sum(torch.Size(w.shape).numel() for w in model.trainable_weights)
    return {
        "digest": digest(shapes), "params": trained_, "bytes": 4 * total, "padding": "same", "bn_eps": f"{norm.epsilon:g}",
        "size": model.input_shape[1],
        "mean": floats([(m - offset) / scale for m in (mean * 3)[:3]], 1), "std": floats([s / scale for s in (std * 3)[:3]], 1),
    }


def keras_rows():
    licence = importlib.metadata.metadata("keras")["License"]
    families = [(keras1, f"EfficientNet{k.upper()}", f"efficientnet{k}", h[0]) for k, h in keras1.WEIGHTS_HASHES.items()]
    families += [(keras2, f"EfficientNetV2{k.lstrip('-').upper()}", f"efficientnetv2{k if k[0] == '-' else '-' + k}", h[0])
                 for k, h in keras2.WEIGHTS_HASHES.items()]
    for module, function, stem, md5 in families:
        yield TPU | keras_model(getattr(module, function)) | {
            "name": f"keras/{stem}", "default": "yes", "file": f"{module.BASE_WEIGHTS_PATH}{stem}.h5", "hash": f"md5:{md5}", "classes": 1000,
            "top1": "", "licence": licence, "trained": "ImageNet-1k", "names": "Keras",
        }


LINK = r"https://storage\.googleapis\.com/cloud-tpu-checkpoints/efficientnet/(?:(\w+)/)?(?:noisy_student_)?(efficientnet-[\w-]+?)(?:-randaug)?\.tar\.gz"


def builder_floats(text, name):
    """A list of products of numbers in Python's text: NAME = [0.485 * 255, ...]."""
    values = re.search(rf"^{name} = \[(.*)\]", text, re.M)[1].split(",")
    return floats([math.prod(float(f) for f in v.split("*")) for v in values], 1)


def tensorflow_rows(folder, sizes):
    rows, best = [], {}
    for readme, (builder, of, to) in BUILDERS.items():
        text, code = read(f"{folder}/{readme}"), read(f"{folder}/{builder}")
        mean, std = builder_floats(code, "MEAN_RGB"), builder_floats(code, "STDDEV_RGB")
        classes = 1001 if "--include_background_label" in text else 1000
        for line in text.splitlines():
            accuracies = re.findall(r"([\d.]+)% *\(?\[ckpt\]", line) or re.findall(r"\| *([\d.]+)%", line)[:1]
            for link, top1 in zip(re.finditer(LINK, line), itertools.chain(accuracies, itertools.repeat(""))):
                tag, network = link[1] or "", link[2].lower()
                lite, adv = "lite" in network, tag == "advprop"
                with torch.device("meta"):
                    twin = timm.create_model(to + network.replace("_475", "")[len(of):], num_classes=1000)
                row = at_classes(torch_model(twin), 1000, classes, twin.get_classifier().in_features) | TPU | {
                    "name": f"tensorflow/{network}" + (f".{tag}" if tag and not lite else ""), "file": link[0], "top1": top1,
                    "mean": floats([0.5] * 3) if adv else mean, "std": floats([0.5] * 3) if adv else std, "licence": "apache-2.0",
                    "trained": "JFT-300M, ImageNet-1k" if tag == "noisystudent" else "ImageNet-1k", "names": "timm",
                }
                row["size"] = 475 if "_475" in network else sizes[row["digest"]]
                if lite:
                    row["interpolation"] = "bilinear"
                rows.append(row)
                if float(top1 or 0) >= float(best.get(network, row)["top1"] or 0):
                    best[network] = row
    for row in best.values():
        row["default"] = "yes"
    return rows


LICENCES = {"BSD": "bsd-3-clause", "Apache": "apache-2.0", "Apache License 2.0": "apache-2.0"}  # SPDX, as timm has them


def main():
    networks, results, tpu, lukemelas = sys.argv[1:]
    known, sizes = {}, {}
    for line in read(networks).splitlines():
        variant, program, key, size = line.split("\t")
        known[program, key], sizes[key] = variant, int(size)
    print("# Made by tools/weights_table.py with " + ", ".join(
        f"{p} {importlib.metadata.version(p)}" for p in ("timm", "torchvision", "efficientnet_pytorch", "keras")) + ". The columns:")
    for name, source in COLUMNS.items():
        print(f"# {name}: {source}")
    print(*COLUMNS, sep="\t")
    others = {}
    for rows in (timm_rows(read(results)), torchvision_rows(), lukemelas_rows(read(lukemelas)), keras_rows(), tensorflow_rows(tpu, sizes)):
        for row in rows:
            variant = known.get((row["names"], row["digest"]))
            if variant is None:
                others.setdefault(row["name"].split(".")[0], []).append(row["name"])
                continue
            row |= {"variant": variant, "licence": LICENCES.get(row["licence"], row["licence"])}
            print(*(row.get(column, "") for column in COLUMNS), sep="\t")
    for network, names in others.items():
        print(f"not one of effnet's networks: {network} ({len(names)})", file=sys.stderr)


if __name__ == "__main__":
    main()
