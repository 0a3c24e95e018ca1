#!/usr/bin/env python3
"""Kills a rank of a training run, or its launcher, at a random moment, again and again, and
resumes on another number of ranks: every run must end in the bits of one that was left
alone, in one process.

    tools/rank_kills.py bin/effnet photos --config tiny.yaml --kills 100
    tools/rank_kills.py bin/effnet photos --config tiny.yaml --mpirun mpirun.mpich

An update has four batches, so 1, 2 and 4 ranks can share it. A kill is SIGKILL to a random
rank or to the launcher, or SIGTERM or SIGUSR1 to the launcher. It exits with 1 if a run
ends otherwise, if a rank outlives its job by --patience seconds, or if too few were killed.
A launcher that outlives its ranks is ended and counted: Open MPI 4's mpirun sometimes does.
"""

import argparse
import collections
import hashlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SHARED = 4  # batches of an update
ALONE = 15  # seconds that a launcher may be there without ranks
RANKS = [1, 2, 4]

# Open MPI's mpirun, 4 and 5, starts more ranks than cores, as root too, and binds none.
ENV = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_hwloc_base_binding_policy": "none",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe", "PRTE_MCA_hwloc_default_binding_policy": "none",
}


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("effnet", type=pathlib.Path)
    p.add_argument("data", type=pathlib.Path)
    p.add_argument("--config", type=pathlib.Path, required=True, help="settings of a run of a few seconds")
    p.add_argument("--mpirun", default="mpirun")
    p.add_argument("--kills", type=int, default=100)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--patience", type=float, default=60, help="seconds in which a job must have ended after a kill")
    return p.parse_args()


def command(args, ranks, *more):
    train = [str(args.effnet.resolve()), "train", str(args.data.resolve()), "-q", "--threads", "1", *more]
    return train if ranks == 1 else [args.mpirun, "-n", str(ranks), *train]


def beginning(args, ranks, out):
    return command(args, ranks, "--config", str(args.config.resolve()), "--grad-accum", str(SHARED // ranks),
                   "--checkpoint-every", "3steps", "--out", str(out))


def processes(program, out):
    """The ranks that have a run's folder on their command lines."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "exe").resolve() == program.resolve() and str(out).encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            pass  # it has ended
    return found


def strike(args, draw, launcher, ranks, out):
    """Kills something; returns what, or None if nothing was there."""
    what = draw.choice(["rank KILL", "rank KILL", "launcher KILL", "launcher TERM", "launcher USR1"])
    who, name = what.split()
    if ranks == 1:
        victims = [launcher.pid]
    elif who == "rank":
        victims = processes(args.effnet, out)
    else:
        victims = [launcher.pid]
    if not victims or launcher.poll() is not None:
        return None
    try:
        os.kill(draw.choice(victims), getattr(signal, "SIG" + name))
    except ProcessLookupError:
        return None
    return f"{'process' if ranks == 1 else who} {name}"


def ended(args, launcher, what, out):
    """Waits until all ranks and the launcher have ended. Returns the seconds of each, None if it had to be ended.

    A launcher that is killed while it starts a rank leaves a process that cannot be told for one yet.
    """
    began = now = ranks = last = time.monotonic()
    settled = 3 if what == "launcher KILL" else 0
    while now - began < args.patience:
        now = time.monotonic()
        there = launcher.poll() is None
        if processes(args.effnet, out):
            ranks = last = now
        elif there:
            last = now
            if now - ranks > ALONE:
                launcher.kill()
                launcher.wait()
                return ranks - began, None
        elif now - last >= settled:
            return ranks - began, last - began
        time.sleep(0.02)
    return None, None


def digest(out):
    return [hashlib.sha256((out / name).read_bytes()).hexdigest() for name in ("last.safetensors", "best.safetensors")]


def main():
    args = parse()
    draw = random.Random(args.seed)
    env = os.environ | ENV
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rank-kills-"))
    began = time.monotonic()
    subprocess.run(beginning(args, 1, folder / "whole"), env=env, check=True, stdout=subprocess.DEVNULL)
    long, want = time.monotonic() - began, digest(folder / "whole")
    print(f"a run in one process takes {long:.1f} s: last.safetensors {want[0][:16]}", flush=True)
    kills, same, slowest, stayed = collections.Counter(), 0, collections.Counter(), 0
    while kills.total() < args.kills:
        out = folder / "run"
        shutil.rmtree(out, ignore_errors=True)
        ranks = draw.choice(RANKS)
        launcher = subprocess.Popen(beginning(args, ranks, out), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # While it starts, trains and ends.
        time.sleep(draw.uniform(0, long + 1))
        what = strike(args, draw, launcher, ranks, out)
        seconds, gone = ended(args, launcher, what, out)
        if seconds is None:
            sys.exit(f"{ranks} ranks, {what}: a rank still runs after {args.patience} s")
        if what is None:
            continue
        others = draw.choice([r for r in RANKS if r != ranks])
        resumed = list(out.glob("state-*"))
        again = command(args, others, f"--resume={out}") if resumed else beginning(args, others, out) + ["--exist-ok"]
        done = subprocess.run(again, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=600)
        if done.returncode != 0:
            sys.exit(f"{ranks} ranks, {what}, then {others}: exit code {done.returncode}\n{done.stderr}")
        kills[what] += 1
        slowest[what] = max(slowest[what], seconds)
        stayed += gone is None
        same += (equal := digest(out) == want)
        print(f"{kills.total()}: {ranks} ranks, {what}, ended in {seconds:.1f} s{' (but the launcher)' if gone is None else ''}, "
              f"{'resumed' if resumed else 'begun again'} on {others}: {'same bits' if equal else 'OTHER BITS'}", flush=True)
    shutil.rmtree(folder)
    print(f"{same} of {kills.total()} the same bits; " + ", ".join(f"{n} {what} (ended within {slowest[what]:.1f} s)" for what, n in sorted(kills.items()))
          + f"; {stayed} launchers stayed without ranks")
    sys.exit(same != kills.total())


if __name__ == "__main__":
    main()
