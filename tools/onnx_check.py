#!/usr/bin/env python3
"""Checks ONNX models and compares what ONNX Runtime or OpenVINO computes with given logits.

    pip install onnx onnxruntime openvino
    python3 tools/onnx_check.py MODEL IMAGES LOGITS [MODEL IMAGES LOGITS ...]

IMAGES and LOGITS are raw little-endian files: a batch of the model's input, in its
type and layout, and float32 [batch, classes]. Each model must pass
onnx.checker.check_model with full_check (shape inference included), and its logits
may differ by --tolerance of the largest. A model may be given several times. Prints
a line a comparison,

    MODEL: batch N, differs by E

and exits with 1 when one fails.
"""

import argparse
import sys

import numpy as np
import onnx


def onnx_runtime(model, images):
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    x = np.fromfile(images, {"tensor(float)": "<f4", "tensor(uint8)": "u1"}[given.type]).reshape(-1, *given.shape[1:])
    return x, session.run(["logits"], {given.name: x})[0]


def openvino(model, images):
    import openvino

    network = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    (given,) = network.inputs
    shape = [d.get_length() for d in list(given.partial_shape)[1:]]
    x = np.fromfile(images, given.element_type.to_dtype()).reshape(-1, *shape)
    return x, network(x)["logits"]


RUNTIMES = {"onnxruntime": onnx_runtime, "openvino": openvino}


def compare(runtime, model, images, logits):
    """The batch, and the largest difference over the largest logit."""
    onnx.checker.check_model(model, full_check=True)
    x, got = RUNTIMES[runtime](model, images)
    want = np.fromfile(logits, "<f4").reshape(len(x), -1)
    if got.shape != want.shape:
        sys.exit(f"{model}: logits of shape {got.shape}, want {want.shape}")
    return len(x), np.abs(got.astype(np.float64) - want).max() / np.abs(want).max()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="MODEL IMAGES LOGITS")
    parser.add_argument("--runtime", choices=RUNTIMES, default="onnxruntime")
    parser.add_argument("--tolerance", type=float, default=1e-5)
    args = parser.parse_args()
    if len(args.files) % 3:
        parser.error("want three files for each model")
    failed = False
    for model, images, logits in zip(*[iter(args.files)] * 3, strict=True):
        batch, error = compare(args.runtime, model, images, logits)
        print(f"{model}: batch {batch}, differs by {error:.2g}")
        failed |= not error <= args.tolerance  # NaN fails
    sys.exit(failed)


if __name__ == "__main__":
    main()
