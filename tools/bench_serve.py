"""Compares effnet serve with FastAPI, uvicorn and ONNX Runtime: requests per second and times,
of the same network and the same JPEG files, with wrk as the client of both.

    python3 tools/bench_serve.py CHECKPOINT PHOTOS [--rounds 3] [--seconds 15]

CHECKPOINT is a checkpoint of effnet's; PHOTOS a folder of photographs, from which files of
500x375 pixels are made. Needs bin/effnet, wrk, and a Python with fastapi, uvicorn[standard],
onnxruntime, numpy and pillow: this one. The variants of the peer are run in turn, its best at
16 clients is what effnet is compared with, and rounds alternate between the programs.
"""

import argparse
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

from PIL import Image

HERE = pathlib.Path(__file__).parent
VARIANTS = {  # of the peer
    "one worker, 2 threads": ({"THREADS": "2"}, 1),
    "one worker, 2 threads, batches of 16": ({"THREADS": "2", "BATCH": "16"}, 1),
    "one worker, 2 threads, batches of 16, waiting 3 ms": ({"THREADS": "2", "BATCH": "16", "WAIT": "0.003"}, 1),
    "two workers, 1 thread each": ({"THREADS": "1", "DECODERS": "1"}, 2),
    "two workers, 1 thread each, batches of 8": ({"THREADS": "1", "DECODERS": "1", "BATCH": "8"}, 2),
}
SCRIPT = """
local files, bodies, n = {%s}, {}, 0
for i, name in ipairs(files) do local f = io.open(name, "rb"); bodies[i] = f:read("*a"); f:close() end
request = function() n = n %% #bodies + 1; return wrk.format("POST", "%s", {["Content-Type"] = "image/jpeg"}, bodies[n]) end
done = function(summary, latency)
  io.write(string.format("RESULT %%d %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
"""


def photographs(folder, out, n=32):
    names = sorted(p for p in pathlib.Path(folder).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    for i, path in enumerate(names[:: max(1, len(names) // n)][:n]):
        image = Image.open(path).convert("RGB")
        w, h = image.size
        if w * 3 > h * 4:
            image = image.crop(((w - h * 4 // 3) // 2, 0, (w + h * 4 // 3) // 2, h))
        else:
            image = image.crop((0, (h - w * 3 // 4) // 2, w, (h + w * 3 // 4) // 2))
        image.resize((500, 375), Image.BICUBIC).save(out / f"{i:02}.jpg", quality=90)
    return sorted(out.glob("*.jpg"))


def preprocessing(checkpoint):
    """How images become the network's input, from the checkpoint's own description."""
    with open(checkpoint, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
    return json.loads(header["__metadata__"]["effnet"])["preprocess"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A running server."""

    def __init__(self, command, path, env=None):
        self.port, self.path = free_port(), path
        self.process = subprocess.Popen([c.replace("PORT", str(self.port)) for c in command], env={**os.environ, **(env or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait(self, body):
        for _ in range(600):
            try:
                request = urllib.request.Request(f"http://127.0.0.1:{self.port}{self.path}", body, {"Content-Type": "image/jpeg"})
                return json.load(urllib.request.urlopen(request))
            except (ConnectionError, urllib.error.URLError):
                time.sleep(0.1)
        raise SystemExit("a server does not start")

    def load(self, files, clients, seconds):
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(SCRIPT % (", ".join(f'"{f}"' for f in files), self.path))
            script.flush()
            text = subprocess.run(["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "-s", script.name, f"http://127.0.0.1:{self.port}"], capture_output=True, text=True, check=True).stdout
        requests, us, p50, p99, worst, errors = map(int, re.search(r"RESULT (.*)", text).group(1).split())
        assert errors == 0, text
        return {"per_sec": requests / us * 1e6, "p50_ms": p50 / 1e3, "p99_ms": p99 / 1e3, "max_ms": worst / 1e3}

    def stop(self):
        self.process.terminate()
        self.process.wait()


def measure(start, files, seconds, clients):
    server = start()
    try:
        server.wait(files[0].read_bytes())
        server.load(files, clients[0], 3)
        return {c: server.load(files, c, seconds) for c in clients}
    finally:
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("photos")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=15)
    args = parser.parse_args()
    effnet = str(HERE.parent / "bin/effnet")
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        files = photographs(args.photos, tmp)
        subprocess.run([effnet, "export", args.checkpoint, str(tmp / "network.onnx")], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        preprocess = preprocessing(args.checkpoint)
        common = {"MODEL": str(tmp / "network.onnx"), "SIDE": str(preprocess["resolution"]),
                  "MEAN": " ".join(map(str, preprocess["mean"])), "STD": " ".join(map(str, preprocess["std"]))}

        def peer(variant):
            env, workers = VARIANTS[variant]
            command = [sys.executable, "-m", "uvicorn", "--app-dir", str(HERE), "bench_serve_peer:app", "--port", "PORT", "--workers", str(workers), "--log-level", "error", "--no-access-log", "--loop", "uvloop", "--http", "httptools"]
            return lambda: Server(command, "/classify", {**common, **env})

        def ours(*flags):
            return lambda: Server([effnet, "serve", args.checkpoint, "--addr", "127.0.0.1:PORT", "-q", *flags], "/v1/classify")

        trial = {v: measure(peer(v), files, args.seconds, [16])[16] for v in VARIANTS}
        for v, r in trial.items():
            print(f"peer, {v}: {r['per_sec']:.1f} requests/s, p99 {r['p99_ms']:.0f} ms", flush=True)
        best = max(trial, key=lambda v: trial[v]["per_sec"])
        programs = {f"FastAPI, uvicorn, ONNX Runtime: {best}": peer(best), "effnet serve, fp32": ours(), "effnet serve, bf16": ours("--precision", "bf16")}
        rounds = {name: [] for name in programs}
        for _ in range(args.rounds):
            for name, start in programs.items():
                rounds[name].append(measure(start, files, args.seconds, [16, 1]))
        print("\n| server | requests/s, 16 clients | ratio | p50 | p99 | one client: p50 |\n|---|---|---|---|---|---|")
        base = None
        for name, all_rounds in rounds.items():
            m = {(c, k): statistics.median(r[c][k] for r in all_rounds) for c in (16, 1) for k in ("per_sec", "p50_ms", "p99_ms")}
            base = base or m[16, "per_sec"]
            print(f"| {name} | {m[16, 'per_sec']:.1f} | {m[16, 'per_sec'] / base:.2f} | {m[16, 'p50_ms']:.0f} ms | {m[16, 'p99_ms']:.0f} ms | {m[1, 'p50_ms']:.1f} ms |")


if __name__ == "__main__":
    main()
