"""Writes PNG, GIF and WebP files of every variant of the formats, and what Pillow makes
of each by convert("RGB"):

    python tools/golden/imagevariants.py internal/data/testdata    (Pillow 13.0.0)

PNG and GIF files are made here, byte by byte, since no encoder writes them all; WebP
files are put together here from libwebp's chunks. They go to png.json.gz, gif.json.gz and
webp.json.gz, with the size of what Pillow makes of each and a hash of its pixels (first
half of SHA-256); no hash where Pillow refuses the file. 16-bit grey is the exception:
convert("RGB") clips it at 255, and the hash is of the samples' higher bytes.
"""

import base64
import gzip
import hashlib
import io
import itertools
import json
import random
import struct
import sys
import warnings
import zlib

import PIL
from PIL import Image, features

# PNG

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
MAGIC = b"\x89PNG\r\n\x1a\n"


def chunk(kind, data=b"", crc=None):
    if crc is None:
        crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def broken(kind, data):
    return chunk(kind, data, zlib.crc32(kind + data) ^ 1)


def rows(rng, w, h, kind, depth, interlaced, filters=range(5)):
    """Random samples, filtered: what IDAT compresses."""
    out = b""
    for x0, y0, dx, dy in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        pw, ph = -(-(w - x0) // dx), -(-(h - y0) // dy)
        if pw > 0 and ph > 0:
            n = (pw * CHANNELS[kind] * depth + 7) // 8
            out += b"".join(bytes([rng.choice(filters)]) + rng.randbytes(n) for _ in range(ph))
    return out


class PNG:
    def __init__(self, rng, kind, depth, interlaced=0, w=9, h=7, few=False):
        self.rng, self.kind, self.depth, self.w, self.h = rng, kind, depth, w, h
        self.raw = rows(rng, w, h, kind, depth, interlaced)
        self.header = chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, kind, 0, 0, interlaced))
        colours = 1 << depth if not few else (1 << depth) // 2 + 1
        self.palette = chunk(b"PLTE", rng.randbytes(3 * colours)) if kind == 3 else b""
        self.before, self.after, self.end = b"", b"", chunk(b"IEND")
        self.data = zlib.compress(self.raw)
        self.idat = None

    def trns(self):
        """As long as the colour type requires; a colour may be one of the image's."""
        if self.kind == 3:
            return chunk(b"tRNS", self.rng.randbytes(self.rng.randint(1, 1 << self.depth)))
        return chunk(b"tRNS", b"".join(struct.pack(">H", self.rng.randrange(1 << self.depth)) for _ in range(CHANNELS[self.kind])))

    def write(self):
        idat = self.idat if self.idat is not None else chunk(b"IDAT", self.data)
        return MAGIC + self.header + self.palette + self.before + idat + self.after + self.end


STRAY = {
    "gAMA": struct.pack(">I", 45455), "cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000), "sRGB": b"\0",
    "iCCP": b"x\0\0" + zlib.compress(b"profile"), "eXIf": b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0", "pHYs": struct.pack(">IIB", 2835, 2835, 1),
    "tEXt": b"Title\0text", "zTXt": b"Title\0\0" + zlib.compress(b"text"), "iTXt": b"Title\0\0\0\0\0text", "tIME": b"\x07\xe8\1\2\3\4\5", "bKGD": b"\0\1",
    "hIST": b"\0\1" * 4, "sBIT": b"\1", "sPLT": b"x\0\x08", "prVt": b"own", "acTL": struct.pack(">II", 1, 0),
}


