#!/usr/bin/env python3
"""Writes the statistics of timm's initial weights, for the tests of internal/model to
compare effnet's with.

    pip install torch timm
    python3 tools/golden/initial.py [--out internal/model/testdata/initial/timm.json]

For each tensor of tf_efficientnet_b0 with ten classes there are, over all values of
eight networks, the mean, the standard deviation, the kurtosis (3 for a normal
distribution, 1.8 for a uniform one) and the number of values of one network.
"""

import argparse
import json

import timm
import torch

SEEDS = 8


def network(seed):
    torch.manual_seed(seed)
    return {n: p.detach().double().flatten() for n, p in timm.create_model("tf_efficientnet_b0", num_classes=10).named_parameters()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="internal/model/testdata/initial/timm.json")
    out = parser.parse_args().out
    networks = [network(seed) for seed in range(SEEDS)]
    tensors = []
    for name in networks[0]:
        x = torch.cat([n[name] for n in networks])
        mean, sd = x.mean().item(), x.std(correction=0).item()
        kurtosis = ((x - mean) ** 4).mean().item() / sd**4 if sd else 0
        tensors.append({"name": name, "values": len(networks[0][name]), "mean": mean, "sd": sd, "kurtosis": kurtosis})
    with open(out, "w") as f:
        f.write('{"torch": %s, "timm": %s, "networks": %d, "tensors": [\n' % (json.dumps(torch.__version__), json.dumps(timm.__version__), SEEDS))
        f.write(",\n".join(json.dumps(t) for t in tensors) + "\n]}\n")


if __name__ == "__main__":
    main()
