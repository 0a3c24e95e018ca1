"""Writes internal/tiff/testdata/variants.json.gz: TIFF files, and Pillow's pixels.

python3 tools/golden/tiff.py    (Pillow 13.0.0, numpy)

The files are of every kind of pixel, in strips and tiles, together and in planes, of
both orders of bytes and of bits, compressed in every way; also BigTIFF files, and
damaged ones. The expected pixels of unsigned grey samples of 12 and 16 bits are their highest
8, where Pillow's conversion to RGB makes all above 255 white.
"""
import base64, gzip, hashlib, io, json, os, random, struct, warnings
import numpy as np
import PIL
from PIL import Image, ImageOps, features

W, H = 19, 17
rnd = random.Random(6)
noise = np.random.default_rng(6)

# kind: photometric interpretation, bits, sample format, samples, ExtraSamples
KINDS = {}
for bits in (1, 2, 4, 8, 16):
    KINDS[f"grey{bits}"] = (1, bits, 1, 1, ())
    KINDS[f"white{bits}"] = (0, bits, 1, 1, ())
for bits in (1, 2, 4, 8):
    KINDS[f"palette{bits}"] = (3, bits, 1, 1, ())
KINDS |= {
    "grey12": (1, 12, 1, 1, ()), "signed8": (1, 8, 2, 1, ()), "signed16": (1, 16, 2, 1, ()), "signed32": (1, 32, 2, 1, ()),
    "grey32": (1, 32, 1, 1, ()), "float32": (1, 32, 3, 1, ()), "whitefloat32": (0, 32, 3, 1, ()), "float16": (1, 16, 3, 1, ()),
    "greyX": (1, 8, 1, 2, (0,)), "greya": (1, 8, 1, 2, (1,)), "greyA": (1, 8, 1, 2, (2,)),
    "paletteX": (3, 8, 1, 2, (0,)), "paletteA": (3, 8, 1, 2, (2,)),
    "rgb": (2, 8, 1, 3, ()), "rgb4": (2, 4, 1, 3, ()), "rgb-of-4": (2, 8, 1, 4, ()), "rgbX": (2, 8, 1, 4, (0,)), "rgba": (2, 8, 1, 4, (1,)), "rgbA": (2, 8, 1, 4, (2,)), "rgb999": (2, 8, 1, 4, (999,)),
    "rgbXX": (2, 8, 1, 5, (0, 0)), "rgbaX": (2, 8, 1, 5, (1, 0)), "rgbAX": (2, 8, 1, 5, (2, 0)),
    "rgbXXX": (2, 8, 1, 6, (0, 0, 0)), "rgbaXX": (2, 8, 1, 6, (1, 0, 0)), "rgbAXX": (2, 8, 1, 6, (2, 0, 0)),
    "rgb16": (2, 16, 1, 3, ()), "rgb16-of-4": (2, 16, 1, 4, ()), "rgbX16": (2, 16, 1, 4, (0,)), "rgba16": (2, 16, 1, 4, (1,)), "rgbA16": (2, 16, 1, 4, (2,)),
    "cmyk": (5, 8, 1, 4, ()), "cmykX": (5, 8, 1, 5, (0,)), "cmykXX": (5, 8, 1, 6, (0, 0)), "cmyk16": (5, 16, 1, 4, ()),
    "ycbcr": (6, 8, 1, 3, ()), "ycbcr1": (6, 8, 1, 1, ()), "lab": (8, 8, 1, 3, ()),
}
COMPRESSIONS = {"raw": 1, "tiff_lzw": 5, "tiff_adobe_deflate": 8, "packbits": 32773, "tiff_deflate": 32946, "zstd": 50000}
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 11: 4, 12: 8, 16: 8}
LETTERS = {1: "B", 2: "B", 3: "H", 4: "I", 7: "B", 11: "f", 12: "d", 16: "Q"}