def png(rng):
    for kind, depths in DEPTHS.items():
        for depth, interlaced in itertools.product(depths, (0, 1)):
            for w, h in (9, 7), (1, 1), (1, 9), (8, 1), (33, 5), (4, 4):
                yield f"{kind} {depth} {interlaced} {w}x{h}", PNG(rng, kind, depth, interlaced, w, h).write()
            for name, few in ("tRNS", False), ("tRNS, few colours", True):
                p = PNG(rng, kind, depth, interlaced, few=few)
                p.before = p.trns()
                yield f"{kind} {depth} {interlaced} {name}", p.write()
            p = PNG(rng, kind, depth, interlaced)
            if kind in (2, 6, 0, 4):
                p.before = chunk(b"PLTE", rng.randbytes(12))
                yield f"{kind} {depth} {interlaced} PLTE", p.write()
    for kind in DEPTHS:
        def new(interlaced=0):
            return PNG(rng, kind, 8, interlaced)

        for name, data in STRAY.items():
            p = new()
            p.before = chunk(name.encode(), data)
            yield f"{kind} {name}", p.write()
            p.before, p.after = b"", chunk(name.encode(), data)
            yield f"{kind} {name} after IDAT", p.write()
            p.after = broken(name.encode(), data)
            yield f"{kind} {name} after IDAT, bad CRC", p.write()
            p.before, p.after = broken(name.encode(), data), b""
            yield f"{kind} {name}, bad CRC", p.write()
            p.end, p.before = chunk(b"IEND") + chunk(name.encode(), data), b""
            yield f"{kind} {name} after IEND", p.write()
        p = new()
        for n in 1, 2, 7:
            p.idat = b"".join(chunk(b"IDAT", p.data[i:i + n]) for i in range(0, len(p.data), n))
            yield f"{kind} IDAT of {n} bytes each", p.write()
        p.idat = chunk(b"IDAT") + chunk(b"IDAT", p.data[:9]) + chunk(b"IDAT") + chunk(b"IDAT", p.data[9:]) + chunk(b"IDAT")
        yield f"{kind} IDAT, some empty", p.write()
        p.idat = chunk(b"IDAT", p.data[:9]) + chunk(b"tEXt", b"a\0b") + chunk(b"IDAT", p.data[9:])
        yield f"{kind} IDAT with text between", p.write()
        p.idat = chunk(b"IDAT", p.data) + chunk(b"IDAT", p.data)
        yield f"{kind} IDAT twice", p.write()
        p.idat = chunk(b"IDAT", p.data) + chunk(b"IDAT", b"rubbish")
        yield f"{kind} IDAT and one of rubbish", p.write()
        p.idat = chunk(b"IDAT", p.data) + chunk(b"tEXt", b"a\0b") + chunk(b"IDAT", b"rubbish")
        yield f"{kind} IDAT, text and one of rubbish", p.write()
        for interlaced in 0, 1:
            p = new(interlaced)
            for name, data in {
                "bytes after the data": p.data + b"more", "a zero after the data": p.data + b"\0", "a stream after the data": p.data + zlib.compress(b"abc"),
                "a row more": zlib.compress(p.raw + bytes(1 + 9 * CHANNELS[kind])), "a byte more": zlib.compress(p.raw + b"x"), "much more": zlib.compress(p.raw + bytes(100000)),
                "bad Adler-32": p.data[:-1] + bytes([p.data[-1] ^ 1]), "no Adler-32": p.data[:-4], "half an Adler-32": p.data[:-2],
                "a row less": zlib.compress(p.raw[:-1 - 9 * CHANNELS[kind]]), "a byte less": zlib.compress(p.raw[:-1]), "half": p.data[:len(p.data) // 2], "nothing": b"",
                "stored": zlib.compress(p.raw, 0), "fixed codes": fixed(p.raw), "in many blocks": blocks(p.raw), "window of 512": window(p.raw), "no window bits": b"\x08\x1d" + p.data[2:],
                "no zlib header": p.data[2:-4], "a preset dictionary": b"\x78\xbb\0\0\0\1" + p.data[2:], "bad header check": b"\x78\x9d" + p.data[2:],
            }.items():
                p.idat = chunk(b"IDAT", data)
                yield f"{kind} {interlaced} {name}", p.write()
            p.idat = broken(b"IDAT", p.data)
            yield f"{kind} {interlaced} IDAT, bad CRC", p.write()
        p = new()
        p.end = b""
        yield f"{kind} no IEND", p.write()
        yield f"{kind} no CRC of IDAT and no IEND", p.write()[:-4]
        yield f"{kind} half a CRC of IDAT and no IEND", p.write()[:-2]
        p.end = chunk(b"IEND")[:5]
        yield f"{kind} a part of IEND", p.write()
        p.end = broken(b"IEND", b"")
        yield f"{kind} IEND, bad CRC", p.write()
        p.end = chunk(b"IEND", b"abc")
        yield f"{kind} IEND with data", p.write()
        p.end = chunk(b"IEND") + b"more"
        yield f"{kind} bytes after IEND", p.write()
        p.end = b"\0" * 40
        yield f"{kind} zeros for IEND", p.write()
        p.end = b"rubbish that is no chunk"
        yield f"{kind} rubbish for IEND", p.write()
        p = new()
        p.before = p.trns()
        p.before += chunk(b"gAMA", STRAY["gAMA"])
        yield f"{kind} gAMA after tRNS", p.write()
        p.before, p.after = b"", p.trns()
        yield f"{kind} tRNS after IDAT", p.write()
        p.after = b""
        for n in 0, 1, 3, 5, 300:
            p.before = chunk(b"tRNS", rng.randbytes(n))
            yield f"{kind} tRNS of {n} bytes", p.write()
        p.before = p.trns() + p.trns()
        yield f"{kind} tRNS twice", p.write()
        p.before = chunk(b"IHDR", p.header[8:-4])
        yield f"{kind} IHDR twice", p.write()
        p.before = chunk(b"CRit", b"critical")
        yield f"{kind} an unknown critical chunk", p.write()
        p.before = chunk(b"ab1!", b"no name")
        yield f"{kind} a chunk whose name is none", p.write()
    for name, order in {"tRNS before PLTE": "tp", "PLTE twice": "pp", "no PLTE": "", "gAMA after PLTE": "pg"}.items():
        p = PNG(rng, 3, 8)
        parts = {"t": p.trns(), "p": chunk(b"PLTE", rng.randbytes(768)), "g": chunk(b"gAMA", STRAY["gAMA"])}
        p.palette = b"".join(parts[c] for c in order)
        yield name, p.write()
    p = PNG(rng, 3, 8)
    p.after, p.palette = p.palette, b""
    yield "PLTE after IDAT", p.write()
    for n in 0, 1, 3, 4, 30, 771, 900:
        p = PNG(rng, 3, 8)
        p.palette = chunk(b"PLTE", rng.randbytes(n))
        yield f"PLTE of {n} bytes", p.write()
    for depth in 1, 2, 4:
        p = PNG(rng, 3, depth)
        p.palette = chunk(b"PLTE", rng.randbytes(768))
        yield f"PLTE of 256 colours, {depth} bits", p.write()
    for kind, depth in (0, 3), (2, 4), (3, 16), (4, 4), (1, 8), (5, 8), (7, 8), (6, 32):
        p = PNG(rng, 2, 8)
        p.header = chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 7, depth, kind, 0, 0, 0))
        yield f"no such kind: {kind} {depth}", p.write()
    for name, tail in {"compression 1": (1, 0, 0), "filter 1": (0, 1, 0), "interlace 2": (0, 0, 2)}.items():
        p = PNG(rng, 2, 8)
        p.header = chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 7, 8, 2, *tail))
        yield name, p.write()
    p = PNG(rng, 2, 8)
    p.header = broken(b"IHDR", p.header[8:-4])
    yield "IHDR, bad CRC", p.write()
    p.header = chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 7, 8, 2, 0, 0, 0) + b"more")
    yield "IHDR too long", p.write()
    p = PNG(rng, 2, 8)
    p.header = chunk(b"gAMA", STRAY["gAMA"]) + p.header
    yield "gAMA before IHDR", p.write()
    p = PNG(rng, 2, 8)
    p.raw = bytes([5]) + p.raw[1:]
    p.data = zlib.compress(p.raw)
    yield "filter 5 in a row", p.write()
    for control in True, False:  # an animation that the still image is a frame of, and one that it is not
        p = PNG(rng, 2, 8)
        frame = struct.pack(">IIIIHHBB", 9, 7, 0, 0, 1, 10, 0, 0)
        p.before = chunk(b"acTL", struct.pack(">II", 1 + control, 0)) + (chunk(b"fcTL", struct.pack(">I", 0) + frame) if control else b"")
        other = zlib.compress(rows(rng, 9, 7, 2, 8, 0))
        p.after = chunk(b"fcTL", struct.pack(">I", control + 0) + frame) + chunk(b"fdAT", struct.pack(">I", control + 1) + other)
        yield f"animated, first frame is the still image: {control}", p.write()


