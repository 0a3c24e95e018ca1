#!/usr/bin/env python3
"""Writes internal/weights/imagenet.tsv: ImageNet's 1000 classes in the order of the
networks' outputs, as timm has them: synset, tab, names.

    pip install timm
    python3 tools/imagenet_classes.py > internal/weights/imagenet.tsv
"""
from timm.data import ImageNetInfo

info = ImageNetInfo("imagenet-1k")
for i in range(info.num_classes()):
    print(info.index_to_label_name(i), info.index_to_description(i), sep="\t")
