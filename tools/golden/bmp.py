"""Writes internal/bmp/testdata/pillow.json: BMP files of every header, and Pillow's pixels.

python3 tools/golden/bmp.py    (Pillow 13.0.0)
"""
import base64, io, json, os, random, struct
from PIL import Image

W, H = 7, 5
rnd = random.Random(18)


def bmp(size, bits, comp, data, palette=b"", masks=b"", height=H, gap=0, colors=0, offset=None):
    if size == 12:
        head = struct.pack("<IHHHH", 12, W, height, 1, bits)
    else:
        head = struct.pack("<IiiHHIIiiII", size, W, height, 1, bits, comp, len(data), 0, 0, colors, 0)
    if size >= 52:
        head += masks
        masks = b""
    if size > 12:
        head += bytes(size - len(head))
    at = 14 + len(head) + len(masks) + len(palette) + gap
    return b"BM" + struct.pack("<IHHI", at + len(data), 0, 0, at if offset is None else offset) + head + masks + palette + bytes(gap) + data


def noise(bits):
    return rnd.randbytes((W * bits + 31) // 32 * 4 * H)


def x0(data):
    return b"".join(data[i:i + 3] + b"\0" for i in range(0, len(data), 4))


def files():
    for size in (12, 40, 52, 56, 64, 108, 124):
        entry = 3 if size == 12 else 4
        for bits in (1, 4, 8):
            yield f"{size}_p{bits}", bmp(size, bits, 0, noise(bits), rnd.randbytes(entry << bits))
        for bits in (16, 24, 32):
            yield f"{size}_{bits}", bmp(size, bits, 0, noise(bits))
            if size > 12:
                yield f"{size}_{bits}_top_down", bmp(size, bits, 0, noise(bits), height=-H)
        yield f"{size}_gap", bmp(size, 24, 0, noise(24), gap=10)
        yield f"{size}_p8_gap", bmp(size, 8, 0, noise(8), rnd.randbytes(entry << 8), gap=7)
        yield f"{size}_p8_offset_of_palette", bmp(size, 8, 0, noise(8), rnd.randbytes(entry << 8), offset=14 + size)
        if size == 12:
            continue
        yield f"{size}_p8_few", bmp(size, 8, 0, bytes(v % 9 for v in noise(8)), rnd.randbytes(36), colors=9)
        for name, bits, masks in (("565", 16, (0xF800, 0x7E0, 0x1F, 0)), ("555", 16, (0x7C00, 0x3E0, 0x1F, 0)),
                                  ("bgrx", 32, (0xFF0000, 0xFF00, 0xFF, 0)), ("xbgr", 32, (0xFF000000, 0xFF0000, 0xFF00, 0)),
                                  ("none", 32, (0, 0, 0, 0)), ("bgra", 32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
                                  ("rgba", 32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)), ("24", 24, (0xFF0000, 0xFF00, 0xFF, 0))):
            if size < 56 and masks[3]:
                continue
            m = struct.pack("<4I" if size >= 56 else "<3I", *masks[:4 if size >= 56 else 3])
            yield f"{size}_{name}", bmp(size, bits, 3, noise(bits), masks=m)
            if bits == 32 and masks[0] == 0xFF0000:
                yield f"{size}_{name}_x0", bmp(size, bits, 3, x0(noise(bits)), masks=m)
    row8 = b"\3\7\0\4\1\2\3\4\0\0"
    yield "rle8", bmp(40, 8, 1, row8 * H + b"\0\1", rnd.randbytes(1024))
    yield "rle8_odd_and_delta", bmp(40, 8, 1, b"\2\7\0\5\1\2\3\4\5\0\0\0\0\2\3\1\4\6\0\0\x09\x08\0\0\7\5\0\1", rnd.randbytes(1024))
    yield "rle8_top_down", bmp(40, 8, 1, row8 * H, rnd.randbytes(1024), height=-H)
    yield "rle4", bmp(40, 4, 2, (b"\3\x71\0\4\x12\x34\0\0") * H + b"\0\1", rnd.randbytes(64))
    yield "rle4_odd", bmp(40, 4, 2, (b"\2\x71\0\5\x12\x34\x50\0\0\0") * H + b"\0\1", rnd.randbytes(64))


out, refused = [], []
for name, file in files():
    try:
        pix = Image.open(io.BytesIO(file)).convert("RGB").tobytes()
    except Exception as e:
        refused.append((name, str(e)))
        continue
    out.append({"Name": name, "File": base64.b64encode(file).decode(), "Pix": base64.b64encode(pix).decode()})
print(len(out), "files; Pillow refuses", refused)
to = os.path.join(os.path.dirname(__file__), "../../internal/bmp/testdata/pillow.json")
json.dump(out, open(to, "w"), separators=(",", ":"))
