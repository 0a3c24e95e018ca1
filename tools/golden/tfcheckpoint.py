"""Writes small TensorFlow checkpoints and what is in them, for the tests of
internal/weights/tfcheckpoint.

    python tools/golden/tfcheckpoint.py internal

Needs tensorflow and tf_keras (Keras 2).
"""
import glob
import json
import os
import shutil
import sys

import numpy as np
import tensorflow as tf
import tf_keras

DTYPES = [tf.float32, tf.float64, tf.float16, tf.bfloat16, tf.int64, tf.int32, tf.int16, tf.int8, tf.uint8, tf.uint16, tf.uint32, tf.uint64]


def ramp(*shape, dtype=tf.float32):
    n = int(np.prod(shape))
    sign = 1 if dtype.is_unsigned else 1 - 2 * (np.arange(n) % 2)
    return tf.constant((np.arange(n) * sign).reshape(shape).astype(dtype.as_numpy_dtype))


def save(prefix, tensors, slices=None):
    names = sorted(tensors)
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[(slices or {}).get(name, "") for name in names],
                      tensors=[tensors[name] for name in names])


def network():
    """Names and kinds of variables as tensorflow/tpu's EfficientNets have them."""
    scope = "efficientnet-b0/"
    names = {"stem/conv2d/kernel": (3, 3, 3, 4), "stem/tpu_batch_normalization/gamma": (4,), "stem/tpu_batch_normalization/moving_variance": (4,),
             "blocks_0/depthwise_conv2d/depthwise_kernel": (3, 3, 4, 1), "head/dense/kernel": (4, 3), "head/dense/bias": (3,)}
    tensors = {scope + name + end: ramp(*shape) for name, shape in names.items() for end in ("", "/ExponentialMovingAverage")}
    return tensors | {"global_step": tf.constant(7, tf.int64)}


def numbers():
    tensors = {dtype.name: ramp(5, dtype=dtype) for dtype in DTYPES}
    return tensors | {"bool": tf.constant([True, False]), "empty": tf.zeros([0, 3]), "scalar": tf.constant(0.1), "string": tf.constant(["a", "bc"]),
                      "third": tf.constant([1 / 3, 65504, 6e-8, -0.0], tf.float16), "large": ramp(3, 100)}


def keras_model():
    L = tf_keras.layers
    model = tf_keras.Sequential([L.Input((8, 8, 3)), L.Rescaling(1 / 255), L.Normalization(), L.Conv2D(4, 3, name="stem_conv"),
                                 L.BatchNormalization(name="stem_bn"), L.DepthwiseConv2D(3), L.GlobalAveragePooling2D(), L.Dense(3, name="predictions")])
    model.set_weights([np.arange(w.size).reshape(w.shape) for w in model.get_weights()])
    return model


def main(internal):
    folder = internal + "/weights/tfcheckpoint/testdata/"
    shutil.rmtree(folder + "checkpoints", ignore_errors=True)
    os.makedirs(folder + "checkpoints")
    prefix = folder + "checkpoints/"
    save(prefix + "network", network())
    save(prefix + "numbers", numbers())
    # A variable in two parts, next to a whole one.
    save(prefix + "partitioned", {"embedding": ramp(2, 3), "whole": ramp(2)}, {"embedding": "4 3 0,2:-"})
    # Three files of values.
    parts = [prefix + f"part{i}" for i in range(3)]
    for i, part in enumerate(parts):
        save(part, {f"shard{i}/a": ramp(i + 1), f"shard{i}/b": ramp(2, i + 1)})
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=parts, destination_prefix=prefix + "shards", delete_old_dirs=False)
    keras_model().save_weights(prefix + "keras")
    os.remove(prefix + "checkpoint")

    golden = {}
    for index in sorted(glob.glob(prefix + "*.index")):
        name = os.path.basename(index).removesuffix(".index")
        reader = tf.train.load_checkpoint(index.removesuffix(".index"))
        types = reader.get_variable_to_dtype_map()
        golden[name] = {key: {"shape": shape, "data": reader.get_tensor(key).astype(np.float32).flatten().tolist()}
                        for key, shape in sorted(reader.get_variable_to_shape_map().items()) if types[key] != tf.string and key != "embedding"}
    with open(folder + "golden.json", "w") as f:
        json.dump({"tensorflow": tf.__version__, "files": golden}, f)
        f.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
