"""Writes how programs name the tensors of their EfficientNets, in order, for the tests of
internal/weights.

    pip install torch torchvision timm efficientnet_pytorch keras
    python tools/golden/weights.py internal

All define a network's layers in the same order, so tensor i of one is tensor i of another.
Counters and what is not trained (Keras' normalization layer) are omitted.
"""
import json
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import timm
import torchvision
from efficientnet_pytorch import EfficientNet


def torch_names(net):
    return [n for n in net.state_dict() if not n.endswith("num_batches_tracked")]


def keras_names(net):
    return [w.path for layer in net.layers for w in layer.weights if not isinstance(layer, keras.layers.Normalization)]


names = {
    "timm": {
        "b0": torch_names(timm.create_model("tf_efficientnet_b0")),
        "v2-s": torch_names(timm.create_model("tf_efficientnetv2_s")),
        "mnasnet-b1": torch_names(timm.create_model("mnasnet_100")),
        "mobilenetv3-large": torch_names(timm.create_model("mobilenetv3_large_100")),
        "mobilenetv3-small": torch_names(timm.create_model("mobilenetv3_small_100")),
    },
    "torchvision": {
        "b0": torch_names(torchvision.models.efficientnet_b0()),
        "v2-s": torch_names(torchvision.models.efficientnet_v2_s()),
        "mnasnet-b1": torch_names(torchvision.models.mnasnet1_0()),
        "mobilenetv3-large": torch_names(torchvision.models.mobilenet_v3_large()),
        "mobilenetv3-small": torch_names(torchvision.models.mobilenet_v3_small()),
    },
    "lukemelas": {"b0": torch_names(EfficientNet.from_name("efficientnet-b0"))},
    "Keras": {
        "b0": keras_names(keras.applications.EfficientNetB0(weights=None)),
        "v2-s": keras_names(keras.applications.EfficientNetV2S(weights=None)),
    },
}
with open(sys.argv[1] + "/weights/testdata/names.json", "w") as f:
    json.dump(names, f, indent=0)
    f.write("\n")
