#!/usr/bin/env python3
"""Prints the activations of timm's networks as fvcore counts them, for TestActivations.

    pip install torch timm fvcore
    python3 tools/golden/activations.py
"""
import timm
import torch
from fvcore.nn import ActivationCountAnalysis

NETWORKS = [
    ("b0", "tf_efficientnet_b0", 224), ("b1", "tf_efficientnet_b1", 240), ("b4", "tf_efficientnet_b4", 380),
    ("lite0", "tf_efficientnet_lite0", 224), ("v2-s", "tf_efficientnetv2_s", 384), ("mobilenetv3-large", "mobilenetv3_large_100", 224),
    ("mnasnet-a1", "semnasnet_100", 224),
]
for ours, name, side in NETWORKS:
    count = ActivationCountAnalysis(timm.create_model(name).eval(), torch.zeros(1, 3, side, side))
    print(ours, count.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total())
