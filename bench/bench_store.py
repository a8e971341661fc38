#!/usr/bin/env python3
"""What a store of the teacher's answers is worth, measured with runs of the installed command in alternation.

  bench_store.py CTKD DATA [--what runs,sweep] [--rounds 3] [--limit 3200] [--epochs 3] [--threads 2] [--jobs 2]
                 [--teacher-path RUN | --teacher resnet56] [--student resnet20] [--json FILE]

DATA is data.set of real images, such as cifar100:cifar-100-binary. A round of `runs` is a run without a store, the first
run with one and a second run that finds every answer; their images/s (without evaluation and start) are compared. A
round of `sweep` is four runs with other methods one after another without a store, on all threads, against `ctkd sweep`
of the same four; their seconds from start to end are compared. Printed: medians over the rounds, their ratio, and the
smallest and the largest ratio of a round. Test images are a fifth of the training images, as CIFAR has them. With a
teacher below 50 %, such as one that was trained for a moment, each run begins with a search for its normalisation.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ARMS = {"kd": [], "dkd": ["method=dkd"], "lskd": ["method=lskd"], "dist": ["method=dist"]}


class Bench:
    def __init__(self, args, folder):
        self.args, self.folder, self.count = args, folder, 0
        data = [f"data.set={args.data}", f"data.test_limit={args.limit // 5}", "train.seed=1"]
        self.settings = [*data, f"data.limit={args.limit}", f"train.epochs={args.epochs}", "train.batch=64",
                         "schedule.kind=constant"]
        teacher = args.teacher_path
        if not teacher:
            teacher = self.path("teacher")
            self.run("train", f"student.network={args.teacher}", *data, "data.limit=6400", "train.epochs=2",
                     "optimizer.lr=0.02", f"run.dir={teacher}")
        self.distill = [f"student.network={args.student}", f"teacher.path={teacher}", "teacher.tolerance=100",
                        "temperature.kind=global", *self.settings]

    def path(self, name):
        return os.path.join(self.folder, name)

    def fresh(self, name):
        self.count += 1
        return self.path(f"{name}-{self.count}")

    def run(self, *words):
        """Seconds of a command."""
        began = time.perf_counter()
        done = subprocess.run([self.args.ctkd, *words], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"ctkd {' '.join(words)}: exit status {done.returncode}\n{done.stderr[-2000:]}")
        return time.perf_counter() - began

    def epochs(self, folder):
        with open(os.path.join(folder, "log.jsonl"), encoding="utf-8") as log:
            lines = [json.loads(line) for line in log]
        return [line for line in lines if line["kind"] == "epoch"]

    def images_per_second(self, store):
        folder = self.fresh("run")
        self.run("distill", *self.distill, f"train.threads={self.args.threads}", f"teacher.store={store}",
                 f"run.dir={folder}")
        epochs = self.epochs(folder)
        images = self.args.limit * len(epochs)
        return images / sum(self.args.limit / e["images_per_second"] for e in epochs), epochs

    def round_of_runs(self):
        store = self.fresh("store")
        without, _ = self.images_per_second("off")
        first, _ = self.images_per_second(store)
        second, epochs = self.images_per_second(store)
        if sum(e["teacher_misses"] for e in epochs):
            sys.exit("the second run missed answers")
        return {"without": without, "first": first, "second": second}

    def round_of_sweep(self):
        alone = sum(self.run("distill", *self.distill, *words, f"train.threads={self.args.threads}", "teacher.store=off",
                             f"run.dir={self.fresh(arm)}") for arm, words in ARMS.items())
        folder = self.fresh("sweep")
        arms = [word for arm, words in ARMS.items() for word in ("--arm", arm, *words)]
        threads = max(1, self.args.threads // self.args.jobs)
        together = self.run("sweep", *self.distill, f"train.threads={threads}", *arms, "--seeds", "1", "--jobs",
                            str(self.args.jobs), "--dir", folder)
        misses = [sum(e["teacher_misses"] for e in self.epochs(os.path.join(folder, arm, "seed-1"))) for arm in ARMS]
        images = self.args.limit * self.args.epochs
        return {"one after another": alone, "sweep": together, "answers computed per view": sum(misses) / images}


def tell(name, rounds, above, below):
    each = [r[above] / r[below] for r in rounds]
    a, b = (statistics.median(r[key] for r in rounds) for key in (above, below))
    print(f"| {name} | {a:.1f} | {b:.1f} | {a / b:.3f} [{min(each):.3f}-{max(each):.3f}] |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ctkd")
    parser.add_argument("data")
    parser.add_argument("--what", default="runs,sweep")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=int, default=3200)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--teacher", default="resnet56")
    parser.add_argument("--teacher-path", help="trained weights; without, --teacher is trained for a moment")
    parser.add_argument("--student", default="resnet20")
    parser.add_argument("--json", help="append every round to this file, one object a line")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, folder)
        print("| what | a | b | a / b [min-max] |\n|---|---|---|---|")
        for what in args.what.split(","):
            rounds = [getattr(bench, f"round_of_{what}")() for _ in range(args.rounds)]
            if args.json:
                with open(args.json, "a", encoding="utf-8") as out:
                    out.writelines(json.dumps({"what": what, **r}) + "\n" for r in rounds)
            if what == "runs":
                tell("second run / first run, images/s", rounds, "second", "first")
                tell("without a store / first run, images/s", rounds, "without", "first")
                tell("second run / without a store, images/s", rounds, "second", "without")
            else:
                tell("four runs one after another / sweep, s", rounds, "one after another", "sweep")
                computed = statistics.median(r["answers computed per view"] for r in rounds)
                print(f"answers that the sweep computed, of each view: {computed:.2f}")


main()
