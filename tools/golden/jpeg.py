"""Writes JPEG files of many shapes and what Pillow, with libjpeg-turbo, makes of
them, for the tests of internal/jpeg to equal to the bit.

    python tools/golden/jpeg.py internal

Needs numpy and Pillow.
"""
import base64
import io
import json
import random
import sys

import numpy as np
import PIL
from PIL import Image, features

SIZES = [(1, 1), (2, 2), (3, 3), (5, 4), (4, 5), (8, 8), (9, 7), (16, 16), (17, 15), (15, 33), (33, 31), (70, 45)]


def picture(w, h, seed):
    """Smooth colours with hard edges, and every third one noise."""
    if seed % 3 == 0:
        return Image.frombytes("RGB", (w, h), random.Random(seed).randbytes(3 * w * h))
    y, x = np.indices((h, w))
    red = 128 + 127 * np.sin(x / 5 + seed)
    green = np.where((x // 7 + y // 5) % 2, 250, 255 * y // h)
    blue = np.where(x + y > w, 20, 255 - 255 * x // w)
    return Image.fromarray(np.stack([red, green, blue], -1).astype(np.uint8))


def exif(orientation, big):
    """An EXIF segment with an orientation, in either byte order."""
    order = ">" if big else "<"
    data = Image.Exif()
    data.endian = order
    data[0x112] = orientation
    return data.tobytes()


def files():
    seed = 0
    for w, h in SIZES:
        for subsampling in 0, 1, 2:
            seed += 1
            options = {"quality": [50, 90, 98][seed % 3], "subsampling": subsampling, "optimize": seed % 2 == 0}
            if seed % 4 == 0:
                options["restart_marker_blocks"] = 1 + seed % 3
            image = picture(w, h, seed)
            if seed % 7 == 0:
                image = image.convert("L")
                del options["subsampling"]
            yield image, options
    yield picture(48, 32, 1), {"exif": exif(6, False)}
    yield picture(48, 32, 1), {"exif": exif(3, True)}
    yield from progressive_files()


def progressive_files():
    """Of 10 scans, 6 if grey; Pillow has no other scripts."""
    seed = 0
    for w, h in (1, 1), (5, 4), (17, 15), (15, 33), (16, 16), (70, 45):
        for mode in 0, 1, 2, "L":
            seed += 1
            options = {"progressive": True, "quality": [50, 90, 98][(seed + w) % 3]}
            if seed % 3 == 0:
                options["restart_marker_blocks"] = 1 + seed % 5
            image = picture(w, h, seed + 1)
            if mode == "L":
                image = image.convert("L")
            else:
                options["subsampling"] = mode
            yield image, options
    yield picture(48, 32, 1), {"progressive": True, "exif": exif(6, True)}


def main(internal):
    cases = []
    for image, options in files():
        out = io.BytesIO()
        image.save(out, "jpeg", **options)
        pixels = Image.open(out).convert("RGB").tobytes()
        orientation = Image.open(out).getexif().get(0x112, 1)
        name = " ".join(f"{k}={v}" for k, v in options.items() if k != "exif")
        cases.append({"name": f"{image.width}x{image.height} {image.mode} {name}", "orientation": orientation,
                      "w": image.width, "h": image.height,
                      "file": base64.b64encode(out.getvalue()).decode(), "pix": base64.b64encode(pixels).decode()})
    with open(internal + "/jpeg/testdata/golden.json", "w") as f:
        json.dump({"pillow": PIL.__version__, "libjpeg-turbo": features.version("libjpeg_turbo"), "files": cases}, f, indent=0)
        f.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
