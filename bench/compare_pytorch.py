#!/usr/bin/env python3
"""Ratio of PyTorch's step time to ours, measured in alternation on this machine.

  compare_pytorch.py BUILD [--pairs rn56-rn20,...] [--batches 64,128] [--rounds 5] [--steps 15] [--isa auto]
                     [--ours step|hits] [--threads 2] [--modes eager,channels_last,...] [--python PATH] [--json FILE]

Without --python a throw-away virtual environment is made and the CPU build of PyTorch is installed into it. Every mode of
PyTorch runs once; those within 5 % of the fastest go on, one run of each and one of ours in turn, for --rounds rounds.
The peer of a round is its fastest run, always with its teacher; `--ours hits` takes our teacher's answers from a store,
as every step but those of a first run does. Printed: ratio of the medians over the rounds, then the smallest and the largest
ratio of a round; then peak memory and the time from the start of the process to the end of the first step, as ratios of
medians. Threads of both are bound to cores.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TORCH = "torch==2.13.0"
PAIRS = ("rn56-rn20,rn110-rn32,wrn40-2-wrn16-2,wrn40-2-wrn40-1,vgg13-vgg8,vgg13-MobileNetV2,ResNet50-MobileNetV2,"
         "rn32x4-ShuffleV1,rn32x4-ShuffleV2,wrn40-2-ShuffleV1")
MODES = "eager,channels_last,compile,compile_channels_last"


def run(command, threads):
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), OMP_PROC_BIND="true")
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[0])


def venv_python(folder):
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = os.path.join(folder, "bin", "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", TORCH, "numpy"], check=True)
    return python


def measure(args, python, pair, batch):
    """Rounds of (our run, the fastest run of PyTorch)."""
    shared = ["--pair", pair, "--batch", str(batch), "--threads", str(args.threads), "--steps", str(args.steps)]
    ours = [os.path.join(args.build, "bench_step"), *shared, "--isa", args.isa, "--mode", args.ours]

    def peer(mode):
        return run([python, os.path.join(HERE, "torch_step.py"), *shared, "--mode", mode], args.threads)

    trial = {mode: peer(mode) for mode in args.modes.split(",")}
    best = min(r["ms_median"] for r in trial.values())
    modes = [mode for mode, r in trial.items() if r["ms_median"] <= 1.05 * best]
    rounds = []
    for _ in range(args.rounds):
        mine = run(ours, args.threads)
        rounds.append((mine, min((peer(mode) for mode in modes), key=lambda r: r["ms_median"])))
    return trial, rounds


def ratio(rounds, key):
    each = [theirs[key] / mine[key] for mine, theirs in rounds]
    ours, peers = (statistics.median(r[side][key] for r in rounds) for side in (0, 1))
    return ours, peers, peers / ours, min(each), max(each)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--pairs", default=PAIRS)
    parser.add_argument("--batches", default="64")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--isa", default="auto")
    parser.add_argument("--ours", choices=("step", "hits"), default="step")
    parser.add_argument("--modes", default=MODES)
    parser.add_argument("--python")
    parser.add_argument("--json", help="append every run to this file, one object a line")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        python = args.python or venv_python(folder)
        print("| pair | batch | isa | PyTorch's fastest | PyTorch ms | ctkd ms | ratio [min-max] | memory MiB | ratio "
              "| first step s | ratio |\n|---|---|---|---|---|---|---|---|---|---|---|")
        for pair in args.pairs.split(","):
            for batch in map(int, args.batches.split(",")):
                trial, rounds = measure(args, python, pair, batch)
                ours, peer, speed, low, high = ratio(rounds, "ms_median")
                memory, peer_memory, memory_ratio, _, _ = ratio(rounds, "peak_rss_mib")
                first, peer_first, first_ratio, _, _ = ratio(rounds, "first_step_s")
                modes = sorted({theirs["mode"] for _, theirs in rounds})
                print(f"| {pair} | {batch} | {rounds[0][0]['isa']} | {'/'.join(modes)} | {peer:.1f} | {ours:.1f} "
                      f"| {speed:.2f} [{low:.2f}-{high:.2f}] | {peer_memory:.0f} / {memory:.0f} | {memory_ratio:.1f} "
                      f"| {peer_first:.2f} / {first:.2f} | {first_ratio:.1f} |", flush=True)
                if args.json:
                    with open(args.json, "a", encoding="utf-8") as out:
                        for record in [*trial.values(), *(r for pair_of_runs in rounds for r in pair_of_runs)]:
                            out.write(json.dumps(record) + "\n")


main()
