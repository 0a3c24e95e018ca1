"""Checks bundles of effnet with programs of other people.

    python3 tools/bundle_check.py BUNDLE...

The SHA-256 of every page of a program for macOS is computed again, here, from the file and
what the format's headers say, and compared with the signature's; the load commands are
read by LIEF and by macholib (pip install lief macholib), which must agree that segments
follow each other in the file and in memory without gap or overlap, and that everything
in __LINKEDIT is inside it. Programs for Linux and Windows are read by LIEF: what is
appended must begin behind the last section. The network's checksum, which the program's
slot has, is computed for all. Exits with an error if anything is wrong.
"""

import hashlib
import struct
import sys

import lief
from macholib.MachO import MachO

MARK = b"effnet's slot for a network, no 1"
SEGMENT = "__EFFNET"


def network(path, data):
    """Returns where the network is, after comparing its checksum."""
    at = data.index(MARK) + len(MARK)
    offset, note, size = struct.unpack_from("<qqq", data, at)
    want = data[at + 24 : at + 56]
    assert size > 0, "no network"
    assert offset + size <= len(data), "cut short"
    assert hashlib.sha256(data[offset : offset + size]).digest() == want, "the network's checksum"
    print(f"{path}: network of {size} bytes at {offset}, note {data[offset:offset + note].decode()}")
    return offset, size


def signature(data):
    """Compares the pages of a program for macOS with its signature, by the format's definition."""
    commands, at = struct.unpack_from("<I", data, 16)[0], 32
    place = text = None
    for _ in range(commands):
        kind, length = struct.unpack_from("<II", data, at)
        if kind == 0x1D:
            place = struct.unpack_from("<II", data, at + 8)
        if kind == 0x19 and data[at + 8 : at + 24].rstrip(b"\0") == b"__TEXT":
            text = struct.unpack_from("<QQ", data, at + 40)
        at += length
    if place is None:
        return "unsigned"
    offset, length = place
    assert offset + length == len(data), "something behind the signature"
    assert offset % 16 == 0, "the signature is not aligned"
    magic, total, count, kind, first = struct.unpack_from(">IIIII", data, offset)
    assert (magic, total, count, kind) == (0xFADE0CC0, length, 1, 0), "the signature's frame"
    d = offset + first
    (magic, size, version, flags, hashes, _, special, slots, limit, hash_size, hash_type, _, bits) = struct.unpack_from(">IIIIIIIIIBBBB", data, d)
    assert (magic, version, flags) == (0xFADE0C02, 0x20400, 0x20002), "the code directory"
    assert (hash_size, hash_type, bits, special) == (32, 2, 12, 0), "the kind of hashes"
    assert limit == offset and size == length - first, "the code directory's limits"
    base, extent, main = struct.unpack_from(">QQQ", data, d + 64)
    assert ((base, extent), main) == (text, 1), "the executable segment"
    assert slots == (limit + 4095) // 4096 and hashes + 32 * slots == size, "the number of pages"
    for i in range(slots):
        page = data[i * 4096 : min((i + 1) * 4096, limit)]
        have = data[d + hashes + 32 * i :][:32]
        assert hashlib.sha256(page).digest() == have, f"page {i}"
    return f"{slots} pages agree with the signature"


def mac(path, data, offset, size):
    pages = signature(data)
    b = lief.parse(path)
    assert isinstance(b, lief.MachO.Binary)
    ok, why = lief.MachO.check_layout(b)
    assert ok, why
    segments = [s for s in b.segments if s.name != "__DWARF"]
    assert [s.name for s in segments[-2:]] == [SEGMENT, "__LINKEDIT"], [s.name for s in segments]
    for before, after in zip(segments[1:], segments[2:]):
        assert before.virtual_address + before.virtual_size <= after.virtual_address, f"{before.name} overlaps {after.name}"
    for before, after in zip(b.segments, list(b.segments)[1:]):
        assert before.file_offset + before.file_size <= after.file_offset or before.file_size == 0, f"{before.name} overlaps {after.name} in the file"
    own, last = segments[-2:]
    assert own.virtual_address + own.virtual_size == last.virtual_address, "a gap in memory"
    assert own.file_offset + own.file_size == last.file_offset, "a gap in the file"
    assert last.file_offset + last.file_size == len(data), "something behind __LINKEDIT"
    assert own.max_protection == own.init_protection == 1, "more than readable"
    (section,) = own.sections
    assert (section.offset, section.size) == (offset, size), "the section is not the network"
    names = [c[1].segname.rstrip(b"\0").decode() for c in MachO(path).headers[0].commands if hasattr(c[1], "segname")]
    assert names == [s.name for s in b.segments], names
    print(f"{path}: Mach-O for {b.header.cpu_type}, {pages}; {', '.join(names)}")


def appended(path, data, offset):
    b = lief.parse(path)
    end = max([s.offset + s.size for s in b.sections if not (isinstance(b, lief.ELF.Binary) and s.type == lief.ELF.Section.TYPE.NOBITS)] or [0])
    assert offset >= end, f"sections end at {end}, behind the network's beginning"
    kind = "ELF" if isinstance(b, lief.ELF.Binary) else "PE"
    if kind == "PE":
        assert not b.has_signatures, "signed"
    print(f"{path}: {kind}, {len(b.sections)} sections end at {end}; the network is behind them")


def main():
    for path in sys.argv[1:]:
        with open(path, "rb") as f:
            data = f.read()
        offset, size = network(path, data)
        if data.startswith(b"\xcf\xfa\xed\xfe"):
            mac(path, data, offset, size)
        else:
            appended(path, data, offset)


main()