def tiff(order, fields, blocks, tiled=False, big=False, first=b""):
    """A file of fields, {tag: (type, values)}, and of the data of strips or tiles."""
    e = "<" if order == "II" else ">"
    fields = dict(fields)
    out = bytearray(order.encode() + (struct.pack(e + "HHHQ", 43, 8, 0, 0) if big else struct.pack(e + "HI", 42, 0)) + first)
    offsets = []
    for b in blocks:
        offsets.append(len(out))
        out += b + bytes(len(b) % 2)
    fields[324 if tiled else 273] = (16 if big else 4, offsets)
    fields[325 if tiled else 279] = (4, [len(b) for b in blocks])
    entries, word = b"", 8 if big else 4
    for tag, (kind, values) in sorted(fields.items()):
        if kind == 5:
            data = b"".join(struct.pack(e + "II", int(v * 10000), 10000) for v in values)
        else:
            data = struct.pack(f"{e}{len(values)}{LETTERS[kind]}", *values)
        if len(data) > word:
            at = len(out)
            out += data + bytes(len(data) % 2)
            data = struct.pack(e + ("Q" if big else "I"), at)
        entries += struct.pack(e + ("HHQ" if big else "HHI"), tag, kind, len(values)) + data.ljust(word, b"\0")
    at = len(out)
    out += struct.pack(e + ("Q" if big else "H"), len(fields)) + entries + bytes(word)
    if big:
        out[8:16] = struct.pack(e + "Q", at)
    else:
        out[4:8] = struct.pack(e + "I", at)
    return bytes(out)


def strip(image, name, info={}):
    """The only strip of an image that Pillow saves, and its fields."""
    f = io.BytesIO()
    image.save(f, "TIFF", compression=name, tiffinfo=info | {278: image.height}, **({"quality": 60} if name == "jpeg" else {}))
    saved = Image.open(io.BytesIO(f.getvalue()))
    (at,), (n,) = saved.tag_v2[273], saved.tag_v2[279]
    return f.getvalue()[at:at + n], saved.tag_v2


def compress(data, name):
    if name == "raw":
        return data
    return strip(Image.frombytes("L", (len(data), 1), data), name)[0]


def rows(samples, bits, fmt, order):
    """Rows of samples, packed."""
    e = "<" if order == "II" else ">"
    flat = samples.reshape(samples.shape[0], -1)
    if fmt == 3:
        return [r.astype(f"{e}f{bits // 8}").tobytes() for r in flat]
    if bits >= 8 and bits != 12:
        return [r.astype(f"{e}u{bits // 8}").tobytes() for r in flat]
    return [np.packbits(((r[:, None].astype(np.int64) >> np.arange(bits - 1, -1, -1)) & 1).astype(np.uint8)).tobytes() for r in flat]


def differences(samples, fmt, order, predictor, bits):
    """Rows of differences, as a predictor makes them."""
    h, w, n = samples.shape
    if predictor == 2:
        v = samples.astype(np.float32).view(np.uint32) if fmt == 3 else samples.astype(np.int64)
        d = v.astype(np.int64)
        d[:, 1:] -= v[:, :-1].astype(np.int64)
        return rows(d % (1 << bits), bits, 1, order)
    out = []
    for row in samples.astype(">f4").reshape(h, -1):
        b = np.frombuffer(row.tobytes(), np.uint8).reshape(-1, 4).T.reshape(-1).astype(np.int64)
        d = b.copy()
        d[n:] -= b[:-n]
        out.append((d % 256).astype(np.uint8).tobytes())
    return out