def fixed(raw):
    c = zlib.compressobj(9, zlib.DEFLATED, 15, 8, zlib.Z_FIXED)
    return c.compress(raw) + c.flush()


def blocks(raw):
    c = zlib.compressobj()
    return b"".join(c.compress(raw[i:i + 9]) + c.flush(zlib.Z_FULL_FLUSH) for i in range(0, len(raw), 9)) + c.flush()


def window(raw):
    c = zlib.compressobj(9, zlib.DEFLATED, 9)
    return c.compress(raw) + c.flush()


# GIF


def lzw(pixels, size, clear_first=True, end=True, defer=False):
    """LZW codes as GIF has them; without ends of streams or clear codes if asked."""
    out, acc, bits = bytearray(), 0, 0

    def put(code, n):
        nonlocal acc, bits
        acc, bits = acc | code << bits, bits + n
        while bits >= 8:
            out.append(acc & 255)
            acc, bits = acc >> 8, bits - 8

    clear = 1 << size
    table, n = {(i,): i for i in range(clear)}, size + 1
    following = clear + 2
    if clear_first:
        put(clear, n)
    word = ()
    for p in pixels:
        if word + (p,) in table:
            word += (p,)
            continue
        put(table[word], n)
        if following < 4096:
            table[word + (p,)] = following
            if following == 1 << n and n < 12:
                n += 1
            following += 1
        elif not defer:
            put(clear, n)
            table, n, following = {(i,): i for i in range(clear)}, size + 1, clear + 2
        word = (p,)
    if word:
        put(table[word], n)
        if following == 1 << n and n < 12:
            n += 1
    if end:
        put(clear + 1, n)
    if bits:
        out.append(acc & 255)
    return bytes(out)


