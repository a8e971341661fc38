"""Writes metrics.txt: tables of logits and labels, and what scikit-learn and torchmetrics say of them.

Keys of case C: C.logits, C.teacher [n][k], C.labels [n]; C.scores: top-1 in percent, mean NLL, Brier score (the sum over classes),
ECE with 15 bins, macro precision, recall and F1; C.precision, .recall, .f1: [k], nan where undefined; C.confusion [label][predicted];
C.agreement: for all images, those that the teacher has right, those that it has wrong: n, percent of equal classes, mean KL(t || s),
percent that the student has right (nan where n is 0)."""
import contextlib
import pathlib

import numpy as np
import torch
from scipy.special import log_softmax, rel_entr
from sklearn import metrics
from torchmetrics.functional.classification import multiclass_calibration_error


def emit(key, values):
    values = np.ravel(values)
    print(key, len(values), *(f"{v:.17g}" for v in values))


def agreement(s, t, y, mask):
    s, t, y = s[mask], t[mask], y[mask]
    if not len(y):
        return [0, np.nan, np.nan, np.nan]
    kl = rel_entr(np.exp(log_softmax(t, 1)), np.exp(log_softmax(s, 1))).sum(1).mean()
    return [len(y), 100 * np.mean(s.argmax(1) == t.argmax(1)), kl, 100 * np.mean(s.argmax(1) == y)]


def case(name, s, t, y):
    k = s.shape[1]
    s, t = s.astype(np.float32).astype(float), t.astype(np.float32).astype(float)
    p, predicted, labels = np.exp(log_softmax(s, 1)), s.argmax(1), np.arange(k)
    one_hot = np.eye(k)[y]
    kinds = {"y_true": y, "y_pred": predicted, "labels": labels}
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(**kinds, zero_division=np.nan)
    seen = np.union1d(y, predicted)
    macro = metrics.precision_recall_fscore_support(y, predicted, labels=seen, average="macro", zero_division=0)[:3]
    ece = multiclass_calibration_error(torch.from_numpy(p), torch.from_numpy(y), k, n_bins=15, norm="l1").item()
    emit(f"{name}.logits", s)
    emit(f"{name}.teacher", t)
    emit(f"{name}.labels", y)
    nll = -np.mean(log_softmax(s, 1)[np.arange(len(y)), y])  # scikit-learn's log_loss clips
    brier = np.mean(((p - one_hot) ** 2).sum(1))
    emit(f"{name}.scores", [100 * metrics.accuracy_score(y, predicted), nll, brier, ece, *macro])
    emit(f"{name}.precision", precision)
    emit(f"{name}.recall", recall)
    emit(f"{name}.f1", f1)
    emit(f"{name}.confusion", metrics.confusion_matrix(y, predicted, labels=labels))
    right = t.argmax(1) == y
    emit(f"{name}.agreement", [agreement(s, t, y, m) for m in (right | True, right, ~right)])


def main():
    rng = np.random.default_rng(3)
    for n, k in ((1, 2), (40, 2), (200, 5), (120, 30)):
        y = rng.integers(0, k, n)
        case(f"n{n}k{k}", rng.normal(0, 1.5, (n, k)) + 2 * np.eye(k)[y], rng.normal(0, 1.5, (n, k)) + 3 * np.eye(k)[y], y)
    y = rng.integers(0, 3, 90)  # classes 3 and 4 have no images, 4 is never predicted
    s = rng.normal(0, 1, (90, 5)) + np.eye(5)[y]
    s[:, 4] = -9
    case("empty", s, s + rng.normal(0, 1, (90, 5)), y)
    y = rng.integers(0, 4, 80)  # ties: the first of the greatest
    case("ties", rng.integers(0, 2, (80, 4)), rng.integers(0, 3, (80, 4)), y)
    y = np.arange(20) % 4  # a teacher that is always right, confidences that round to 1
    case("right", 50 * np.eye(4)[(y + (y == 3)) % 4], 9 * np.eye(4)[y], y)


if __name__ == "__main__":
    with open(pathlib.Path(__file__).with_name("metrics.txt"), "w") as out, contextlib.redirect_stdout(out):
        main()
