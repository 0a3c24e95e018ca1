#!/usr/bin/env python3
"""Loads an exported .npz into Keras' network and compares its logits with given ones.

    pip install keras torch
    KERAS_BACKEND=torch python3 tools/keras_check.py NAME WEIGHTS IMAGES LOGITS

NAME is a network of keras.applications, such as EfficientNetB0; WEIGHTS is what
effnet export wrote. IMAGES and LOGITS are raw little-endian float32 files:
pixels of 0 to 255, [batch,R,R,3], and [batch,classes]. Every array must have the name of the
weight that it becomes. Prints the largest difference over the largest logit, and
exits with 1 if that is over 1e-5, with 3 without Keras.
"""

import math
import sys

import numpy as np

try:
    import keras
except ImportError as error:
    print(error)
    sys.exit(3)


def main():
    name, weights, images, logits = sys.argv[1:]
    z = np.load(weights)
    classes = len(z["predictions/bias"])
    want = np.fromfile(logits, "<f4").reshape(-1, classes)
    x = np.fromfile(images, "<f4")
    side = math.isqrt(len(x) // len(want) // 3)
    network = getattr(keras.applications, name)
    model = network(weights=None, input_shape=(side, side, 3), classes=classes, classifier_activation=None)
    for key, weight in zip(z.files, model.weights, strict=True):
        if key != weight.path:
            sys.exit(f"array {key} is where Keras has {weight.path}")
    model.set_weights([z[k] for k in z.files])
    model.get_layer("normalization").finalize_state()
    got = np.asarray(model.predict(x.reshape(-1, side, side, 3), verbose=0), np.float64)
    error = np.abs(got - want).max() / np.abs(want).max()
    print(f"{name}: differs by {error:.2g}")
    sys.exit(not error <= 1e-5)


if __name__ == "__main__":
    main()
