"""Writes what Pillow, numpy and timm make of synthetic images, for the tests of
internal/augment's operations on training images.

    python tools/golden/ops.py internal/augment/testdata

Needs numpy, Pillow and timm.
"""
import base64
import json
import sys
import zlib

import numpy as np
import PIL
import timm
from PIL import Image, ImageEnhance, ImageOps
from timm.data.auto_augment import auto_augment_policy_v0
from timm.data.mixup import rand_bbox

GREY = (128, 128, 128)


def noise(w, h, lo, hi):
    """Values from lo to hi with no pattern, so that a pixel out of place shows."""
    v = np.arange(w * h * 3, dtype=np.uint32) * np.uint32(2654435761)
    v = (v ^ (v >> 15)) * np.uint32(2246822519)
    return Image.fromarray((lo + (v >> 16) % (hi - lo + 1)).astype(np.uint8).reshape(h, w, 3))


def affine(*matrix):
    return lambda m: m.transform(m.size, Image.AFFINE, matrix, Image.NEAREST, fillcolor=GREY)


def cutout(m, x, y, pad):
    """tensorflow/tpu, models/official/efficientnet/autoaugment.py, cutout"""
    pix = np.array(m)
    pix[max(0, y - pad):y + pad, max(0, x - pad):x + pad] = 128
    return Image.fromarray(pix)


OPS = {
    "ShearX": lambda m, v: affine(1, v, 0, 0, 1, 0)(m),
    "ShearY": lambda m, v: affine(1, 0, 0, v, 1, 0)(m),
    "TranslateX": lambda m, v: affine(1, 0, v, 0, 1, 0)(m),
    "TranslateY": lambda m, v: affine(1, 0, 0, 0, 1, v)(m),
    "Rotate": lambda m, v: m.rotate(v, Image.NEAREST, fillcolor=GREY),
    "AutoContrast": lambda m, v: ImageOps.autocontrast(m),
    "Invert": lambda m, v: ImageOps.invert(m),
    "Equalize": lambda m, v: ImageOps.equalize(m),
    "Solarize": lambda m, v: ImageOps.solarize(m, v),
    "SolarizeAdd": lambda m, v: m.point([min(i + v, 255) if i < 128 else i for i in range(256)] * 3),
    "Posterize": lambda m, v: ImageOps.posterize(m, v),
    "Contrast": lambda m, v: ImageEnhance.Contrast(m).enhance(v),
    "Color": lambda m, v: ImageEnhance.Color(m).enhance(v),
    "Brightness": lambda m, v: ImageEnhance.Brightness(m).enhance(v),
    "Sharpness": lambda m, v: ImageEnhance.Sharpness(m).enhance(v),
}

FACTORS = (0, 0.1, 0.37, 0.64, 1, 1.36, 1.9, 5.14, -1)
ARGUMENTS = {
    "ShearX": (0.3, -0.3, 0.03, -0.07, 0, 0.84, -3),
    "ShearY": (0.3, -0.3, 0.03, -0.07, 0, 0.84, -3),
    "TranslateX": (1, -2, 0.3, 1.5, -1.5, 250, -100, 0),
    "TranslateY": (1, -2, 0.3, 1.5, -1.5, 250, -100, 0),
    "Rotate": (30, -30, 3, -11.7, 0, 45, 90, 180, -90, 84, 359.9, 1234.5),
    "AutoContrast": (0,), "Invert": (0,), "Equalize": (0,),
    "Solarize": (0, 1, 76, 128, 255, 256, 716),
    "SolarizeAdd": (0, 33, 110, 308),
    "Posterize": (1, 2, 3, 4, 7, 8),
    "Contrast": FACTORS, "Color": FACTORS, "Brightness": FACTORS, "Sharpness": FACTORS,
}
HISTOGRAM = ("AutoContrast", "Equalize", "Contrast")  # what they do depends on all values
SIZES = ((1, 1), (1, 5), (6, 1), (2, 3), (5, 4), (31, 18), (224, 224))
RANGES = ((0, 255), (37, 180))
SHOWN = 20  # pixels, up to which an image is written out; larger ones are a CRC


