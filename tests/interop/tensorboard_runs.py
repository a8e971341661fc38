#!/usr/bin/env python3
"""What TensorBoard reads of ctkd's runs: the numbers of log.jsonl, each step once, arms as groups of the HParams table.

usage: tensorboard_runs.py CTKD FOLDER
"""
import json
import os
import struct
import subprocess
import sys

import numpy as np
from tensorboard import context
from tensorboard.backend.event_processing import plugin_event_multiplexer
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

CTKD, FOLDER = sys.argv[1], os.path.join(sys.argv[2], "tensorboard")
TAGS = {"train/loss": "loss", "train/top1": "train_top1", "test/top1": "test_top1", "test/loss": "test_loss", "lr": "lr",
        "ctkd/tau_mean": "tau", "ctkd/lambda": "lambda", "ctkd/tau_q50": "tau_q50"}
checks = 0


def check(what, condition):
    global checks
    checks += 1
    if not condition:
        sys.exit(f"FAILED: {what}")


def path(name):
    return os.path.join(FOLDER, name)


def write_part(name, count):
    labels = np.arange(count, dtype=np.uint8) % 10
    images = np.repeat(np.repeat((20 * labels + 20)[:, None, None], 16, 1), 16, 2)
    with open(path(f"data/{name}-images-idx3-ubyte"), "wb") as out:
        out.write(struct.pack(">4I", 2051, count, 16, 16) + images.astype(np.uint8).tobytes())
    with open(path(f"data/{name}-labels-idx1-ubyte"), "wb") as out:
        out.write(struct.pack(">2I", 2049, count) + labels.tobytes())


def ctkd(command, name, *settings):
    common = (f"data.set=mnist:{path('data')}", "student.network=resnet8", "train.batch=16", f"run.dir={path('runs/' + name)}")
    done = subprocess.run((CTKD, command, *common, *settings), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"FAILED: {command} {name}: {done.stderr}")


def check_run(name):
    with open(path(f"runs/{name}/log.jsonl")) as file:
        rows = [json.loads(line) for line in file]
    events = EventAccumulator(path(f"runs/{name}"), size_guidance={"scalars": 0, "histograms": 0})
    events.Reload()
    epochs = [row for row in rows if row["kind"] == "epoch"]
    for tag, key in TAGS.items():
        expected = [(row["epoch"], np.float32(row[key])) for row in epochs]
        check(f"{name}: {tag}", [(e.step, np.float32(e.value)) for e in events.Scalars(tag)] == expected)
    expected = [(row["step"], np.float32(row["loss"])) for row in rows if row["kind"] == "step"]
    check(f"{name}: step/train/loss", [(e.step, np.float32(e.value)) for e in events.Scalars("step/train/loss")] == expected)
    for event, row in zip(events.Histograms("ctkd/tau"), epochs, strict=True):
        histogram = event.histogram_value
        check(f"{name}: histogram of epoch {row['epoch']}", event.step == row["epoch"] and histogram.num == 100)
        check(f"{name}: range of epoch {row['epoch']}", abs(histogram.min - row["tau_min"]) < 0.01 > abs(histogram.max - row["tau_max"]))


def check_groups():
    multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(path("runs"))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, path("runs"))
    plugin = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    request = api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=10, allowed_statuses=[0, 1, 2, 3])
    answer = list_session_groups.Handler(context.RequestContext(), plugin, "", request).run()
    groups = sorted((g.hparams["temperature.kind"].string_value, len(g.sessions)) for g in answer.session_groups)
    check(f"groups of runs: {groups}", groups == [("", 1), ("global", 1), ("instance", 1), ("instance", 2)])


os.makedirs(path("data"))
write_part("train", 100)
write_part("t10k", 20)
ctkd("train", "teacher", "train.epochs=1")
distil = (f"teacher.path={path('runs/teacher')}", "teacher.tolerance=100", "train.epochs=3", "train.log_every=2")
ctkd("distill", "seed-1", *distil, "temperature.kind=instance")
ctkd("distill", "seed-2", *distil, "temperature.kind=instance", "train.seed=2")
ctkd("distill", "resumed", *distil, "temperature.kind=instance", "train.max_steps=10")
ctkd("distill", "resumed", *distil, "temperature.kind=instance", "--resume")
ctkd("distill", "other", *distil, "temperature.kind=global", "train.seed=3")
for run in ("seed-1", "seed-2", "resumed"):
    check_run(run)
check_groups()
print(f"tensorboard_runs.py: {checks} checks passed")
