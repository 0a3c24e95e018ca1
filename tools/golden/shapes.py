#!/usr/bin/env python3
"""Writes which tensors timm's networks have, for the tests of internal/scale.

    pip install torch timm
    python3 tools/golden/shapes.py internal/scale/testdata/timm.json

For each network of internal/scale that timm has: timm's name, the number of trained
values, and the SHA-256 of the tensors' names and shapes, a line each, sorted:
"blocks.0.0.bn1.bias 32\\n". Counters (num_batches_tracked) do not count.
"""
import hashlib
import json
import sys

import timm

NAMES = {
    **{f"b{i}": f"tf_efficientnet_b{i}" for i in range(9)},
    "l2": "tf_efficientnet_l2",
    **{f"lite{i}": f"tf_efficientnet_lite{i}" for i in range(5)},
    **{f"v2-{s}": f"tf_efficientnetv2_{s}" for s in ("s", "m", "l", "b0", "b1", "b2", "b3")},
    "mnasnet-a1": "semnasnet_100",
    "mnasnet-b1": "mnasnet_100",
    **{e: f"efficientnet_{e}" for e in ("es", "em", "el")},
    **{f"tinynet-{s}": f"tinynet_{s}" for s in "abcde"},
    **{f"mobilenetv3-{s}": f"mobilenetv3_{s}_100" for s in ("large", "small")},
}


def describe(name):
    net = timm.create_model(name)
    lines = sorted(
        f"{n} {','.join(map(str, t.shape))}\n" for n, t in net.state_dict().items() if not n.endswith("num_batches_tracked")
    )
    return {
        "timm": name,
        "params": sum(p.numel() for p in net.parameters()),
        "sha256": hashlib.sha256("".join(lines).encode()).hexdigest(),
    }


with open(sys.argv[1], "w") as f:
    json.dump({v: describe(name) for v, name in NAMES.items()}, f, indent=1)
    f.write("\n")
