"""Writes small networks as Keras 2 and Keras 3 save them, and HDF5 files of the other
kinds that h5py may write, with the values in them, for the tests of
internal/weights/keras and internal/weights/hdf5.

    python tools/golden/kerasfile.py internal

Needs keras, tf_keras (Keras 2), tensorflow and h5py.
"""
import io
import json
import os
import sys
import tempfile
import zipfile

os.environ["KERAS_BACKEND"] = "tensorflow"

import h5py
import keras
import numpy as np
import tf_keras

MOMENT = (2020, 1, 1, 0, 0, 0)  # of everything in a zip


def network(k, name="efficientnet", top=True):
    """The kinds of layers that an EfficientNet has, in Keras 2 or 3."""
    L = k.layers
    image = k.Input((8, 8, 3))
    x = L.Rescaling(1 / 255)(image)
    x = L.Normalization(name="normalization")(x)
    x = L.ZeroPadding2D(name="stem_conv_pad")(x)
    x = L.Conv2D(4, 3, strides=2, use_bias=False, name="stem_conv")(x)
    x = L.BatchNormalization(name="stem_bn")(x)
    x = L.DepthwiseConv2D(3, use_bias=False, name="block1a_dwconv")(x)
    x = L.BatchNormalization(name="block1a_bn")(x)
    x = L.Activation("swish", name="block1a_activation")(x)
    x = L.Conv2D(2, 1, name="block1a_se_reduce")(x)
    x = L.GlobalAveragePooling2D(name="avg_pool")(x)
    if top:
        x = L.Dropout(0.2, name="top_dropout")(x)
        x = L.Dense(3, name="predictions")(x)
    return k.Model(image, x, name=name)


def finetuned(k):
    """A network without its top inside another."""
    return k.Sequential([k.Input((8, 8, 3)), network(k, top=False), k.layers.Dense(3, name="predictions")])


def subclass():
    """A model whose layers are its attributes."""
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.stem = network(keras, top=False).get_layer("stem_conv")
            self.top = keras.layers.Dense(3, name="predictions")

        def call(self, x):
            return self.top(self.stem(x))

    model = Own()
    model(np.zeros((1, 10, 10, 3)))
    return model


def fill(model):
    """Values that tell all weights apart: n.25, -n.5, n.75, ... with n per weight."""
    model.compile("adam", "mse")
    model.fit(np.zeros((2, 8, 8, 3)), np.zeros((2, 3)), verbose=0)  # makes the optimizer's state
    weights = []
    for i, w in enumerate(model.get_weights()):
        n = np.arange(1, w.size + 1)
        weights.append(((100 * i + n / 4) * (1 - 2 * (n % 2))).astype(w.dtype).reshape(w.shape))
    model.set_weights(weights)
    return model


def values(model):
    """All weights as LAYER/VARIABLE."""
    found = {}
    for layer in model.layers:
        if hasattr(layer, "layers"):
            found |= values(layer)
            continue
        for w in layer.weights:
            found[layer.name + "/" + w.name.split("/")[-1].removesuffix(":0")] = array(w.numpy())
    return found


def array(value):
    value = np.asarray(value)
    return {"shape": list(value.shape), "data": value.astype(np.float32).flatten().tolist()}


def models(folder):
    """Saves models; returns what is in each file, by its name, or None."""
    two, three = fill(network(tf_keras)), fill(network(keras))
    inside2, inside3 = fill(finetuned(tf_keras)), fill(finetuned(keras))
    for name, model in ("keras2_model.h5", two), ("keras3_model.h5", three), ("keras3.keras", three), \
            ("keras2_finetuned.h5", inside2), ("keras3_finetuned.h5", inside3), ("keras3_finetuned.keras", inside3), \
            ("keras2.keras", two):
        model.save(folder + name)
        yield name, values(model)
    two.save_weights(folder + "keras2_weights.h5")
    yield "keras2_weights.h5", values(two)
    for name, model in ("keras3.weights.h5", three), ("keras3_finetuned.weights.h5", inside3):
        model.save_weights(folder + name)
        yield name, values(model)
    two.save_weights(folder + "nameless.weights.h5")
    yield "nameless.weights.h5", None
    own = subclass()
    own.save(folder + "keras3_subclass.keras")
    yield "keras3_subclass.keras", values(own)
    with h5py.File(folder + "other.weights.h5", "w") as f:
        f["model/dense/vars/0"] = f["model/dense_1/vars/0"] = np.zeros(3)
    yield "other.weights.h5", None


def ramp(*shape, dtype="f4"):
    n = int(np.prod(shape))
    return (np.arange(n) * (1 if np.dtype(dtype).kind == "u" else 1 - 2 * (np.arange(n) % 2))).astype(dtype).reshape(shape)


def numbers(f):
    for dtype in "f8 f4 f2 i8 i4 i2 i1 u8 u4 u2 u1".split():
        f[dtype] = ramp(5, dtype=dtype)
    f["halves"] = np.array([1 / 3, 65504, 6e-8, -0.0], "f2")
    f["scalar"] = np.float32(0.1)
    f["empty"] = np.zeros((0, 3), "f4")
    f["null"] = h5py.Empty("f4")
    f["deep/er/group/x"] = ramp(2, 3, 4)


