"""Writes what scikit-learn and numpy make of synthetic logits, for the tests of
internal/metrics.

    python tools/golden/metrics.py internal/metrics/testdata/golden.json

Needs numpy and scikit-learn.
"""
import json
import sys
import warnings

import numpy as np
import sklearn
from sklearn.calibration import calibration_curve
from sklearn.metrics import (confusion_matrix, log_loss,
                             precision_recall_fscore_support, top_k_accuracy_score)

BINS = 15


def noise(n, salt):
    v = (np.arange(n, dtype=np.uint32) + np.uint32(salt * 1000003)) * np.uint32(2654435761)
    v = (v ^ (v >> 15)) * np.uint32(2246822519)
    return v >> 16


def source(images, classes, used, lift):
    """Logits that float32 holds exactly and no two of which are equal in a row.
    Labels are among the first `used` classes; in three of four images the label's
    logit is raised by lift."""
    z = (noise(images * classes, classes) % 512).reshape(images, classes) / 32
    z += np.arange(classes) / 65536
    labels = (noise(images, images) % used).astype(int)
    raised = noise(images, 7) % 4 != 0
    z[np.arange(images), labels] += np.where(raised, lift, 0)
    return z.astype(np.float32).astype(np.float64), labels


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def ece(confidence, right):
    """Guo et al. 2017, equation 3, with bins (a, b]."""
    edges = np.linspace(0, 1, BINS + 1)
    total = 0
    for a, b in zip(edges[:-1], edges[1:]):
        within = (confidence > a) & (confidence <= b)
        if within.any():
            total += within.mean() * abs(right[within].mean() - confidence[within].mean())
    return total


def case(images, classes, used, lift):
    z, labels = source(images, classes, used, lift)
    p = softmax(z)
    predicted = z.argmax(1)
    every = np.arange(classes)
    precision, recall, f1, support = precision_recall_fscore_support(labels, predicted, labels=every, zero_division=0)
    macro = precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)
    matrix = confusion_matrix(labels, predicted, labels=every)
    true_share, mean_confidence = calibration_curve(predicted == labels, p.max(1), n_bins=BINS)
    losses = -np.log(p[np.arange(images), labels])
    top = {k: top_k_accuracy_score(labels, z, k=k, labels=every) for k in (1, 2, 5, 10) if 2 < classes > k}
    return {
        "images": images, "classes": classes, "used": used, "lift": lift,
        "top": top, "accuracy": float((predicted == labels).mean()),
        "loss": float(log_loss(labels, p, labels=every)),
        "precision": precision.tolist(), "recall": recall.tolist(), "f1": f1.tolist(), "support": support.tolist(),
        "macro": [float(v) for v in macro[:3]],
        "confusion": [[int(i), int(j), int(matrix[i, j])] for i, j in zip(*matrix.nonzero())],
        "ece": float(ece(p.max(1), predicted == labels)),
        "bin_accuracy": true_share.tolist(), "bin_confidence": mean_confidence.tolist(),  # of the bins with images
        "worst": np.argsort(-losses, kind="stable")[:5].tolist(),
    }


def main(path):
    warnings.simplefilter("ignore")
    cases = [case(1, 3, 3, 9), case(40, 2, 2, 3), case(200, 5, 5, 6), case(300, 37, 30, 12)]
    with open(path, "w") as f:
        lines = ",\n".join(json.dumps(c) for c in cases)
        f.write('{"sklearn": "%s", "numpy": "%s", "cases": [\n%s\n]}\n' % (sklearn.__version__, np.__version__, lines))


main(sys.argv[1])
