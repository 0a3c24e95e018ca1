"""Writes what Pillow and torchvision make of synthetic images, for the tests of
internal/augment (resizes and crops) and internal/data (decoded files) to equal.

    python tools/golden/augment.py internal

Needs numpy, Pillow and torchvision.
"""
import base64
import io
import json
import math
import sys
import zlib

import numpy as np
import PIL
import torchvision
from PIL import Image, ImageOps
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}


def source(w, h):
    """Blocks of 2x3 pixels, half of them saturated: sharp edges make kernels overshoot."""
    y, x, c = np.indices((h, w, 3), dtype=np.uint32)
    v = (y // 3 * np.uint32(73856093)) ^ (x // 2 * np.uint32(19349663)) ^ (c * np.uint32(83492791))
    v = v * np.uint32(2654435761)
    pix = np.where(v >> 30 == 3, 255, np.where(v >> 30 == 0, 0, v >> 24))
    return Image.fromarray(pix.astype(np.uint8))


def resize(interpolation, w, h, out, box=None):
    box = box or (0, 0, w, h)
    image = source(w, h).resize(out, FILTERS[interpolation], box=box)
    return {"interpolation": interpolation, "w": w, "h": h, "box": box}, image


def center_crop(kind, interpolation, w, h, size, pct=0.875):
    image = source(w, h)
    if kind == "tf":  # tensorflow/tpu, preprocessing.py, _decode_and_center_crop
        padding = round(size * (1 / 0.875 - 1))
        side = int(size / (size + padding) * min(w, h))
        x, y = (w - side + 1) // 2, (h - side + 1) // 2
        image = image.crop((x, y, x + side, y + side)).resize((size, size), FILTERS[interpolation])
    else:
        scaled = math.floor(size / pct) if kind == "timm" else round(size / pct)
        image = Resize(scaled, InterpolationMode(interpolation))(image)
        image = CenterCrop(size)(image)
    return {"interpolation": interpolation, "w": w, "h": h, "crop": kind, "pct": pct}, image


def cases():
    for interpolation in FILTERS:
        yield resize(interpolation, 61, 47, (20, 16))
        yield resize(interpolation, 9, 7, (31, 26))
        yield resize(interpolation, 300, 11, (13, 17))
        yield resize(interpolation, 500, 375, (24, 24))
        yield resize(interpolation, 1, 1, (5, 4))
        yield resize(interpolation, 24, 24, (24, 24))
        yield resize(interpolation, 61, 47, (15, 15), (7, 5, 40, 46))
        yield resize(interpolation, 61, 47, (21, 18), (0.3, 11.75, 60.9, 20.1))
    for w, h in (64, 48), (47, 65), (20, 20), (13, 200):
        yield center_crop("tf", "bicubic", w, h, 24)
        yield center_crop("timm", "bicubic", w, h, 24)
        yield center_crop("timm", "bilinear", w, h, 25, 0.922)
        yield center_crop("torchvision", "bicubic", w, h, 18, 18 / 28)  # 18 / (18/28) < 28


MEAN = (124, 116, 104)  # behind transparent pixels


def photograph(w, h):
    """Colour gradients with one hard edge, and opacity that falls from left to right."""
    y, x = np.indices((h, w))
    red, blue, green = 255 * x // w, 255 * y // h, 128 + 100 * np.sin(x / 5 + y / 7)
    red[y > h - x] = 255 - red[y > h - x]
    return Image.fromarray(np.stack([red, green, blue, 255 - 250 * x // w], -1).astype(np.uint8))


def chunk(kind, data):
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def png16(rgb):
    """A PNG of 16 bits a channel, which Pillow reads but does not write."""
    wide = (np.asarray(rgb).astype(int) * 257 - (np.asarray(rgb) > 0)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    header = rgb.width.to_bytes(4, "big") + rgb.height.to_bytes(4, "big") + bytes([16, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def saved(image, name, **options):
    out = io.BytesIO()
    extension = name.split(".")[-1]
    image.save(out, {"jpg": "jpeg"}.get(extension, extension), **options)
    return out.getvalue()


def orientation(o):
    tags = Image.Exif()
    tags[0x112] = o
    return tags.tobytes()


def files():
    """Encoded files and their pixels, of an odd size so that chroma ends in half a sample."""
    rgba = photograph(35, 27)
    rgb = rgba.convert("RGB")
    grey16 = Image.fromarray((np.asarray(rgb.convert("L")).astype(np.uint16) * 257))
    cmyk = saved(rgb.convert("CMYK"), "cmyk.jpg")
    adobe = cmyk.index(b"Adobe") + 11
    for name, data in [
        ("4:4:4.jpg", saved(rgb, "jpg", subsampling=0)),
        ("4:2:2.jpg", saved(rgb, "jpg", subsampling=1)),
        ("4:2:0.jpg", saved(rgb, "jpg", subsampling=2)),
        ("progressive.jpg", saved(rgb, "jpg", subsampling=2, progressive=True)),
        ("progressive-grey.jpg", saved(rgb.convert("L"), "jpg", progressive=True)),
        ("progressive-cmyk.jpg", saved(rgb.convert("CMYK"), "jpg", progressive=True)),
        ("rgb.jpg", saved(rgb, "jpg", keep_rgb=True)),
        ("column.jpg", saved(rgb.crop((20, 0, 21, 27)), "jpg", subsampling=2)),
        ("grey.jpg", saved(rgb.convert("L"), "jpg")),
        ("cmyk.jpg", cmyk),
        ("ycck.jpg", cmyk[:adobe] + b"\2" + cmyk[adobe + 1:]),  # the same samples, declared as YCCK
        ("lossy.webp", saved(rgb, "webp", quality=90)),
        ("lossy-alpha.webp", saved(rgba, "webp", quality=90)),
        ("lossless-alpha.webp", saved(rgba, "webp", lossless=True)),
        ("rgb.png", saved(rgb, "png")),
        ("rgba.png", saved(rgba, "png")),
        ("grey.png", saved(rgb.convert("L"), "png")),
        ("grey-alpha.png", saved(rgba.convert("LA"), "png")),
        ("black-and-white.png", saved(rgb.convert("1"), "png")),
        ("grey-16.png", saved(grey16, "png")),
        ("rgb-16.png", png16(rgb)),
        ("palette.png", saved(rgb.quantize(16), "png")),
        ("palette-alpha.png", saved(rgb.quantize(16), "png", transparency=3)),
        ("palette.gif", saved(rgb.quantize(16), "gif")),
        ("24-bit.bmp", saved(rgb, "bmp")),
        ("palette.bmp", saved(rgb.quantize(16), "bmp")),
        *((f"orientation-{o}.jpg", saved(rgb, "jpg", subsampling=2, exif=orientation(o))) for o in range(1, 9)),
    ]:
        decoded = Image.open(io.BytesIO(data))
        if name.startswith("orientation"):
            decoded = ImageOps.exif_transpose(decoded)
        if decoded.mode == "I;16":  # convert("RGB") would clip it at 255
            decoded = Image.fromarray((np.asarray(decoded) >> 8).astype(np.uint8))
        if decoded.mode in ("RGBA", "LA") or "transparency" in decoded.info:
            decoded = decoded.convert("RGBA")
            behind = Image.new("RGBA", decoded.size, MEAN + (255,))
            decoded = Image.alpha_composite(behind, decoded)
        yield {"name": name, "file": encode(data), "w": decoded.width, "h": decoded.height,
               "pix": encode(decoded.convert("RGB").tobytes())}


def encode(data):
    return base64.b64encode(data).decode()


def write(path, **golden):
    with open(path, "w") as f:
        json.dump(golden, f, indent=0)
        f.write("\n")


def main(internal):
    made_by = {"pillow": PIL.__version__, "torchvision": torchvision.__version__}
    write(internal + "/augment/testdata/golden.json", **made_by, cases=[
        case | {"out": image.size, "pix": encode(image.tobytes())} for case, image in cases()])
    write(internal + "/data/testdata/golden.json", **made_by, files=list(files()))


if __name__ == "__main__":
    main(*sys.argv[1:])
