#!/usr/bin/env python3
"""Compares PyTorch, ONNX Runtime and OpenVINO with `effnet bench` and prints the ratios.

    make build
    pip install torch torchvision onnx onnxscript onnxruntime openvino numpy
    python3 tools/bench_peers.py                  # on the CPU
    python3 tools/bench_peers.py --device cuda    # on an NVIDIA GPU
    python3 tools/bench_peers.py --device cuda --rows gpu-train-b0 --contenders effnet,eager --rounds 1

Each measurement is a fresh process that computes on random data; the programs take
turns, round after round, so that a slow minute of the machine meets all of them. What
a process reports is the median of its steps; the table has the medians over the
rounds, and what effnet's is of each. torch.compile also needs a C++ compiler.

Training is torchvision's network (dropout and stochastic depth on), cross-entropy with
label smoothing, backward and RMSprop with momentum, in both of PyTorch's layouts, and in
bf16 by autocast. Inference is the same network exported to ONNX at the row's batch size;
OpenVINO runs it in float32 and as it does unasked, in bf16 where the processor has that.
effnet in float32 is compared with the fastest in float32, and in bf16 with the fastest
of all. On a GPU inference is torchvision's network, as training is. There PyTorch has channels_last and bf16 by
autocast, and both programs compute in bf16 unless the table says otherwise; memory is
what they have allocated on the GPU at the most, not what their allocators hold.

The tables are Markdown on stdout, progress is on stderr. --json FILE also keeps the
numbers, rewritten after each process. --size, --batch, --warmup and --peer-device cpu
are for rehearsing without a GPU: such numbers mean nothing.
"""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time


@dataclasses.dataclass(frozen=True)
class Row:
    """One piece of work. steps are timed, after WARMUPS of the device that are not."""

    mode: str
    variant: str
    size: int
    batch: int
    steps: int
    device: str = "cpu"

    def __str__(self):
        return f"{self.mode} {self.variant}, {self.size} px, batch {self.batch}"


ROWS = {
    "train-b0": Row("train", "b0", 224, 16, 8),
    "train-b4": Row("train", "b4", 380, 2, 6),
    "train-b0-32px": Row("train", "b0", 32, 256, 10),
    "train-v2-s": Row("train", "v2-s", 224, 8, 8),
    "infer-b0": Row("infer", "b0", 224, 16, 20),
    "infer-b0-one": Row("infer", "b0", 224, 1, 100),
    "infer-b1-one": Row("infer", "b1", 240, 1, 60),
    "infer-b4-one": Row("infer", "b4", 380, 1, 30),
    "gpu-train-b0": Row("train", "b0", 224, 256, 30, "cuda"),
    "gpu-train-b4": Row("train", "b4", 380, 64, 30, "cuda"),
    "gpu-infer-b0": Row("infer", "b0", 224, 256, 50, "cuda"),
    "gpu-infer-b0-one": Row("infer", "b0", 224, 1, 300, "cuda"),
}
WARMUPS = {"cpu": 2, "cuda": 10}
KEPT = {"EFFNET_CUDA_LIBS", "EFFNET_CUDA_DEVICE"}  # of effnet's environment: where CUDA is
IDS = ["effnet", "effnet_bf16", "eager", "compile", "graphs", "tf32", "fp32", "channels_last", "nchw", "bf16", "compile_bf16",
       "onnx", "openvino", "openvino_fp32", "avx2", "generic", "one"]