def sub(data, n=255):
    return b"".join(bytes([len(data[i:i + n])]) + data[i:i + n] for i in range(0, len(data), n)) + b"\0"


def control(flags=0, transparent=0, delay=0, size=4):
    return b"\x21\xf9" + bytes([size]) + struct.pack("<BHB", flags, delay, transparent)[:size] + b"\0"


class GIF:
    def __init__(self, rng, w=9, h=7, bits=4, screen=None, at=(0, 0), size=None, table=None, local=None, interlaced=False, top=None, version=b"89a", background=0, codes=None, **options):
        """table and local are numbers of bits, bytes, or none."""
        self.rng, self.size = rng, size or max(bits, 2)
        pixels = [rng.randrange(top or 1 << bits) for _ in range(w * h)]
        table = bits if table is None else table
        sw, sh = screen or (w, h)
        self.head = b"GIF" + version + struct.pack("<HHBBB", sw, sh, (0x80 | table - 1 if table else 0) | 0x70, background, 0)
        self.head += rng.randbytes(3 << table) if table else b""
        self.frame = struct.pack("<BHHHHB", 0x2C, *at, w, h, (0x80 | local - 1 if local else 0) | (0x40 if interlaced else 0))
        self.frame += rng.randbytes(3 << local) if local else b""
        self.codes = lzw(pixels, self.size, **options)
        self.before, self.tail, self.n = b"", b";", 255

    def write(self):
        return self.head + self.before + self.frame + bytes([self.size]) + sub(self.codes, self.n) + self.tail