def picture(bits, fmt, n):
    if fmt == 3:
        return (noise.integers(-4, 30, (H, W, n)) * 10 + 0.75).astype(np.float32)
    if fmt == 2 and bits > 8 or bits == 32:
        return noise.integers(-6, 32, (H, W, n)) * 10
    coarse = noise.integers(0, 1 << bits, (H // 4 + 1, W // 5 + 1, n))
    fine = np.kron(coarse, np.ones((4, 5, 1), np.int64))[:H, :W]
    return np.where(noise.random((H, W, 1)) < 0.04, noise.integers(0, 1 << bits, (H, W, n)), fine)


def clumps(samples, across, down):
    """Rows of Y'CbCr, subsampled."""
    h, w, _ = samples.shape
    s = np.pad(samples, ((0, -h % down), (0, -w % across), (0, 0)), mode="edge")
    out = []
    for y in range(0, s.shape[0], down):
        row = b""
        for x in range(0, s.shape[1], across):
            c = s[y:y + down, x:x + across]
            row += bytes(c[:, :, 0].reshape(-1).tolist()) + bytes(c[0, 0, 1:].tolist())
        out.append(row)
    return out


def variant(kind, order="II", place="strips", planar=False, compression="raw", predictor=1, reverse=False, big=False, subsampling=None, extra_fields={}):
    photometric, bits, fmt, n, extra = KINDS[kind]
    samples = picture(bits, fmt, n)
    fields = {256: (3, [W]), 257: (4, [H]), 258: (3, [bits] * n), 259: (3, [COMPRESSIONS[compression]]), 262: (3, [photometric]), 277: (3, [n])}
    if fmt != 1 or rnd.random() < 0.3:
        fields[339] = (3, [fmt] * n)
    if extra:
        fields[338] = (3, list(extra))
    if photometric == 3:
        fields[320] = (3, np.repeat(noise.integers(0, 65536, 3 << min(bits, 4)), max(1, (1 << bits) // 16)).tolist())
    if predictor > 1:
        fields[317] = (3, [predictor])
    if reverse:
        fields[266] = (3, [2])
    if planar or rnd.random() < 0.5:
        fields[284] = (3, [2 if planar else 1])
    if photometric == 6 and n == 3:
        fields[530] = (3, list(subsampling or (1, 1)))
    fields |= extra_fields
    w, h = {"strips": (W, 4), "single": (W, H), "tiles": (16, 16), "wide": (32, 16)}[place]
    tiled = place in ("tiles", "wide")
    if tiled:
        fields |= {322: (3, [w]), 323: (3, [h])}
        samples = np.pad(samples, ((0, -H % h), (0, -W % w), (0, 0)))
    elif place == "strips":
        fields[278] = (3, [h])
    blocks = []
    for plane in [samples[:, :, i:i + 1] for i in range(n)] if planar else [samples]:
        for y in range(0, plane.shape[0], h):
            for x in range(0, plane.shape[1], w):
                block = plane[y:y + h, x:x + w]
                if subsampling:
                    lines = clumps(block, *subsampling)
                elif predictor > 1:
                    lines = differences(block, fmt, order, predictor, bits)
                else:
                    lines = rows(block, bits, fmt, order)
                data = compress(b"".join(lines), compression)
                if reverse:
                    data = bytes(int(f"{b:08b}"[::-1], 2) for b in data)
                blocks.append(data)
    return tiff(order, fields, blocks, tiled, big)


def pixels():
    """Kinds of pixels, each in some ways of storing them."""
    for kind, (photometric, bits, fmt, n, extra) in KINDS.items():
        ways = set()
        predictors = [1] + [2] * (bits in (8, 16, 32)) + [3] * (fmt == 3 and bits == 32)
        for i in range(9 if n > 1 or bits >= 16 else 6):
            compression = list(COMPRESSIONS)[i % len(COMPRESSIONS)]
            packed = compression not in ("raw", "packbits")
            way = (rnd.choice(["II", "II", "MM"]), ["strips", "tiles", "single", "strips", "wide"][(i + i // 6) % 5],
                   n > 1 and (compression != "raw" or bits == 8) and rnd.random() < 0.4, compression,
                   rnd.choice(predictors) if packed else 1, bits <= 8 and rnd.random() < 0.25, False)
            if rnd.random() < 0.15:  # Pillow reads BigTIFF of one order of bytes only
                way = ("II",) + way[1:-1] + (True,)
            if way not in ways and not garbled(kind, *way):
                ways.add(way)
                yield f"{kind} {way}", variant(kind, *way)


def garbled(kind, order, place, planar, compression, *rest):
    """Whether Pillow misreads what libtiff gives it: numbers as big-endian ones, and
    planes of L*a*b* as ordinary ones."""
    if compression == "raw":
        return False
    return order == "MM" and ("signed" in kind and kind != "signed8" or "float" in kind) or planar and kind == "lab"


def luma():
    """Y'CbCr, subsampled, of other coefficients, and JPEG."""
    bt709 = {529: (11, [0.2126, 0.7152, 0.0722])}
    video = {532: (5, [16, 235, 128, 240, 128, 240])}
    for across, down in [(1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4), (3, 1)]:
        for compression, place, more in [("tiff_lzw", "single", {}), ("packbits", "tiles", video), ("tiff_adobe_deflate", "strips", bt709 | video), ("zstd", "wide", bt709)]:
            if (across, down) == (4, 4) and place in ("single", "strips"):
                continue  # libtiff misses the last bytes of strips of odd widths
            yield f"ycbcr {across}x{down} {compression} {place} {sorted(more)}", variant("ycbcr", compression=compression, place=place, subsampling=(across, down), extra_fields=more)
    yield "ycbcr planar", variant("ycbcr", compression="tiff_lzw", planar=True, extra_fields=video)
    yield "ycbcr, NaN", variant("ycbcr", compression="tiff_lzw", extra_fields={529: (11, [float("nan")] * 3)})
    yield "ycbcr, no green", variant("ycbcr", compression="tiff_lzw", extra_fields={529: (11, [0.5, 0, 0.5])})
    yield "ycbcr raw, NaN", variant("ycbcr", extra_fields={529: (11, [float("nan")] * 3)})


def photograph(w, h, n):
    y, x = np.mgrid[:h, :w]
    planes = [128 + 100 * np.sin(x / (5 + c) + c) * np.cos(y / (7 - c)) for c in range(n)]
    return np.stack(planes, -1).clip(0, 255).astype(np.uint8)


def jpegs():
    """JPEG strips and tiles, with and without separate tables."""
    for mode, n, photometric in [("L", 1, 1), ("RGB", 3, 2), ("YCbCr", 3, 6), ("CMYK", 4, 5)]:
        for place, (w, h) in {"single": (37, 30), "strips": (37, 16), "tiles": (32, 16)}.items():
            for tables in True, False:
                full = photograph(-(-37 // w) * w, -(-30 // h) * h if place == "tiles" else 30, n)
                fields = {256: (3, [37]), 257: (3, [30]), 258: (3, [8] * n), 259: (3, [7]), 262: (3, [photometric]), 277: (3, [n])}
                if place == "tiles":
                    fields |= {322: (3, [w]), 323: (3, [h])}
                elif place == "strips":
                    fields[278] = (3, [h])
                blocks = []
                for y in range(0, full.shape[0], h):
                    for x in range(0, full.shape[1], w):
                        part = full[y:y + h, x:x + w]
                        image = Image.frombytes(mode, part.shape[1::-1], np.ascontiguousarray(part).tobytes())
                        if tables:
                            data, saved = strip(image, "jpeg")
                            fields[347] = (7, list(saved[347]))
                            if photometric == 6:
                                fields[530] = (3, list(saved[530]))
                        else:
                            f = io.BytesIO()
                            image.save(f, "JPEG", quality=70, subsampling=0, **({"keep_rgb": True} if mode == "RGB" else {}))
                            data = f.getvalue()
                            fields.pop(530, None)
                            if photometric == 6:
                                fields[530] = (3, [1, 1])
                        blocks.append(data)
                big = place == "tiles" and not tables
                yield f"jpeg {mode} {place}, tables apart {tables}", tiff("II" if big else rnd.choice(["II", "MM"]), fields, blocks, place == "tiles", big)
    for subsampling in 0, 1, 2:  # of RGB that a JPEG file holds as Y'CbCr
        f = io.BytesIO()
        image = Image.frombytes("RGB", (37, 30), photograph(37, 30, 3).tobytes())
        image.save(f, "JPEG", quality=70, subsampling=subsampling)
        fields = {256: (3, [37]), 257: (3, [30]), 258: (3, [8] * 3), 277: (3, [3]), 262: (3, [6])}
        factors = [(1, 1), (2, 1), (2, 2)][subsampling]
        yield f"jpeg, a file of {factors}", tiff("II", fields | {259: (3, [7]), 530: (3, factors)}, [f.getvalue()])
        first = f.getvalue()
        yield f"old jpeg, a file of {factors}", tiff("II", fields | {259: (3, [6]), 530: (3, factors), 513: (4, [8]), 514: (4, [len(first)])}, [first[first.index(b"\xff\xda") + 14:]], first=first)
    planes = photograph(37, 30, 3)
    blocks = []
    for i in range(3):
        f = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(planes[:, :, i])).save(f, "JPEG", quality=70)
        blocks.append(f.getvalue())
    for photometric in 2, 6:
        yield f"jpeg in planes, {photometric}", tiff("II", {256: (3, [37]), 257: (3, [30]), 258: (3, [8] * 3), 259: (3, [7]), 262: (3, [photometric]), 277: (3, [3]), 284: (3, [2]), 530: (3, [1, 1])}, blocks)


def fax():
    y, x = np.mgrid[:40, :83]
    text = Image.fromarray((((x // 3 * 7 + y // 5 * 3) % 11 < 4) | (abs(x - y) < 2)).astype(np.uint8) * 255).convert("1")
    wide = Image.fromarray(((np.mgrid[:9, :5700][1] // 2611 + np.mgrid[:9, :5700][0] // 3) % 2 * 255).astype(np.uint8)).convert("1")
    for name, image in {"text": text, "wide": wide, "white": Image.new("1", (83, 12), 1), "black": Image.new("1", (16, 12), 0)}.items():
        for compression, number in {"tiff_ccitt": 2, "group3": 3, "group4": 4, "tiff_raw_16": 32771}.items():
            for options in [0, 1, 4, 5] if number == 3 else [0]:
                data, _ = strip(image, compression, {292: options} if options else {})
                for photometric in 0, 1:
                    for reverse in False, True:
                        if reverse and name != "text":
                            continue
                        d = bytes(int(f"{b:08b}"[::-1], 2) for b in data) if reverse else data
                        fields = {256: (3, [image.width]), 257: (3, [image.height]), 258: (3, [1]), 259: (3, [number]), 262: (3, [photometric]), 266: (3, [1 + reverse])}
                        if number == 3:
                            fields[292] = (4, [options])
                        # Pillow cannot read the words that it writes.
                        want = image.convert("RGB") if photometric == 1 else ImageOps.invert(image.convert("RGB"))
                        yield f"fax {name} {compression} {options} {photometric} {reverse}", tiff("II", fields, [d]), want if number == 32771 else None


def oddities():
    """Files that are damaged, or merely strange."""
    plain = variant("rgb", compression="tiff_lzw", place="single")
    yield "wrong way around", b"II\0*" + variant("grey8")[4:]
    yield "wrong way around, MM", b"MM*\0" + variant("grey8", order="MM")[4:]
    for n in 10, 60, len(plain) - 30:
        yield f"cut to {n}", plain[:n]
    for compression in ("raw", "tiff_lzw", "packbits", "tiff_adobe_deflate", "zstd"):
        yield f"fewer bytes than it needs, {compression}", short(compression)
    fields = {256: (3, [4]), 257: (3, [4]), 258: (3, [8]), 259: (3, [1]), 262: (3, [1])}
    data = bytes(range(0, 160, 10))
    yield "no size", tiff("II", {k: v for k, v in fields.items() if k != 256}, [data])
    yield "no photometric interpretation", tiff("II", {k: v for k, v in fields.items() if k != 262}, [data])
    yield "no bits", tiff("II", {k: v for k, v in fields.items() if k != 258}, [data])
    yield "no compression", tiff("II", {k: v for k, v in fields.items() if k != 259}, [data])
    yield "rows of a strip beyond the image", tiff("II", fields | {278: (4, [2**32 - 1])}, [data])
    yield "sizes in one of many types", tiff("II", fields | {256: (1, [4]), 257: (16, [4])}, [data])
    yield "two strips, one offset", tiff("II", fields | {278: (3, [2])}, [data])
    yield "three planes, two offsets", tiff("II", fields | {258: (3, [8] * 3), 277: (3, [3]), 262: (3, [2]), 284: (3, [2])}, [data, data])
    yield "more bits than samples", tiff("II", fields | {258: (3, [8, 8, 8])}, [data])
    yield "one number of bits for three samples", tiff("II", fields | {258: (3, [8]), 277: (3, [3]), 262: (3, [2])}, [data * 3])
    yield "samples that differ", tiff("II", fields | {258: (3, [8, 8, 16]), 277: (3, [3]), 262: (3, [2])}, [data * 3])
    yield "a palette that is short", tiff("II", fields | {262: (3, [3]), 320: (3, list(range(0, 60000, 1000)))}, [bytes(range(16))])
    yield "tiles of 0x0", tiff("II", fields | {322: (3, [0]), 323: (3, [0])}, [data], tiled=True)
    yield "tiles that are vast", tiff("II", fields | {322: (4, [2**31 - 16]), 323: (4, [2**31 - 16])}, [data], tiled=True)
    yield "0x0", tiff("II", fields | {256: (3, [0])}, [data])
    for number in 9, 32809, 34925, 34887, 50001, 12345:
        yield f"compression {number}", tiff("II", fields | {259: (3, [number])}, [data])
    for photometric in 4, 9, 32844, 32803:
        yield f"photometric interpretation {photometric}", tiff("II", fields | {262: (3, [photometric])}, [data])
    yield "planes of extra samples", tiff("II", fields | {258: (3, [8] * 9), 277: (3, [9]), 262: (3, [2]), 284: (3, [2]), 338: (3, [0] * 6), 259: (3, [32773])}, [compress(data[i:] + data[:i], "packbits") for i in range(9)])

def orientations():
    for value in range(10):
        yield f"{value}", variant("rgb" if value % 2 else "grey4", "II", "single", False, "tiff_lzw" if value % 3 else "raw", big=value % 4 == 2, extra_fields={274: (4 if value == 7 else 3, [value])})


def short(compression):
    """A file whose strip lacks 11 bytes."""
    fields = {256: (3, [9]), 257: (3, [9]), 258: (3, [8]), 259: (3, [COMPRESSIONS[compression]]), 262: (3, [1])}
    f = tiff("II", fields, [compress(bytes(range(70)), compression)])
    if compression != "raw":
        return f
    return tiff("II", fields, [])[:8] + f[8:-3]


def expected(image):
    image.load()
    if not image.mode.startswith("I;16"):
        return image.convert("RGB").tobytes()
    shift = 4 if image.tag_v2[258] in (12, (12,)) else 8
    return np.repeat((np.asarray(image).astype(np.uint16) >> shift).astype(np.uint8).reshape(-1), 3).tobytes()


def main():
    warnings.simplefilter("ignore")
    cases = []
    for kind in pixels, luma, jpegs, fax, oddities, orientations:
        refused = []
        for name, file, *want in kind():
            case = {"kind": kind.__name__, "name": name, "file": base64.b64encode(file).decode()}
            try:
                image = Image.open(io.BytesIO(file))
                pix = want[0].tobytes() if want and want[0] else expected(image)
                case["w"], case["h"] = image.size
                case["pixels"] = hashlib.sha256(pix).hexdigest()[:32]
            except Exception as e:
                case["refused"] = str(e).split(" <")[0]
                if kind == pixels and any(r.split()[0] == name.split()[0] for r in refused):
                    continue  # one of a kind is enough
                refused.append(name)
            cases.append(case)
        print(kind.__name__, sum(c["kind"] == kind.__name__ for c in cases), "files; Pillow refuses", refused)
    text = json.dumps({"pillow": PIL.__version__, "libtiff": features.version("libtiff"), "files": cases})
    to = os.path.join(os.path.dirname(__file__), "../../internal/tiff/testdata/variants.json.gz")
    os.makedirs(os.path.dirname(to), exist_ok=True)
    with open(to, "wb") as f:
        f.write(gzip.compress(text.encode(), mtime=0))
    print(os.path.getsize(to), "bytes")


if __name__ == "__main__":
    main()