def chunks(f):
    f.create_dataset("plain", data=ramp(7, 5), chunks=(3, 2))
    f.create_dataset("gzip", data=ramp(6, 4), chunks=(3, 4), compression="gzip")
    f.create_dataset("shuffled", data=ramp(5, 3, 2, dtype="f8"), chunks=(2, 2, 2), compression="gzip", shuffle=True)
    f.create_dataset("many", data=ramp(200), chunks=(1,))
    f.create_dataset("wide", data=ramp(3), chunks=(8,), maxshape=(None,))


def compact(f):
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.COMPACT)
    for name, value in ("compact", ramp(3, 2)), ("one", ramp(1)):
        space = h5py.h5s.create_simple(value.shape)
        d = h5py.h5d.create(f.id, name.encode(), h5py.h5t.IEEE_F32LE, space, layout)
        d.write(h5py.h5s.ALL, h5py.h5s.ALL, value)
    f["contiguous"] = ramp(4)


def wide(f):
    for i in range(300):  # more than one node of a tree names
        f[f"group/dataset{i}"] = np.float32(i)


def attributes(f):
    g = f.create_group("layers/conv2d/vars")
    g["0"] = ramp(2)
    g.attrs["name"] = "stem_conv"
    g.attrs["fixed"] = np.bytes_("bytes")
    g.attrs["number"] = 3
    g.attrs["list"] = ["a", "b"]
    for i in range(30):  # headers are continued elsewhere
        g.attrs[f"more{i}"] = f"text {i} " * 10
        f.attrs[f"more{i}"] = i


def fletcher(f):
    f.create_dataset("x", data=ramp(4), chunks=(2,), fletcher32=True)


def lzf(f):
    f.create_dataset("x", data=ramp(4), chunks=(2,), compression="lzf")


def unwritten(f):
    f.create_dataset("x", (4,), "f4")
    f.create_dataset("y", (4,), "f4", chunks=(2,))
    f["y"][:2] = 1


def soft(f):
    f["x"] = ramp(2)
    f["y"] = h5py.SoftLink("/x")


def outside(f):
    f.create_dataset("x", (2,), "f4", external=[("other.bin", 0, 8)])


def circle(f):
    f.create_group("a")["b"] = f["/"]


def dense(f):
    for i in range(20):
        f[f"x{i}"] = ramp(1)


def put(name, value):
    def write(f):
        f[name] = value
    return write


# Each file: how it is written, and whether all of it is read.
HDF5 = {
    "numbers.h5": (numbers, {}, True), "chunks.h5": (chunks, {}, True), "compact.h5": (compact, {}, True), "wide.h5": (wide, {}, True),
    "attributes.h5": (attributes, {}, True), "latest.h5": (compact, {"libver": "latest"}, True),
    "latest_attributes.h5": (lambda f: f.create_group("g").attrs.update(name="stem"), {"libver": "latest", "track_order": True}, True),
    "v110.h5": (numbers, {"libver": ("v108", "v110")}, False),
    "fletcher.h5": (fletcher, {}, False), "lzf.h5": (lzf, {}, False), "unwritten.h5": (unwritten, {}, False), "soft.h5": (soft, {}, False),
    "outside.h5": (outside, {}, False), "circle.h5": (circle, {}, False), "dense.h5": (dense, {"libver": "latest"}, False),
    "latest_chunks.h5": (chunks, {"libver": "latest"}, False), "big.h5": (put("x", ramp(3, dtype=">f4")), {}, False),
    "strings.h5": (put("x", "text"), {}, False), "compound.h5": (put("x", np.zeros(2, "f4,i4")), {}, False),
}


def hdf5(folder):
    for name, (write, options, whole) in HDF5.items():
        with h5py.File(folder + name, "w", **options) as f:
            write(f)
        found = {}
        if whole:
            with h5py.File(folder + name) as f:
                f.visititems(lambda path, o: found.update({path: array(o[()] if o.shape is not None else [])})
                             if isinstance(o, h5py.Dataset) else None)
        yield name, found if whole else None


def pack(target, write):
    """Puts the files that write makes into files.zip, and what it says of them
    into golden.json."""
    os.makedirs(target, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(target + "/files.zip", "w", zipfile.ZIP_DEFLATED) as z:
        golden = dict(write(folder + "/"))
        for name in sorted(golden):
            with open(folder + "/" + name, "rb") as f:
                content = f.read()
            if name.endswith(".keras"):
                content = squeeze(content)
            z.writestr(zipfile.ZipInfo(name, MOMENT), content, zipfile.ZIP_DEFLATED)
    with open(target + "/golden.json", "w") as f:
        json.dump({"keras": keras.__version__, "tf_keras": tf_keras.__version__, "h5py": h5py.__version__,
                   "files": {name: found for name, found in golden.items() if found is not None}}, f)
        f.write("\n")


def squeeze(content):
    """The same zip, compressed, as some versions of Keras make it."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            new.writestr(zipfile.ZipInfo(entry, MOMENT), old.read(entry), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def main(internal):
    pack(internal + "/weights/keras/testdata", models)
    pack(internal + "/weights/hdf5/testdata", hdf5)


if __name__ == "__main__":
    main(*sys.argv[1:])
