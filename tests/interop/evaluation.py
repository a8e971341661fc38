#!/usr/bin/env python3
"""`ctkd eval --details --dump` in NumPy: the files are arrays, and the scores follow from them.

usage: evaluation.py CTKD FOLDER (that of tensorboard_runs.py, with its runs)
"""
import json
import os
import subprocess
import sys

import numpy as np

CTKD, FOLDER = sys.argv[1], os.path.join(sys.argv[2], "tensorboard")


def check(what, condition):
    if not condition:
        sys.exit(f"FAILED: {what}")


def log_softmax(x):
    x = x - x.max(1, keepdims=True)
    return x - np.log(np.exp(x).sum(1, keepdims=True))


os.chdir(FOLDER)
command = [CTKD, "eval", "runs/seed-1", "--teacher", "runs/teacher", "--dump", "dump", "--json"]
done = subprocess.run(command, capture_output=True, text=True)
check(done.stderr, done.returncode == 0)
found = json.loads(done.stdout)
logits, teacher, labels, ids = (np.load(f"dump/{name}.npy") for name in ("logits", "teacher_logits", "labels", "ids"))
check("types", logits.dtype == np.float32 and labels.dtype == ids.dtype == np.int64)
check("shapes", logits.shape == teacher.shape == (20, 10) and labels.shape == (20,))
check("ids", list(ids) == list(range(20)))
s, t = log_softmax(logits.astype(float)), log_softmax(teacher.astype(float))
own = np.arange(20), labels
expected = {"top1": 100 * np.mean(s.argmax(1) == labels), "nll": -s[own].mean(),
            "brier": ((np.exp(s) - np.eye(10)[labels]) ** 2).sum(1).mean(),
            "macro_recall": np.mean([np.mean(s.argmax(1)[labels == c] == c) for c in range(10)])}
for key, value in expected.items():
    check(f"{key}: found {found[key]}, expected {value}", abs(found[key] - value) < 1e-6)
agreement = found["agreement"][0]
check("agreement", abs(agreement["same_class"] - 100 * np.mean(s.argmax(1) == t.argmax(1))) < 1e-6)
check("KL", abs(agreement["kl"] - (np.exp(t) * (t - s)).sum(1).mean()) < 1e-6)
confusions = sum(pair["images"] for pair in found["confusions"])
check("confusions", confusions == np.sum(s.argmax(1) != labels))
check("reliability", sum(bin["images"] for bin in found["reliability"]) == 20)
print("evaluation.py: all checks passed")
