#!/usr/bin/env python3
"""huggingface_hub as the other user of a cache and of a server; tests call it.

    pip install huggingface_hub
    HF_ENDPOINT=... HF_HUB_CACHE=... python3 tools/hub_check.py download REPOSITORY FILE...
    HF_HUB_CACHE=... python3 tools/hub_check.py offline REPOSITORY FILE...
    HF_ENDPOINT=... HF_HUB_CACHE=... python3 tools/hub_check.py snapshot REPOSITORY
    HF_HUB_CACHE=... python3 tools/hub_check.py scan
    HF_HUB_CACHE=... python3 tools/hub_check.py share REPOSITORY
    python3 tools/hub_check.py lock FILE
    python3 tools/hub_check.py timm MODEL IMAGES

download and offline print the path of each file, or the name of the error's class. scan
prints what huggingface_hub finds in the cache, a repository a line: its files, their size
and revisions. share moves a repository's large files into the store that repositories of a
cache share, as newer versions do with what they download, and prints their paths there; it
prints nothing where this version has no such store. lock takes a file's lock, prints a line, and holds it until its input ends.
timm creates a model, "local-dir:..." or "hf-hub:...", and prints its configuration as JSON
and then its logits on one image: normalised values, float32, channels first.
"""
import sys

import huggingface_hub
from huggingface_hub.utils import WeakFileLock

command, *args = sys.argv[1:]
if command in ("download", "offline"):
    for name in args[1:]:
        try:
            print(huggingface_hub.hf_hub_download(args[0], name, local_files_only=command == "offline"))
        except Exception as e:  # the test compares what it is
            print(type(e).__name__)
elif command == "snapshot":
    print(huggingface_hub.snapshot_download(args[0]))
elif command == "scan":
    info = huggingface_hub.scan_cache_dir()
    for repo in info.repos:
        refs = ",".join(sorted(ref for r in repo.revisions for ref in r.refs))
        print(repo.repo_id, repo.nb_files, repo.size_on_disk, refs)
    for warning in info.warnings:
        print("warning:", warning)
elif command == "share":
    import os

    try:
        from huggingface_hub.utils import _shared_blobs
    except ImportError:
        sys.exit(0)
    cache = huggingface_hub.constants.HF_HUB_CACHE
    blobs = os.path.join(cache, "models--" + args[0].replace("/", "--"), "blobs")
    for name in os.listdir(blobs):
        path = os.path.join(blobs, name)
        if len(name) == 64 and _shared_blobs.publish_blob_to_shared_store(
            blob_path=path, xet_hash=name, cache_dir=cache, expected_size=os.path.getsize(path)
        ):
            print(os.path.realpath(path))
elif command == "lock":
    with WeakFileLock(args[0]):
        print("locked", flush=True)
        sys.stdin.read()
elif command == "timm":
    import json

    import numpy as np
    import timm
    import torch

    model = timm.create_model(args[0], pretrained=True).eval()
    cfg = model.pretrained_cfg
    print(json.dumps({k: cfg.get(k) for k in ("architecture", "num_classes", "label_names", "input_size", "crop_pct", "interpolation", "mean", "std")}))
    image = torch.from_numpy(np.fromfile(args[1], np.float32)).reshape(1, *cfg["input_size"])
    with torch.no_grad():
        print(*model(image)[0].tolist())
