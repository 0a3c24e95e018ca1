"""Writes JPEG files of every variant of the format, and what Pillow decodes them to:

    python tools/golden/jpegvariants.py internal/jpeg/testdata

The files are made here, coefficient by coefficient, since no encoder writes them
all: sampling factors of 1 to 4 in each component, markers in every order, scans in
any order, and missing scans. They go to variants.json.gz, with the size of what
Pillow makes of each, a hash of its pixels (first half of SHA-256), and its EXIF
orientation; no hash where Pillow refuses the file.
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

import PIL
from PIL import Image, features

JFIF = b"JFIF\0\1\1\0\0\1\0\1\0\0"
JFXX = b"JFXX\0\x13\1\1abc"


def segment(mark, payload=b""):
    return bytes([0xFF, mark]) + struct.pack(">H", len(payload) + 2) + payload


def adobe(transform):
    return segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))


class Table:
    """A Huffman code: symbols by lengths of codes."""

    def __init__(self, counts, symbols):
        self.counts, self.symbols = counts, bytes(symbols)
        self.codes, code, k = {}, 0, 0
        for n, count in enumerate(counts, 1):
            for _ in range(count):
                self.codes[self.symbols[k]] = (code, n)
                code, k = code + 1, k + 1
            code <<= 1

    def spec(self):
        return bytes(self.counts) + self.symbols


def flat_tables():
    """Tables with every symbol, of 8-bit DC and 4, 8 and 12-bit AC codes."""
    dc = Table([0] * 3 + [12] + [0] * 12, range(12))
    common = [0x00, 0x01, 0x11, 0x02, 0x21, 0x03, 0x12]
    rest = [r << 4 | s for r in range(16) for s in range(11) if r << 4 | s not in common]
    ac = Table([0] * 3 + [7] + [0] * 3 + [100] + [0] * 3 + [len(rest) - 100] + [0] * 4, common + rest)
    return dc, ac


def standard_tables():
    """T.81, K.3, as Pillow writes them: [luminance, chrominance] of (DC, AC)."""
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "jpeg")
    file, found, at = out.getvalue(), {}, 2
    while file[at + 1] != 0xDA:
        size = struct.unpack(">H", file[at + 2:at + 4])[0]
        s = file[at + 4:at + 2 + size]
        while file[at + 1] == 0xC4 and s:
            n = sum(s[1:17])
            found[s[0]] = Table(list(s[1:17]), s[17:17 + n])
            s = s[17 + n:]
        at += 2 + size
    return [(found[0x00], found[0x10]), (found[0x01], found[0x11])]


class Bits:
    def __init__(self):
        self.out, self.acc, self.n = bytearray(), 0, 0

    def put(self, v, n):
        self.acc, self.n = self.acc << n | v & (1 << n) - 1, self.n + n
        while self.n >= 8:
            self.n -= 8
            b = self.acc >> self.n & 255
            self.out.append(b)
            if b == 255:
                self.out.append(0)
        self.acc &= (1 << self.n) - 1

    def flush(self):
        if self.n:
            self.put(0x7F, 8 - self.n)


class Component:
    def __init__(self, ident, h, v, table=0):
        self.id, self.h, self.v, self.table = ident, h, v, table


class File:
    """A file to be written; its coefficients are random, its DC smooth."""

    def __init__(self, rng, w, h, factors, ids=(1, 2, 3, 4), progressive=False, sof=None):
        self.rng, self.w, self.h, self.progressive = rng, w, h, progressive
        self.components = [Component(ids[i], *f, table=min(i, 1)) for i, f in enumerate(factors)]
        self.sof = sof or (0xC2 if progressive else 0xC0)
        self.before, self.after = [], b""       # segments after SOI, and before EOI
        self.between = {}                       # segments before the scan of a number
        self.interval, self.restart = 0, b""    # and bytes before each restart marker
        self.coding = {0: flat_tables(), 1: flat_tables()}
        self.write_tables, self.wide = True, False
        self.tail = None                        # of SOS
        self.quant = [[3 + k for k in range(64)], [5 + k // 2 for k in range(64)]]
        self.maxh = max(c.h for c in self.components)
        self.maxv = max(c.v for c in self.components)
        self.mcus = (-(-w // (8 * self.maxh)), -(-h // (8 * self.maxv)))
        for c in self.components:
            c.size = (-(-w * c.h // (8 * self.maxh)), -(-h * c.v // (8 * self.maxv)))
            c.across, c.down = self.mcus[0] * c.h, self.mcus[1] * c.v
            c.blocks = [self.block() for _ in range(c.across * c.down)]

    def block(self):
        rng, block = self.rng, [0] * 64
        block[0] = rng.randint(-250, 250)
        for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
            block[min(63, int(rng.expovariate(0.2)) + 1)] = rng.choice([-9, -4, -2, -1, 1, 2, 3, 6])
        return block

    def header(self):
        s = struct.pack(">BHHB", 8, self.h, self.w, len(self.components))
        for c in self.components:
            s += bytes([c.id, c.h << 4 | c.v, c.table])
        return segment(self.sof, s)

    def tables(self):
        s = b""
        for i, q in enumerate(self.quant[:2 if len(self.components) > 1 else 1]):
            s += segment(0xDB, bytes([16 + i]) + struct.pack(">64H", *q) if self.wide else bytes([i] + q))
        if self.write_tables:
            for i, (dc, ac) in sorted(self.coding.items())[:2 if len(self.components) > 1 else 1]:
                s += segment(0xC4, bytes([i]) + dc.spec() + bytes([16 + i]) + ac.spec())
        if self.interval:
            s += segment(0xDD, struct.pack(">H", self.interval))
        return s

    def write(self, scans=None):
        if scans is None:
            scans = [(list(range(len(self.components))), 0, 63, 0, 0)]
        out = b"\xff\xd8" + b"".join(self.before) + self.tables() + self.header()
        for n, scan in enumerate(scans):
            out += self.between.get(n, b"") + self.scan_header(*scan) + self.data(*scan)
        return out + self.after + b"\xff\xd9"

    def scan_header(self, of, first, last, high, low):
        s = bytes([len(of)])
        for i in of:
            t = min(i, 1)
            s += bytes([self.components[i].id, t << 4 | t])
        return segment(0xDA, s + (self.tail or bytes([first, last, high << 4 | low])))

    def data(self, of, first, last, high, low):
        self.bits, self.run, self.pending = Bits(), 0, []
        self.scan = (first, last, high, low)
        self.pred = {}
        units = self.mcus if len(of) > 1 else self.components[of[0]].size
        for u in range(units[0] * units[1]):
            if self.interval and u and u % self.interval == 0:
                self.end_run()
                self.bits.flush()
                self.bits.out += self.restart + bytes([0xFF, 0xD0 + (u // self.interval - 1) % 8])
                self.pred = {}
            x, y = u % units[0], u // units[0]
            for i in of:
                c = self.components[i]
                h, v = (c.h, c.v) if len(of) > 1 else (1, 1)
                for j in range(h * v):
                    self.put_block(i, c.blocks[(y * v + j // h) * c.across + x * h + j % h])
        self.end_run()
        self.bits.flush()
        return bytes(self.bits.out)

    def code(self, kind, symbol):
        self.bits.put(*self.coding[min(self.current, 1)][kind].codes[symbol])

    def value(self, kind, zeros, v):
        n = abs(v).bit_length()
        self.code(kind, zeros << 4 | n)
        self.bits.put(v - (v < 0), n)

    def end_run(self):
        if self.run:
            n = self.run.bit_length() - 1
            self.code(1, n << 4)
            self.bits.put(self.run, n)
        self.run = 0
        for b in self.pending:
            self.bits.put(b, 1)
        self.pending = []

    def put_block(self, i, block):
        first, last, high, low = self.scan
        self.current = i
        if first == 0:
            v = block[0] >> low
            if high:
                self.bits.put(v, 1)
            else:
                self.value(0, 0, v - self.pred.get(i, 0))
                self.pred[i] = v
        if last == 0:
            return
        start = max(first, 1)
        values = {k: (abs(block[k]) >> low) * (1 if block[k] > 0 else -1) for k in range(start, last + 1)}
        if high:
            self.refine(start, last, values)
            return
        zeros = 0
        for k in range(start, last + 1):
            if values[k] == 0:
                zeros += 1
                continue
            self.end_run()
            while zeros > 15:
                self.code(1, 0xF0)
                zeros -= 16
            self.value(1, zeros, values[k])
            zeros = 0
        if zeros:
            self.run += 1
            if not self.progressive or self.run == 500:
                self.end_run()

    def refine(self, start, last, values):
        end = max([k for k, v in values.items() if abs(v) == 1], default=0)
        zeros, behind = 0, []

        def put(symbol, bits):
            self.end_run()
            self.code(1, symbol)
            self.pending += bits + behind
            behind.clear()
            self.end_run()

        for k in range(start, last + 1):
            v = values[k]
            while v and zeros > 15 and k <= end:
                put(0xF0, [])
                zeros -= 16
            if v == 0:
                zeros += 1
            elif abs(v) == 1:
                put(zeros << 4 | 1, [int(v > 0)])
                zeros = 0
            else:
                behind.append(abs(v) & 1)
        if zeros or behind:
            self.run += 1
            self.pending += behind
            if len(self.pending) > 200:
                self.end_run()


def script(n):
    """The scans that libjpeg writes for colour, and similar ones for other numbers of components."""
    every = list(range(n))
    if n == 1:
        return [([0], 0, 0, 0, 1), ([0], 1, 5, 0, 2), ([0], 6, 63, 0, 2), ([0], 1, 63, 2, 1), ([0], 0, 0, 1, 0), ([0], 1, 63, 1, 0)]
    rest = every[1:]
    scans = [(every, 0, 0, 0, 1), ([0], 1, 5, 0, 2)]
    scans += [([i], 1, 63, 0, 1) for i in reversed(rest)]
    scans += [([0], 6, 63, 0, 2), ([0], 1, 63, 2, 1), (every, 0, 0, 1, 0)]
    return scans + [([i], 1, 63, 1, 0) for i in reversed(rest)] + [([0], 1, 63, 1, 0)]


FACTORS = list(itertools.product(range(1, 5), repeat=2))


def blocks(factors):
    return sum(h * v for h, v in factors)


def whole(factors):
    h, v = max(f[0] for f in factors), max(f[1] for f in factors)
    return all(h % a == 0 and v % b == 0 for a, b in factors)


def apart(n):
    return [([i], 0, 63, 0, 0) for i in range(n)]


def fit(rng, factors, narrow=False):
    """A size of a few MCUs, not always whole ones."""
    mw, mh = 8 * max(f[0] for f in factors), 8 * max(f[1] for f in factors)
    w = rng.randint(1, 2 * mw // 8) if narrow else mw + rng.randint(-4, 6)
    return max(w, 1), mh + rng.randint(-5, 7)


def samplings(rng):
    for f in itertools.product(FACTORS, repeat=3):
        if blocks(f) <= 10 and whole(f):
            yield f"{f}", File(rng, *fit(rng, f, rng.random() < 0.2), f).write()
    others = [f for f in itertools.product(FACTORS, repeat=3) if blocks(f) > 10 and whole(f)]
    for f in rng.sample(others, 40):
        yield f"{f}, components apart", File(rng, *fit(rng, f), f).write(apart(3))
    for f in rng.sample(others, 3):
        yield f"{f}, too many blocks in an MCU", File(rng, *fit(rng, f), f).write()
    for f in [((2, 1), (3, 1), (1, 1)), ((3, 2), (2, 2), (1, 1)), ((1, 4), (1, 3), (1, 1))]:
        yield f"{f}, fractional", File(rng, *fit(rng, f), f).write(apart(3))
    for f in FACTORS:
        yield f"grey {f}", File(rng, 19, 21, [f]).write()
    fours = [f for f in itertools.product(FACTORS, repeat=4) if whole(f)]
    inter = [f for f in fours if blocks(f) <= 10]
    common = [((2, 2), (1, 1), (1, 1), (2, 2)), ((2, 1), (1, 1), (1, 1), (2, 1)), ((1, 1),) * 4, ((2, 2), (1, 1), (1, 1), (1, 1))]
    for f in common + rng.sample(inter, 30):
        for kind in rng.sample([None, 0, 1, 2, 77], 2):
            file = File(rng, *fit(rng, f), f)
            if kind is not None:
                file.before = [adobe(kind)]
            yield f"{f}, Adobe {kind}", file.write()
    for f in rng.sample(fours, 8):
        file = File(rng, *fit(rng, f), f)
        file.before = [segment(0xE0, JFIF), adobe(2)]
        yield f"{f}, components apart, JFIF, Adobe 2", file.write(apart(4))


def markers(rng):
    app0 = {"": b"", "JFIF": segment(0xE0, JFIF), "short JFIF": segment(0xE0, JFIF[:13]), "JFXX": segment(0xE0, JFXX),
            "JFIF JFXX": segment(0xE0, JFIF) + segment(0xE0, JFXX), "JFXX JFIF": segment(0xE0, JFXX) + segment(0xE0, JFIF)}
    app14 = {"": b"", "Adobe 0": adobe(0), "Adobe 1": adobe(1), "Adobe 2": adobe(2), "short Adobe": adobe(0)[:3] + b"\x0d" + adobe(0)[4:-1],
             "Adobe 0 1": adobe(0) + adobe(1), "Adobe 1 0": adobe(1) + adobe(0)}
    for (a, sa), (b, sb), ids in itertools.product(app0.items(), app14.items(), [(1, 2, 3), (82, 71, 66), (114, 103, 98), (0, 1, 2), (0, 0, 0)]):
        file = File(rng, 9, 8, [(1, 1)] * 3, ids)
        file.before = [sa, sb] if rng.random() < 0.5 else [sb, sa]
        yield f"{a} {b} {ids}", file.write()
    file = File(rng, 9, 8, [(1, 1)] * 3, (82, 71, 66))
    file.between = {0: segment(0xE0, JFIF)}
    yield "JFIF after SOF", file.write()
    file.after = adobe(0)
    yield "Adobe before EOI", file.write()


def oddities(rng):
    def new(**options):
        return File(rng, 35, 20, [(2, 2), (1, 1), (1, 1)], **options)

    file = new()
    plain = file.write()
    yield "plain", plain
    yield "SOF1", new(sof=0xC1).write()
    file.before = [segment(0xFE, b"x")]
    plain = file.write()
    file.before = []
    junk = b"\0\1\xab\xff\0\xcd"
    for mark in 0xDB, 0xC0, 0xC4, 0xDA:
        at = plain.index(bytes([0xFF, mark]))
        yield f"extraneous bytes before {mark:x}", plain[:at] + junk + plain[at:]
        yield f"fill bytes before {mark:x}", plain[:at] + b"\xff\xff\xff" + plain[at:]
        yield f"restart marker before {mark:x}", plain[:at] + b"\xff\xd3" + plain[at:]
    yield "fill bytes before EOI", plain[:-2] + b"\xff\xff\xff\xd9"
    yield "extraneous bytes before EOI", plain[:-2] + b"abcdefg\xff\0hij\xff\xd9"
    yield "restart marker before EOI", plain[:-2] + b"\xff\xd0\xff\xd9"
    yield "bytes after EOI", plain + b"\xff\xd8 and more"
    yield "second image after EOI", plain + plain
    yield "second image before EOI", plain[:-2] + plain
    yield "second scan", plain[:-2] + plain[plain.index(b"\xff\xda"):]
    for name, s in {"DNL": segment(0xDC, b"\0\x14"), "other DNL": segment(0xDC, b"\0\x08"), "COM": segment(0xFE, b"x"), "DHT": segment(0xC4, b"\0" + bytes(16)),
                    "DQT": segment(0xDB, bytes([0] + [1] * 64)), "DRI": segment(0xDD, b"\0\1"), "EXP": segment(0xDF, b"\0")}.items():
        file.after = s
        yield name + " before EOI", file.write()
    file.after = b""
    no_height = bytearray(plain)
    at = plain.index(b"\xff\xc0")
    no_height[at + 5:at + 7] = b"\0\0"
    yield "height in DNL", bytes(no_height[:-2]) + segment(0xDC, b"\0\x14") + b"\xff\xd9"
    for n in 0, 1:
        yield f"COM of length {n}", plain[:2] + b"\xff\xfe" + bytes([0, n]) + plain[2:]
    yield "DAC", plain[:2] + segment(0xCC, b"\0\x10") + plain[2:]
    yield "JPG0", plain[:2] + segment(0xF0, b"\0\x10") + plain[2:]
    yield "tables-only image first", b"\xff\xd8" + file.tables() + b"\xff\xd9" + plain

    for interval in 1, 2, 3, 5:
        file = new()
        file.interval = interval
        yield f"restarts each {interval}", file.write()
        yield f"restarts each {interval}, apart", file.write(apart(3))
        for restart in b"\xff", b"\xff\xff", b"abc", b"\xff\0\xff":
            file.restart = restart
            yield f"restarts each {interval} after {restart}", file.write()
    file = new()
    file.tail = b"\0\0\0"
    yield "zeros in SOS", file.write()
    file.tail = b"\7\x20\x31"
    yield "other numbers in SOS", file.write()
    file = new()
    file.wide, file.quant[1][40], file.quant[0][9] = True, 300, 70
    yield "16-bit quantisation tables", file.write()

    for name, coding in {"no DHT": standard_tables(), "chrominance's twice": [standard_tables()[1]] * 2}.items():
        file = new()
        file.coding = dict(enumerate(coding))
        file.write_tables = name != "no DHT"
        yield name, file.write()
    file = new()
    file.coding = {0: (standard_tables()[0][0], flat_tables()[1]), 1: standard_tables()[1]}
    file.write_tables = False
    file.before = [segment(0xC4, b"\x10" + file.coding[0][1].spec())]
    yield "only an AC table", file.write()
    file.coding = dict(enumerate(standard_tables()))
    file.before = [segment(0xC4, b"\3" + bytes([9] + [0] * 15) + bytes(9))]
    yield "a table that is no code, not used", file.write()
    file.before = [segment(0xC4, b"\0" + bytes([9] + [0] * 15) + bytes(9))]
    yield "a table that is no code, used", file.write()
    file.before = []
    file.sof, file.progressive = 0xC2, True
    yield "progressive, no DHT", file.write([([0, 1, 2], 0, 0, 0, 0)])

    for ids in [(1, 1, 1), (1, 2, 1), (3, 1, 2)]:
        yield f"ids {ids}", new(ids=ids).write()
        yield f"ids {ids}, apart", File(rng, 35, 20, [(1, 1)] * 3, ids=ids).write(apart(3))
    for of in [[0], [1, 2]], [[1, 2], [0]], [[0, 2], [1]], [[2, 1], [0]], [[1, 0], [2]], [[2], [1], [0]], [[0, 2, 1]], [[2, 1, 0]]:
        yield f"scans of {of}", new().write([(o, 0, 63, 0, 0) for o in of])
    for of in [[0]], [[1, 2]], [[0], [2]]:
        yield f"scans of {of} only", new().write([(o, 0, 63, 0, 0) for o in of])
        yield f"progressive scans of {of} only", new(progressive=True).write([(o, 0, 0, 0, 0) for o in of])
    file = new()
    file.between = {1: segment(0xDB, bytes([0] + [90] * 64) + bytes([1] + [33] * 64)), 2: segment(0xDB, bytes([1] + [11] * 64))}
    yield "other quantisation tables between scans", file.write(apart(3))
    file.between = {1: segment(0xDD, b"\0\0")}
    yield "restarts off between scans", file.write(apart(3))

    # Symbols that no encoder needs.
    file = new()
    for i, (dc, ac) in list(file.coding.items()):
        wide = Table(dc.counts[:8] + [4] + dc.counts[9:], list(dc.symbols) + [12, 13, 14, 15])
        file.coding[i] = (wide, Table(ac.counts[:13] + [6] + ac.counts[14:], list(ac.symbols) + [0x0B, 0x0C, 0x0D, 0x0E, 0x0F, 0xFF]))
    yield "symbols of more than 8-bit samples", file.write()
    file = File(rng, 16, 16, [(1, 1)])

    def put(symbols):
        bits = Bits()
        for symbol, v, n in symbols * 4:
            bits.put(*file.coding[0][0].codes[3])
            bits.put(5, 3)
            for s in symbol:
                bits.put(*file.coding[0][1].codes[s])
                if s & 15:
                    bits.put(v, n)
        bits.flush()
        return bytes(bits.out)

    head = file.write()
    head = head[:head.index(b"\xff\xda") + 10]
    yield "ends in ZRL", head + put([([0x01, 0xF0, 0xF0, 0xF0, 0xF0], 1, 1)]) + b"\xff\xd9"
    yield "end of block with zeros", head + put([([0x01, 0x30], 1, 1)]) + b"\xff\xd9"


def progressive(rng):
    for f in [((1, 1),) * 3, ((2, 2), (1, 1), (1, 1)), ((2, 1), (1, 1), (1, 1)), ((1, 2), (1, 1), (1, 1)), ((4, 1), (1, 1), (1, 1)),
              ((2, 2), (1, 1), (1, 2)), ((4, 4), (1, 2), (2, 1)), ((2, 2), (1, 1), (1, 1), (2, 2)), ((1, 1),) * 4,
              ((1, 1),), ((2, 2),), ((1, 4),), ((3, 2),)]:
        scans = script(len(f))
        if blocks(f) > 10:
            scans = [s for s in scans if len(s[0]) == 1]
            scans = [([i], 0, 0, 0, 1) for i in range(3)] + scans
        for w, h in [(61, 43), (8, 70), (33, 9)]:
            for cut in range(1, len(scans) + 1):
                if w != 61 and (cut + h) % 3:
                    continue
                file = File(rng, w, h, f, progressive=True)
                file.interval = rng.choice([0, 0, 0, 3])
                if len(f) == 4 and rng.random() < 0.7:
                    file.before = [adobe(2)]
                yield f"progressive {w}x{h} {f}, {cut} of {len(scans)} scans", file.write(scans[:cut])
    for w, h in itertools.product((1, 8, 9, 17, 25, 33), (7, 16, 17, 31, 41)):
        f = rng.choice([[(1, 1)], [(1, 1)] * 3, [(2, 2), (1, 1), (1, 1)]])
        yield f"progressive {w}x{h} {f}, DC", File(rng, w, h, f, progressive=True).write([(list(range(len(f))), 0, 0, 0, 0)])
    file = File(rng, 40, 40, [(1, 1)], progressive=True)
    for scans in [[([0], 0, 0, 0, 0), ([0], 10, 63, 0, 0)], [([0], 0, 0, 0, 0), ([0], 1, 9, 0, 0)], [([0], 0, 0, 0, 3), ([0], 3, 3, 0, 4)]]:
        yield f"progressive, {scans}", file.write(scans)
    first, dc = [([0], 1, 63, 0, 0)], [([0], 0, 0, 0, 0)]
    for c in file.components:  # no coefficient of 1, so refining them finds none
        c.blocks = [[b[0]] + [2 * v if abs(v) == 1 else v for v in b[1:]] for b in c.blocks]
    for scans in [first, first + dc, dc + first + first, dc + [([0], 1, 9, 0, 1), ([0], 5, 63, 0, 0)],
                  dc + first + [([0], 1, 63, 1, 0)], [([0], 0, 0, 1, 0)], dc + [([0], 0, 0, 0, 3)]]:
        yield f"progressive out of order, {scans}", file.write(scans)
    file.quant[0][5] = 0
    yield "progressive, a quantiser of zero", file.write([([0], 0, 0, 0, 0)])


def tiff(order, kind, value, count=1, more=b""):
    size = {1: "B", 3: "H", 4: "L", 8: "h", 9: "l"}[kind]
    data = struct.pack(order + size, value).ljust(4, b"\0")
    return {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "LHHHL", 8, 1, 0x112, kind, count) + data + b"\0\0\0\0" + more


def orientations(rng):
    file = File(rng, 9, 8, [(1, 1)])

    def app1(*payloads):
        file.before = [segment(0xE1, p) for p in payloads]
        return file.write()

    exif = b"Exif\0\0"
    for order, kind, value in itertools.product("<>", (1, 3, 4, 8, 9), (1, 6, 9)):
        yield f"orientation {order} {kind} {value}", app1(exif + tiff(order, kind, value))
    yield "two EXIF segments", app1(exif + tiff("<", 3, 6), exif + tiff("<", 3, 3))
    yield "EXIF without, then with", app1(exif + tiff("<", 3, 6).replace(b"\x12\x01", b"\x13\x01"), exif + tiff("<", 3, 3))
    yield "XMP, then EXIF", app1(b"http://ns.adobe.com/xap/1.0/\0<x/>", exif + tiff(">", 3, 8))
    one = tiff(">", 3, 5)
    yield "EXIF in two pieces", app1(exif + one[:14], exif + one[14:])
    yield "EXIF twice in one", app1(exif + exif + one)
    yield "EXIF after SOF", file.write()[:-2] + b"\xff\xd9"
    file.before = []
    file.between = {0: segment(0xE1, exif + one)}
    yield "EXIF before SOS", file.write()
    file.between, file.after = {}, segment(0xE1, exif + one)
    yield "EXIF before EOI", file.write()
    file.after = b""
    plain = file.write()
    yield "extraneous bytes, then EXIF", plain[:2] + segment(0xFE) + b"abc" + segment(0xE1, exif + one) + plain[2:]


def main(folder):
    rng = random.Random(1)
    cases, names = [], set()
    for kind in samplings, markers, oddities, progressive, orientations:
        for name, file in kind(rng):
            case = {"kind": kind.__name__, "name": name, "file": base64.b64encode(file).decode()}
            assert (kind, name) not in names, name
            names.add((kind, name))
            try:
                image = Image.open(io.BytesIO(file))
                case["w"], case["h"] = image.size
                case["orientation"] = image.getexif().get(0x112, 1)
                if case["orientation"] not in range(1, 9):
                    case["orientation"] = 1
                case["pixels"] = hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()[:32]
            except (OSError, SyntaxError) as e:
                case["refused"] = str(e).split(" <")[0]
            cases.append(case)
    text = json.dumps({"pillow": PIL.__version__, "libjpeg-turbo": features.version("libjpeg_turbo"), "files": cases})
    with open(folder + "/variants.json.gz", "wb") as f:
        f.write(gzip.compress(text.encode(), mtime=0))
    for kind in {c["kind"] for c in cases}:
        some = [c for c in cases if c["kind"] == kind]
        print(kind, len(some), "refused:", [(c["name"], c["refused"]) for c in some if "refused" in c])


if __name__ == "__main__":
    main(*sys.argv[1:])