def ramp(n):
    return b"".join(bytes([i] * 3) for i in range(n))


def gif(rng):
    for version, bits, interlaced, (w, h) in itertools.product((b"87a", b"89a"), range(1, 9), (False, True), ((9, 7), (1, 1), (3, 17))):
        yield f"{version} {bits} bits, interlaced {interlaced}, {w}x{h}", GIF(rng, w, h, bits, version=version, interlaced=interlaced).write()
    for size in range(0, 14):
        g = GIF(rng, bits=2, size=max(size, 2))
        g.size = size
        yield f"code size {size}", g.write()
        g = GIF(rng, bits=2, table=8, size=min(max(size, 2), 11))
        g.size = size
        yield f"code size {size}, 256 colours", g.write()
    for bits, (w, h) in itertools.product((2, 8), ((90, 90), (40, 130))):
        for defer in False, True:
            g = GIF(rng, w, h, bits, defer=defer, top=3 if bits == 2 else 5)
            yield f"a full table, deferred {defer}, {bits} bits {w}x{h}", g.write()
    for table, local in itertools.product((0, 2, 4, 8), (None, 2, 4, 8)):
        for transparent in None, 1, 12, 255:
            g = GIF(rng, bits=2, table=table, local=local)
            g.before = control(1, transparent) if transparent is not None else b""
            yield f"tables {table} {local}, transparent {transparent}", g.write()
        yield f"tables {table} {local}, indices beyond", GIF(rng, bits=4, table=table, local=local).write()
        g = GIF(rng, 5, 4, 2, screen=(9, 7), at=(3, 2), table=table, local=local)
        yield f"tables {table} {local}, part of the screen", g.write()
    for n, (where, screen) in itertools.product((4, 16, 256), (("global", None), ("local", None), ("global", (12, 11)), ("local", (12, 11)))):
        g = GIF(rng, bits=2, screen=screen, table=n.bit_length() - 1, local=n.bit_length() - 1 if where == "local" else None)
        if where == "global":
            g.head = g.head[:13] + ramp(n)
        else:
            g.frame = g.frame[:10] + ramp(n)
        yield f"{n} greys, {where}, {screen}", g.write()
        g.before = control(1, 2)
        yield f"{n} greys, {where}, {screen}, transparent", g.write()
        g = GIF(rng, bits=4, screen=screen, table=n.bit_length() - 1)
        g.head = g.head[:13] + ramp(n)
        yield f"{n} greys, {where}, {screen}, indices beyond", g.write()
    for screen, at in itertools.product(((9, 7), (12, 9), (5, 4), (0, 0), (1, 30)), ((0, 0), (3, 2))):
        for name, before in {"": b"", ", transparent": control(1, 3), ", transparent beyond": control(1, 200), ", disposed": control(2 << 2), ", disposed to the one before": control(3 << 2)}.items():
            for background in 5, 200:
                g = GIF(rng, screen=screen, at=at, background=background, interlaced=rng.random() < 0.3)
                g.before = before
                yield f"screen {screen}, at {at}{name}, background {background}", g.write()
    for w, h in (0, 0), (0, 7), (9, 0):
        yield f"frame of {w}x{h}", GIF(rng, w, h, screen=(9, 7)).write()
    extensions = {
        "comment": b"\x21\xfe" + sub(b"comment"), "empty comment": b"\x21\xfe\0", "long comment": b"\x21\xfe" + sub(bytes(600)), "NETSCAPE": b"\x21\xff\x0bNETSCAPE2.0\3\1\0\0\0",
        "application of 10 bytes": b"\x21\xff\x0aabcdefghij\0", "XMP": b"\x21\xff\x0bXMP DataXMP<x/>" + bytes([1]) + bytes(range(255, -1, -1)) + b"\0", "text": b"\x21\x01\x0c" + bytes(12) + sub(b"text"),
        "unknown": b"\x21\xcc" + sub(b"what"), "empty unknown": b"\x21\xcc\0", "long control": b"\x21\xf9\5\1\0\0\2\0\0", "short control": control(1, 1, size=3), "empty control": b"\x21\xf9\0",
        "control in two": b"\x21\xf9\4\1\0\0\2\2ab\0", "two controls": control(1, 1) + control(0, 2), "two transparent": control(1, 1) + control(1, 2), "control and comment": control(1, 2) + b"\x21\xfe" + sub(b"x"),
        "zeros": bytes(5), "rubbish": b"rubbish", "a trailer": b";",
    }
    for name, e in extensions.items():
        g = GIF(rng, screen=(12, 9))
        g.before = e
        yield f"{name} before the frame", g.write()
        g.before, g.tail = b"", e + b";"
        yield f"{name} after the frame", g.write()
    g = GIF(rng)
    for n in 1, 2, 7:
        g.n = n
        yield f"blocks of {n}", g.write()
    g.n = 255
    for tail in b"", b";;;", b"rubbish", b"\0":
        g.tail = tail
        yield f"end {tail}", g.write()
    yield "no end of data", g.write()[:-2]
    for options in dict(clear_first=False), dict(end=False), dict(clear_first=False, end=False):
        g = GIF(rng, **options)
        yield f"{options}", g.write()
        g.tail = b""
        yield f"{options}, no trailer", g.write()
        yield f"{options}, no end of data", g.write()[:-1]
    for n in 1, 2, 9, 40:
        g = GIF(rng)
        g.codes = g.codes[:-n]
        yield f"{n} bytes less", g.write()
        yield f"{n} bytes less, no end of data", g.write()[:-2]
        g = GIF(rng)
        g.codes += bytes(n)
        yield f"{n} bytes more", g.write()
        g.codes = g.codes[:-n] + rng.randbytes(300)
        yield f"300 bytes more than {n} less", g.write()
        g = GIF(rng)
        g.codes = lzw([rng.randrange(16) for _ in range(63 + n)], 4)
        yield f"{n} pixels more", g.write()
        g.codes = lzw([rng.randrange(16) for _ in range(63 - n)], 4)
        yield f"{n} pixels less", g.write()
        g.codes = lzw([rng.randrange(16) for _ in range(63 - n)], 4) + lzw([rng.randrange(16) for _ in range(n)], 4)
        yield f"{n} pixels in another stream", g.write()
        g.codes = lzw([rng.randrange(16) for _ in range(63 - n)], 4, end=False)
        yield f"{n} pixels less, no end", g.write()
        g = GIF(rng)
        g.codes = bytes(c ^ (1 << n % 8 if i == n else 0) for i, c in enumerate(g.codes))
        yield f"a wrong bit in byte {n}", g.write()
    for dispose in range(4):
        for w, h, at in (9, 7, (0, 0)), (4, 3, (2, 2)):
            frames = [GIF(rng, w, h, screen=(9, 7), at=at, local=rng.choice([None, 3])) for _ in range(3)]
            out = frames[0].head + b"\x21\xff\x0bNETSCAPE2.0\3\1\0\0\0"
            for k, f in enumerate(frames):
                out += control(dispose << 2 | (k % 2 == dispose % 2), 3, 10) + f.frame + bytes([f.size]) + sub(f.codes)
            yield f"animated, disposal {dispose}, {w}x{h}", out + b";"
    whole = GIF(rng).write()
    for n in 3, 6, 10, 13, 20, 61, 65, 71, 72, 80:
        yield f"cut to {n} bytes", whole[:n]
    yield "version 88a", GIF(rng, version=b"88a").write()


