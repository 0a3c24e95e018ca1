#!/usr/bin/env python3
"""Compares training over two ranks of one thread with one process of two threads, and with
PyTorch's DistributedDataParallel over gloo: EfficientNet-B0, the same batches on the same
two cores.

    make build
    pip install torch torchvision
    python3 tools/bench_ranks.py PHOTOS [--mpirun mpirun.mpich] [--rounds 3]

effnet trains on a folder of photographs, whose decoding counts; PyTorch on random tensors.
The programs take turns. What a run of effnet reports is its second epoch, what PyTorch
reports the median of its steps; the table has medians over the rounds, and the share of
the time that ranks spent in sums.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

BATCH = 16  # images of a rank
UPDATES = 16  # of an epoch


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("photos", type=pathlib.Path, nargs="?")
    p.add_argument("--effnet", default="bin/effnet")
    p.add_argument("--mpirun", default="mpirun")
    p.add_argument("--mpi-args", default="", help="more arguments of mpirun, such as '--mca btl self,tcp'")
    p.add_argument("--size", type=int, default=224, help="pixels")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.child:
        return child(a.size)
    if not a.photos:
        p.error("PHOTOS is missing")
    programs = {
        "effnet, one process, 2 threads": lambda: effnet(a, 1),
        "effnet, 2 ranks of 1 thread": lambda: effnet(a, 2),
        "PyTorch DDP, gloo, 2 ranks of 1 thread": lambda: ddp(a),
    }
    speeds = {name: [] for name in programs}
    sums = []
    for r in range(a.rounds):
        for name, run in programs.items():
            speed, share = run()
            print(f"round {r + 1}  {name}: {speed:.1f} images/s" + (f", {100 * share:.1f}% in sums" if share else ""), file=sys.stderr)
            speeds[name].append(speed)
            if share:
                sums.append(share)
    median = {name: statistics.median(v) for name, v in speeds.items()}
    ranks = median["effnet, 2 ranks of 1 thread"]
    print("| program | images/s | least to most | two ranks of effnet are |\n|---|---|---|---|")
    for name, v in speeds.items():
        ratio = "" if "effnet, 2" in name else f"{ranks / median[name]:.2f}x"
        print(f"| {name} | {median[name]:.1f} | {min(v):.1f} to {max(v):.1f} | {ratio} |")
    print(f"\nIn sums: {100 * statistics.median(sums):.1f}% of the time.")


def environment():
    return dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMP_NUM_THREADS="1")


def effnet(a, ranks):
    """Images per second of the second epoch, and the share of time in sums."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "run")
        command = [a.effnet, "train", str(a.photos), "--variant", "b0", "--img-size", str(a.size), "--batch-size", str(BATCH),
                   "--grad-accum", str(2 // ranks), "--threads", str(2 // ranks), "--workers", str(2 // ranks),
                   "--subset", str(2 * BATCH * UPDATES), "--epochs", "2", "--warmup-epochs", "0", "--out", str(out), "-q", "--json"]
        if ranks > 1:
            command = [a.mpirun, "-n", str(ranks), *a.mpi_args.split(), *command]
        printed = subprocess.run(command, check=True, env=environment(), stdout=subprocess.PIPE, text=True).stdout
        epoch = json.loads(printed)["epochs"][-1]
        return epoch["images_per_sec"], epoch.get("exchange", 0)


def ddp(a):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29617", __file__, "--child", "--size", str(a.size)]
    out = subprocess.run(command, check=True, env=environment(), stdout=subprocess.PIPE, text=True).stdout
    return float(out.split()[-1]), 0


def child(size):
    import torch
    import torchvision

    torch.distributed.init_process_group("gloo")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = torchvision.models.efficientnet_b0().to(memory_format=torch.channels_last).train()
    net = torch.nn.parallel.DistributedDataParallel(net)
    x = torch.randn(BATCH, 3, size, size).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, 1000, (BATCH,))
    optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-4, alpha=0.9, momentum=0.9, eps=1e-3)
    seconds = []
    for i in range(2 + UPDATES):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(net(x), y, label_smoothing=0.1).backward()
        optimizer.step()
        if i >= 2:
            seconds.append(time.perf_counter() - start)
    torch.distributed.barrier()
    if torch.distributed.get_rank() == 0:
        print(2 * BATCH / statistics.median(seconds))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