def operations():
    for name, apply in OPS.items():
        for w, h in SIZES:
            for lo, hi in RANGES if name in HISTOGRAM else RANGES[:1]:
                for v in ARGUMENTS[name]:
                    yield name, v, w, h, lo, hi, apply(noise(w, h, lo, hi), v)


def cutouts():
    for x, y, pad in (0, 0, 0), (0, 0, 1), (3, 2, 2), (4, 3, 1), (2, 1, 40):
        yield [x, y, pad], cutout(noise(5, 4, 0, 255), x, y, pad)


def record(m):
    pix = m.tobytes()
    r = {"crc": zlib.crc32(pix)}
    if m.width * m.height <= SHOWN:
        r["pix"] = encode(pix)
    return r


def mixups(rng):
    """A batch with its reverse, in float32 (timm.data.mixup.Mixup, mode batch)."""
    for n, lam in (4, 0.7), (3, 0.55), (2, 0.9921875), (1, 0.6):
        x = rng.standard_normal((n, 3, 2, 3)).astype(np.float32)
        out = x * np.float32(lam) + x[::-1] * np.float32(1 - lam)
        yield {"n": n, "lambda": lam, "images": floats(x), "mixed": floats(out)}


BOXES = ((8, 6, 0.5, 4, 3), (7, 9, 0.3, 0, 8), (224, 224, 0.9, 223, 100),
         (5, 5, 0, 2, 2), (5, 5, 1, 2, 2), (1, 1, 0.4, 0, 0))


def cutmixes():
    """The box of a lambda and a centre (timm.data.mixup.rand_bbox), its share."""
    for w, h, lam, cx, cy in BOXES:
        centre = iter((cy, cx))
        randint, np.random.randint = np.random.randint, lambda *a, **k: next(centre)
        yl, yh, xl, xh = (int(v) for v in rand_bbox((h, w), lam))
        np.random.randint = randint
        yield {"w": w, "h": h, "lambda": lam, "centre": [cx, cy], "box": [xl, yl, xh, yh],
               "share": 1 - (yh - yl) * (xh - xl) / (w * h)}


def v0():
    """AutoAugment's policy for ImageNet as timm has it, under the reference code's names."""
    for pair in auto_augment_policy_v0({}):
        names = {"PosterizeTpu": "Posterize", "TranslateYRel": "TranslateY"}
        yield [{"op": names.get(op.name, op.name), "prob": op.prob, "level": op.magnitude} for op in pair]


def floats(x):
    return encode(np.ascontiguousarray(x, dtype="<f4").tobytes())


def encode(data):
    return base64.b64encode(data).decode()


def write(path, golden):
    """One line a case."""
    with open(path, "w") as f:
        f.write("{\n" + ",\n".join(
            json.dumps(k) + ": " + (json.dumps(v) if isinstance(v, str) else
                                    "[\n" + ",\n".join(json.dumps(c) for c in v) + "\n]")
            for k, v in golden.items()) + "\n}\n")


def main(folder):
    write(folder + "/ops.json", {
        "pillow": PIL.__version__, "numpy": np.__version__, "timm": timm.__version__,
        "cases": [{"op": name, "arg": v, "w": w, "h": h, "lo": lo, "hi": hi} | record(m)
                  for name, v, w, h, lo, hi, m in operations()],
        "cutouts": [{"at": at} | record(m) for at, m in cutouts()],
        "v0": list(v0())})
    write(folder + "/mix.json", {
        "numpy": np.__version__, "timm": timm.__version__,
        "mixups": list(mixups(np.random.default_rng(1))), "cutmixes": list(cutmixes())})


if __name__ == "__main__":
    main(*sys.argv[1:])