# WebP


def riff(*chunks):
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def part(kind, data):
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def parts(file):
    found, at = {}, 12
    while at < len(file):
        n = struct.unpack("<I", file[at + 4:at + 8])[0]
        found[file[at:at + 4]] = file[at + 8:at + 8 + n]
        at += 8 + n + n % 2
    return found


def vp8x(flags, w, h):
    return part(b"VP8X", struct.pack("<I", flags) + struct.pack("<I", w - 1)[:3] + struct.pack("<I", h - 1)[:3])


def photograph(rng, w, h, opacity):
    """Gradients, an edge and some noise."""
    a, b, c = (rng.randint(1, 9) for _ in range(3))
    out = bytearray()
    for y in range(h):
        for x in range(w):
            edge = 90 if x * a > y * b else 0
            alpha = {"none": 255, "some": 255 - 255 * x // w, "holes": 255 * ((x // 3 + y // 3) % 2)}[opacity]
            out += bytes([(7 * x * a + edge) % 256, (5 * y * c + x + edge) % 256, (x * y + rng.randint(0, 20)) % 256, alpha])
    image = Image.frombytes("RGBA", (w, h), bytes(out))
    return image.convert("RGB") if opacity == "none" else image


def saved(image, **options):
    out = io.BytesIO()
    image.save(out, "webp", **options)
    return out.getvalue()


def webp(rng):
    sizes = [(1, 1), (2, 2), (3, 1), (1, 4), (7, 5), (16, 16), (17, 16), (16, 15), (33, 18), (5, 40)]
    for (w, h), opacity in itertools.product(sizes, ("none", "some", "holes")):
        image = photograph(rng, w, h, opacity)
        for quality in (20, 95) if w < 30 else (0, 75):
            yield f"lossy {quality}, {opacity}, {w}x{h}", saved(image, quality=quality)
        yield f"lossless, {opacity}, {w}x{h}", saved(image, lossless=True, exact=rng.random() < 0.5)
    image = photograph(rng, 33, 25, "holes")
    for method in range(7):
        for exact in False, True:
            yield f"lossless, method {method}, exact {exact}", saved(image, lossless=True, method=method, exact=exact)
        yield f"lossy, method {method}", saved(image, quality=60, method=method)
        yield f"opaque lossless, method {method}", saved(image.convert("RGB"), lossless=True, method=method)
    for alpha in 0, 30, 90:
        yield f"lossy, alpha quality {alpha}", saved(photograph(rng, 21, 19, "some"), quality=80, alpha_quality=alpha)
    for n in 2, 3, 4, 14, 16, 200:
        yield f"lossless, {n} colours", saved(photograph(rng, 21, 19, "none").quantize(n).convert("RGB"), lossless=True)
    yield "lossless, grey", saved(photograph(rng, 21, 19, "none").convert("L").convert("RGB"), lossless=True)
    exif = Image.Exif()
    exif[0x112] = 6
    for name, options in {"EXIF": dict(exif=exif), "ICC": dict(icc_profile=b"profile"), "XMP": dict(xmp=b"<x/>"), "all": dict(exif=exif, icc_profile=b"profile!", xmp=b"<x/>")}.items():
        for lossless, opacity in itertools.product((False, True), ("none", "some")):
            yield f"{name}, lossless {lossless}, {opacity}", saved(photograph(rng, 12, 9, opacity), lossless=lossless, **options)
    stills = {}
    for lossless, opacity in itertools.product((False, True), ("none", "some", "holes")):
        stills[lossless, opacity] = parts(saved(photograph(rng, 12, 9, opacity), lossless=lossless, quality=80))
    for (lossless, opacity), still in stills.items():
        name = f"lossless {lossless}, {opacity}"
        image = [part(k, v) for k, v in still.items() if k in (b"ALPH", b"VP8 ", b"VP8L")]
        for flags in 0, 0x10, 0x20, 0x2c:
            yield f"VP8X {flags:x}, {name}", riff(vp8x(flags, 12, 9), *image)
        yield f"unknown chunks, {name}", riff(vp8x(0x10, 12, 9), part(b"abcd", b"odd"), *image, part(b"efgh", b"more"))
        yield f"EXIF before the image, {name}", riff(vp8x(0x18, 12, 9), part(b"EXIF", b"MM\0*"), *image)
        yield f"VP8X of another size, {name}", riff(vp8x(0x10, 13, 9), *image)
        whole = riff(*image) if len(image) == 1 else riff(vp8x(0x10, 12, 9), *image)
        yield f"bytes after, {name}", whole + b"more"
        yield f"RIFF too long, {name}", whole[:4] + struct.pack("<I", len(whole) + 20) + whole[8:]
        yield f"RIFF too short, {name}", whole[:4] + struct.pack("<I", len(whole) - 20) + whole[8:]
        yield f"RIFF of 0, {name}", whole[:4] + bytes(4) + whole[8:]
        yield f"cut, {name}", whole[:-5]
        yield f"half, {name}", whole[:len(whole) // 2]
        yield f"unpadded, {name}", whole[:-1] if whole[-1] == 0 else whole
        if opacity == "some":
            yield f"ALPH not announced, {name}", riff(vp8x(0, 12, 9), *image)
            yield f"no VP8X, {name}", riff(*image)
            yield f"image twice, {name}", riff(vp8x(0x10, 12, 9), *image, *image)
        for canvas, at in ((12, 9), (0, 0)), ((20, 15), (0, 0)), ((20, 15), (8, 6)), ((20, 15), (4, 2)):
            for blend, background in (0, 0), (2, 0xFF336699), (1, 0x80102030):
                frame = struct.pack("<I", at[0] // 2)[:3] + struct.pack("<I", at[1] // 2)[:3] + struct.pack("<I", 11)[:3] + struct.pack("<I", 8)[:3] + bytes([100, 0, 0, blend])
                anmf = part(b"ANMF", frame + b"".join(image))
                yield f"animated {canvas} at {at}, blend {blend}, {name}", riff(vp8x(0x12, *canvas), part(b"ANIM", struct.pack("<IH", background, 0)), anmf, anmf)
    frames = [photograph(rng, 12, 9, o) for o in ("none", "some", "holes")]
    for options in dict(), dict(lossless=True), dict(background=(9, 8, 7, 255)), dict(allow_mixed=True), dict(minimize_size=True):
        yield f"animated by libwebp {options}", saved(frames[0], save_all=True, append_images=frames[1:], duration=100, **options)
        yield f"animated by libwebp, transparent {options}", saved(frames[1], save_all=True, append_images=frames, duration=100, **options)


def main(folder):
    warnings.simplefilter("ignore")
    for kind in png, gif, webp:
        cases, names = [], set()
        for name, file in kind(random.Random(1)):
            assert name not in names, name
            names.add(name)
            case = {"name": name, "file": base64.b64encode(file).decode()}
            try:
                image = Image.open(io.BytesIO(file))
                assert image.format == kind.__name__.upper()
                image.load()
                if image.mode == "I;16":  # convert("RGB") would clip it at 255
                    image = Image.frombytes("L", image.size, image.tobytes()[1::2])
                image = image.convert("RGB")
                pixels = image.tobytes()
                case["w"], case["h"] = image.size
                case["pixels"] = hashlib.sha256(pixels).hexdigest()[:32]
            except Exception as e:
                case["refused"] = str(e).split(" <")[0] or type(e).__name__
            cases.append(case)
        text = json.dumps({"pillow": PIL.__version__, "libwebp": features.version("webp"), "files": cases})
        with open(f"{folder}/{kind.__name__}.json.gz", "wb") as f:
            f.write(gzip.compress(text.encode(), mtime=0))
        print(kind.__name__, len(cases), "refused:", [(c["name"], c["refused"]) for c in cases if "refused" in c])


if __name__ == "__main__":
    main(*sys.argv[1:])