@dataclasses.dataclass
class Contender:
    """A program's way of doing a row. Ratios are of the first one's speed."""

    id: str  # of IDS
    name: str
    command: list
    env: dict = dataclasses.field(default_factory=dict)
    once: bool = False  # in the first round only
    peer: bool = False
    precision: str = "fp32"
    speeds: list = dataclasses.field(default_factory=list)  # images/s, one a round
    memory: list = dataclasses.field(default_factory=list)  # MiB: peak RSS, or the GPU's
    error: str = ""


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--effnet", default="bin/effnet", help="the program (default: %(default)s)")
    p.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="whose rows (default: %(default)s)")
    p.add_argument("--rows", help=f"which, by commas: {', '.join(ROWS)} (default: all of the device)")
    p.add_argument("--contenders", help=f"which, by commas: {', '.join(IDS)} (default: all of the row); ratios are of effnet's speed")
    p.add_argument("--json", metavar="FILE", help="keep the numbers")
    p.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    p.add_argument("--threads", type=int, default=2, help="of every program (default: %(default)s)")
    p.add_argument("--steps", type=int, help="to time in each process (default: the row's)")
    p.add_argument("--warmup", type=int, help=f"steps before those (default: {WARMUPS['cpu']}, on a GPU {WARMUPS['cuda']})")
    p.add_argument("--size", type=int, help="pixels (default: the row's)")
    p.add_argument("--batch", type=int, help="images a step (default: the row's)")
    p.add_argument("--peer-device", choices=["cpu", "cuda"], help="where PyTorch runs (default: the row's device)")
    p.add_argument("--peers-only", action="store_true", help="without effnet's other kernel sets and its one thread")
    p.add_argument("--timeout", type=float, default=1800, help="seconds for one process (default: %(default)s)")
    p.add_argument("--child", nargs=2, metavar=("KIND", "JSON"), help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.child:
        kind, work = a.child
        print(json.dumps(CHILDREN[kind](**json.loads(work))))
        return
    names = [n.strip() for n in a.rows.split(",")] if a.rows else [n for n, row in ROWS.items() if row.device == a.device]
    for n in names:
        if n not in ROWS:
            p.error(f"--rows: {n} is unknown (have {', '.join(ROWS)})")
    if min(a.rounds, a.threads, *(1 if n is None else n for n in [a.steps, a.size, a.batch])) < 1 or (a.warmup or 0) < 0:
        p.error("--rounds, --threads, --steps, --size and --batch: want 1 or more; --warmup: 0 or more")
    a.contenders = [c.strip() for c in a.contenders.split(",")] if a.contenders else None
    for c in a.contenders or []:
        if c not in IDS:
            p.error(f"--contenders: {c} is unknown (have {', '.join(IDS)})")
    if not pathlib.Path(a.effnet).is_file():
        p.error(f"--effnet: there is no {a.effnet} (make build)")

    with tempfile.TemporaryDirectory() as tmp:
        results = {}
        for n in names:
            row = ROWS[n]
            row = dataclasses.replace(row, steps=a.steps or row.steps, size=a.size or row.size, batch=a.batch or row.batch)
            entries = contenders(n, row, a, tmp)
            if not entries:
                p.error(f"--contenders: none of them does {n}")
            results[n] = row, entries
            for i in range(a.rounds):
                for c in results[n][1]:
                    if not c.error and not (c.once and i > 0):
                        measure(c, n, i, a)
                        keep(results, a)
    report(results, a)


def contenders(name, row, a, tmp):
    """What does a row, of those that are asked for: effnet, its peers, effnet in other ways."""

    warmups = WARMUPS[row.device] if a.warmup is None else a.warmup

    def wanted(*ids):
        return any(a.contenders is None or i in a.contenders for i in ids)

    def chosen(entries):
        return [c for c in entries if wanted(c.id)]

    def effnet(threads, steps=row.steps, warmup=warmups, precision="fp32"):
        return [a.effnet, "bench", "--json", "--mode", row.mode, "--variant", row.variant, "--img-size", str(row.size),
                "-b", str(row.batch), "--threads", str(threads), "--steps", str(steps), "--warmup", str(warmup),
                "--device", row.device, "--precision", precision]

    def child(kind, **more):
        work = dataclasses.asdict(row) | {"threads": a.threads, "warmup": warmups} | more
        work["device"] = a.peer_device or row.device
        return [sys.executable, __file__, "--child", kind, json.dumps(work)]

    if row.device == "cuda":
        peers = {"eager": ("PyTorch, eager", None), "compile": ("torch.compile", "default"), "graphs": ("torch.compile, CUDA graphs", "reduce-overhead")}
        entries = [Contender("effnet", "effnet", effnet(a.threads, precision="bf16"))]
        entries += [Contender(i, n, child("torch_gpu", compile=mode), peer=True) for i, (n, mode) in peers.items()]
        if not a.peers_only:
            entries += [Contender(p, f"effnet, {p}", effnet(a.threads, precision=p)) for p in ["tf32", "fp32"]]
        return chosen(entries)
    entries = [Contender("effnet", "effnet", effnet(a.threads)),
               Contender("effnet_bf16", "effnet, bf16", effnet(a.threads, precision="bf16"), precision="bf16")]
    if row.mode == "train":
        entries.append(Contender("channels_last", "PyTorch, channels_last", child("torch", layout="channels_last"), peer=True))
        entries.append(Contender("nchw", "PyTorch, nchw", child("torch", layout="nchw"), peer=True))
        entries.append(Contender("bf16", "PyTorch, channels_last, bf16", child("torch", layout="channels_last", bf16=True), peer=True, precision="bf16"))
        if name == "train-b0":
            entries.append(Contender("compile", "torch.compile, channels_last", child("torch", layout="channels_last", compile=True), peer=True))
            entries.append(Contender("compile_bf16", "torch.compile, channels_last, bf16",
                                     child("torch", layout="channels_last", compile=True, bf16=True), peer=True, precision="bf16"))
    elif wanted("onnx", "openvino", "openvino_fp32"):
        model = os.path.join(tmp, f"{name}.onnx")
        runtimes = [Contender("onnx", "ONNX Runtime", child("onnx", model=model), peer=True),
                    Contender("openvino_fp32", "OpenVINO, float32", child("openvino", model=model, precision="f32"), peer=True),
                    Contender("openvino", "OpenVINO, unasked", child("openvino", model=model), peer=True, precision="bf16")]
        _, error = run(child("export", model=model), {}, a)
        for c in runtimes:
            c.error = error
        entries += runtimes
    if not a.peers_only:
        entries.append(Contender("avx2", "effnet, AVX2", effnet(a.threads), {"EFFNET_KERNELS": "avx2"}))
        if name == "train-b0":
            entries.append(Contender("generic", "effnet, generic", effnet(a.threads, 1, 0), {"EFFNET_KERNELS": "generic"}, once=True))
        if a.threads > 1:
            entries.append(Contender("one", "effnet, one thread", effnet(1)))
    return chosen(entries)


def measure(c, name, i, a):
    """Runs a contender once and notes what it reports."""
    out, c.error = run(c.command, c.env, a)
    if c.error:
        print(f"round {i + 1}  {name}  {c.name}: {c.error}", file=sys.stderr)
        return
    r = json.loads(out.splitlines()[-1])
    c.speeds.append(r["images_per_sec"])
    c.memory.append(r.get("device_memory_mb", r["peak_rss_mb"]))
    print(f"round {i + 1}  {name}  {c.name}: {c.speeds[-1]:.1f} images/s, {c.memory[-1]:.0f} MiB", file=sys.stderr)


def keep(results, a):
    """Writes --json's file, whole, with what is known by now."""
    if not a.json:
        return
    rows = []
    for name, (row, entries) in results.items():
        contenders = [{"id": c.id, "name": c.name, "images_per_sec": c.speeds, "median": median(c.speeds) if c.speeds else 0,
                       "memory_mb": median(c.memory) if c.memory else 0, "error": c.error} for c in entries]
        rows.append({"name": name, "work": str(row)} | dataclasses.asdict(row) | {"contenders": contenders})
    made = pathlib.Path(a.json + ".tmp")
    made.write_text(json.dumps({"rows": rows, "rounds": a.rounds, "threads": a.threads, "cpu": cpu()}))
    made.replace(a.json)


def run(command, env, a):
    """What a process prints, and why it failed if it did."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("EFFNET_") or k in KEPT}
    clean |= {"OMP_NUM_THREADS": str(a.threads), "MKL_NUM_THREADS": str(a.threads)} | env
    try:
        p = subprocess.run(command, env=clean, capture_output=True, text=True, timeout=a.timeout)
    except subprocess.TimeoutExpired:
        return "", f"took more than {a.timeout:.0f} s"
    if p.returncode != 0:
        lines = p.stderr.strip().splitlines() or [""]
        return "", f"failed with exit code {p.returncode}: {lines[-1].strip()[:200]}"
    return p.stdout, ""


# The children: each returns what it prints as JSON.


def torch_gpu_child(mode, variant, size, batch, steps, warmup, device, threads, compile):
    import torch
    import torchvision

    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    net = getattr(torchvision.models, f"efficientnet_{variant}")().to(device, memory_format=torch.channels_last)
    net.train(mode == "train")
    x = torch.randn(batch, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, 1000, (batch,), device=device)
    optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-4, alpha=0.9, momentum=0.9, eps=1e-3)
    forward = torch.compile(net, mode=compile) if compile else net

    def train():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(forward(x), y, label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        loss.item()

    @torch.inference_mode()
    def infer():
        with torch.autocast(device, torch.bfloat16):
            forward(x)
        if device == "cuda":
            torch.cuda.synchronize()

    timings = timed(train if mode == "train" else infer, batch, steps, warmup)
    if device == "cuda":
        timings["device_memory_mb"] = torch.cuda.max_memory_allocated() / 2**20
    return timings


def torch_child(mode, variant, size, batch, steps, warmup, device, threads, layout, compile=False, bf16=False):
    import torch
    import torchvision

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    net = getattr(torchvision.models, f"efficientnet_{variant.replace('-', '_')}")().to(memory_format=memory)
    net.train(mode == "train")
    x = torch.randn(batch, 3, size, size).contiguous(memory_format=memory)
    y = torch.randint(0, 1000, (batch,))
    optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-4, alpha=0.9, momentum=0.9, eps=1e-3)
    forward = torch.compile(net) if compile else net

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = torch.nn.functional.cross_entropy(forward(x), y, label_smoothing=0.1)
        loss.backward()
        optimizer.step()

    return timed(step, batch, steps, warmup)


def export_child(mode, variant, size, batch, steps, warmup, device, threads, model):
    import torch
    import torchvision

    torch.manual_seed(0)
    net = getattr(torchvision.models, f"efficientnet_{variant}")().eval()
    torch.onnx.export(net, (torch.randn(batch, 3, size, size),), model)
    return {}


def onnx_child(mode, variant, size, batch, steps, warmup, device, threads, model):
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    x = numpy.random.default_rng(0).standard_normal((batch, 3, size, size), dtype=numpy.float32)
    feed = {session.get_inputs()[0].name: x}
    return timed(lambda: session.run(None, feed), batch, steps, warmup)


def openvino_child(mode, variant, size, batch, steps, warmup, device, threads, model, precision=None):
    import numpy
    import openvino

    config = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    if precision:
        config["INFERENCE_PRECISION_HINT"] = precision
    request = openvino.Core().compile_model(model, "CPU", config).create_infer_request()
    x = numpy.random.default_rng(0).standard_normal((batch, 3, size, size), dtype=numpy.float32)
    return timed(lambda: request.infer([x]), batch, steps, warmup)


def versions_child():
    import torch

    versions = {"PyTorch": torch.__version__}
    for package, name in {"torchvision": "torchvision", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}.items():
        try:
            versions[name] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass  # the rows that need it say so
    if torch.cuda.is_available():
        versions[torch.cuda.get_device_name()] = f"CUDA {torch.version.cuda}"
    return versions


CHILDREN = {"torch": torch_child, "torch_gpu": torch_gpu_child, "export": export_child, "onnx": onnx_child, "openvino": openvino_child, "versions": versions_child}


def timed(step, batch, steps, warmup):
    """Times a step as effnet bench does, with its keys."""
    seconds = []
    for i in range(warmup + steps):
        start = time.perf_counter()
        step()
        if i >= warmup:
            seconds.append(time.perf_counter() - start)
    return {"images_per_sec": batch / statistics.median(seconds), "step_sec": seconds, "peak_rss_mb": peak_rss()}


def peak_rss():
    """MiB; Linux's getrusage would count the parent in."""
    try:
        status = pathlib.Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / 2**20 if sys.platform == "darwin" else most / 1024


# The tables.


def report(results, a):
    out, error = run([sys.executable, __file__, "--child", "versions", "{}"], {}, a)
    names = ", ".join(f"{k} {v}" for k, v in json.loads(out.splitlines()[-1]).items()) if not error else error
    print(f"{cpu()}, {a.threads} threads, medians of {a.rounds} round{'s'[:a.rounds > 1]}; {names}\n")
    print("| work | program | images/s | least to most | memory, MiB | effnet is |")
    print("|---|---|---|---|---|---|")
    for row, entries in results.values():
        for c in entries:
            print(f"| {row} | {c.name} | {cells(c, effnet_of(entries))} |")
    print("\n| work | effnet | the fastest peer | ratio |")
    print("|---|---|---|---|")
    for name, (row, entries) in results.items():
        ours = [c for c in entries if c.id in ("effnet", "effnet_bf16") and c.speeds]
        for c in ours:
            compare(name, row, c, entries)
        if not ours:
            print(f"| {row} | - | - | no measurement |")


def compare(name, row, ours, entries):
    """Prints the ratios of one of effnet's ways."""
    half = ours.id == "effnet_bf16"
    work = f"{row}, bf16" if half else row
    peer = fastest([c for c in entries if half or row.device == "cuda" or c.precision == "fp32"])
    if not peer:
        print(f"| {work} | - | - | no measurement |")
        return
    speed, theirs = median(ours.speeds), median(peer.speeds)
    print(f"| {work} | {speed:.1f} images/s | {peer.name}: {theirs:.1f} | {speed / theirs:.2f} |")
    if row.mode == "train" and name != "train-b0-32px":
        peer = fastest([c for c in entries if c.name.startswith("PyTorch") and (row.device == "cuda" or c.precision == "fp32")])
        if peer:
            memory, theirs = median(ours.memory), median(peer.memory)
            print(f"| memory, {work} | {memory:.0f} MiB | {peer.name}: {theirs:.0f} | {memory / theirs:.2f} |")


def effnet_of(entries):
    return next((c for c in entries if c.id == "effnet"), None)


def cells(c, effnet):
    if c.error or not c.speeds:
        return f"{c.error.replace('|', ' ')} | | | "
    ratio = "" if c is effnet or not effnet or not effnet.speeds else f"{median(effnet.speeds) / median(c.speeds):.2f}x"
    spread = f"{min(c.speeds):.1f} to {max(c.speeds):.1f}"
    return f"{median(c.speeds):.1f} | {spread} | {median(c.memory):.0f} | {ratio}"


def fastest(entries):
    peers = [c for c in entries if c.peer and c.speeds and not c.error]
    return max(peers, key=lambda c: median(c.speeds), default=None)


def median(x):
    return statistics.median(x)


def cpu():
    try:
        info = pathlib.Path("/proc/cpuinfo").read_text()
        return info.split("model name")[1].split(":", 1)[1].split("\n")[0].strip()
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
