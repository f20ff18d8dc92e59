#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What tools/macho.sh linked for macOS, read back: python3 test_macho.py BUILD arm64|x86_64

The loader of macOS judges a program before it runs any of it: by its kind and processor, by the
system it was made for, by the libraries that it names, and on Apple's processors by the hashes of
its pages. All of that is in the file's load commands (mach-o/loader.h), and judged here. Then the
same is asked of copies with one thing changed, each of which has to be found.
"""
import hashlib
import pathlib
import re
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAGIC_64 = 0xFEEDFACF
CPUS = {"arm64": 0x0100000C, "x86_64": 0x01000007}
OBJECT, EXECUTE, DYLIB = 1, 2, 6
FLAGS = {"NOUNDEFS": 0x1, "DYLDLINK": 0x4, "TWOLEVEL": 0x80}
PIE, ALLOWS_STACK_EXECUTION = 0x200000, 0x20000
LC_ID_DYLIB, LC_SEGMENT_64, LC_CODE_SIGNATURE = 0xD, 0x19, 0x1D
LC_BUILD_VERSION, LC_DYLD_INFO, LC_DYLD_INFO_ONLY = 0x32, 0x22, 0x80000022
LC_MAIN, LC_EXPORTS_TRIE = 0x80000028, 0x80000033
LOADS = {0xC: "LOAD", 0x80000018: "WEAK", 0x8000001F: "REEXPORT", 0x20: "LAZY",
         0x80000023: "UPWARD"}
LC_RPATH = 0x8000001C
PLATFORM_MACOS, MACOS_14 = 1, 14 << 16
SYSTEM = "/usr/lib/libSystem.B.dylib"
SIGNATURE, DIRECTORY, SHA256 = 0xFADE0CC0, 0xFADE0C02, 2
PAGE = {"arm64": 0x4000, "x86_64": 0x1000}
# zig's linker gives the names of the file's own header to everybody; Apple's keeps them.
OF_THE_LINKER = {"__mh_dylib_header", "___dso_handle"}


class Commands:
    """The load commands of one Mach-O file."""

    def __init__(self, data):
        self.data = data
        self.magic, self.cpu, _, self.kind, count, size, self.flags, _ = struct.unpack_from(
            "<8I", data)
        self.all = []
        at = 32
        for _ in range(count if self.magic == MAGIC_64 else 0):
            command, length = struct.unpack_from("<2I", data, at)
            self.all.append((command, at))
            at += length
        self.is_whole = self.magic == MAGIC_64 and at == 32 + size

    def places(self, *wanted):
        return [at for command, at in self.all if command in wanted]

    def fields(self, command, form):
        """The fields of the only one of these; None where there is none, or are several."""
        places = self.places(command)
        if len(places) != 1:
            return None
        return struct.unpack_from("<" + form, self.data, places[0] + 8)

    def text(self, at):
        """The string of a command, whose offset is its first field."""
        begin = at + struct.unpack_from("<I", self.data, at + 8)[0]
        return self.data[begin:self.data.index(b"\0", begin)].decode()

    def export_place(self):
        place = self.fields(LC_EXPORTS_TRIE, "2I")
        if place is None:
            at = self.places(LC_DYLD_INFO, LC_DYLD_INFO_ONLY)[0]
            place = struct.unpack_from("<2I", self.data, at + 40)
        return place

    def exports(self):
        """The names in the tree that dyld looks them up in."""
        begin, size = self.export_place()
        trie = self.data[begin:begin + size]
        names = set()
        waiting = [(0, b"")]
        while waiting:
            at, name = waiting.pop()
            terminal, at = uleb(trie, at)
            if terminal:
                names.add(name.decode())
            at += terminal
            children, at = trie[at], at + 1
            for _ in range(children):
                end = trie.index(b"\0", at)
                part = trie[at:end]
                child, at = uleb(trie, end + 1)
                waiting.append((child, name + part))
        return names


def uleb(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def signature_faults(file):
    """The kernel compares each page with its hash before it lets the processor have it."""
    place = file.fields(LC_CODE_SIGNATURE, "2I")
    if place is None:
        return ["no code signature"]
    blob = file.data[place[0]:place[0] + place[1]]
    magic, _, count = struct.unpack_from(">3I", blob)
    if magic != SIGNATURE:
        return ["the code signature is none"]
    for i in range(count):
        at = struct.unpack_from(">2I", blob, 12 + 8 * i)[1]
        if struct.unpack_from(">I", blob, at)[0] == DIRECTORY:
            break
    else:
        return ["the code signature has no directory"]
    hashes, _, _, slots, limit = struct.unpack_from(">5I", blob, at + 16)
    size, kind, _, shift = struct.unpack_from("4B", blob, at + 36)
    faults = []
    if (size, kind) != (32, SHA256):
        faults.append("the hashes are not SHA-256")
    if limit != place[0] or slots != -(-limit >> shift):
        faults.append("the signature covers less than the file")
    for i in range(slots):
        page = file.data[i << shift:min((i + 1) << shift, limit)]
        begin = at + hashes + 32 * i
        if hashlib.sha256(page).digest() != blob[begin:begin + 32]:
            faults.append(f"the hash of page {i} is wrong")
            break
    return faults


def segment_faults(file, arch):
    """Segments are mapped page by page; none may be written to and executed."""
    faults = []
    for at in file.places(LC_SEGMENT_64):
        name = file.data[at + 8:at + 24].rstrip(b"\0").decode()
        address, _, begin, size, most, first = struct.unpack_from("<4Q2I", file.data, at + 24)
        if address % PAGE[arch] or begin % PAGE[arch]:
            faults.append(f"segment {name} begins within a page")
        if begin + size > len(file.data):
            faults.append(f"segment {name} ends behind the file")
        if (most | first) & 6 == 6:
            faults.append(f"segment {name} may be written to and executed")
    return faults


def version_faults(file):
    version = file.fields(LC_BUILD_VERSION, "2I")
    if version is None:
        return ["no LC_BUILD_VERSION"]
    return ([] if version[0] == PLATFORM_MACOS else [f"platform {version[0]}, not macOS"]) + (
        [] if version[1] == MACOS_14 else [f"made for macOS {version[1] >> 16}, not 14.0"])


def linked_faults(data, arch, kind):
    """What is wrong with a program or a dynamic library."""
    file = Commands(data)
    if not file.is_whole:
        return ["not a 64-bit Mach-O file"]
    faults = version_faults(file) + segment_faults(file, arch)
    if file.cpu != CPUS[arch]:
        faults.append(f"processor {file.cpu:#x}, not {arch}")
    if file.kind != kind:
        faults.append(f"file type {file.kind}, not {kind}")
    faults += [f"without flag {name}" for name, bit in FLAGS.items() if not file.flags & bit]
    if file.flags & ALLOWS_STACK_EXECUTION:
        faults.append("a stack that may be executed")
    for command, how in LOADS.items():
        faults += [f"{how} {file.text(at)}" for at in file.places(command)
                   if (how, file.text(at)) != ("LOAD", SYSTEM)]
    if len(file.places(*LOADS)) != 1:
        faults.append("libSystem is not loaded once")
    faults += [f"run path {file.text(at)}" for at in file.places(LC_RPATH)]
    if arch == "arm64" or file.places(LC_CODE_SIGNATURE): # Intel's Macs ask for none
        faults += signature_faults(file)
    if kind == EXECUTE and not (file.flags & PIE and file.places(LC_MAIN)):
        faults.append("no position-independent program with LC_MAIN")
    if kind == DYLIB:
        faults += library_faults(file)
    return faults


def library_faults(file):
    names = [file.text(at) for at in file.places(LC_ID_DYLIB)]
    faults = [] if [name.rpartition("/")[2] for name in names] == ["libtandem.0.dylib"] else [
        f"called {names}"]
    given = file.exports() - OF_THE_LINKER
    public = declared()
    return faults + [f"{name} is exported" for name in sorted(given - public)] + [
        f"{name} is not exported" for name in sorted(public - given)]


def declared():
    """The functions of the public headers, as the linker calls them; the Hub's are elsewhere."""
    names = set()
    for header in (ROOT / "include/tandem").glob("*.h"):
        if header.name != "hub.h":
            text = re.sub(r"/\*.*?\*/|//[^\n]*", "", header.read_text(encoding="utf-8"), flags=re.S)
            names |= {f"_{name}" for name in re.findall(r"TANDEM_API[^;(]*?\b(tandem_\w+)\(", text)}
    assert names
    return names


def archive_faults(data, arch):
    """Every member is an object of this processor and system."""
    if data[:8] != b"!<arch>\n":
        return ["no archive"]
    faults = []
    members = has_index = 0
    at = 8
    while at < len(data):
        name, size = data[at:at + 16].decode().rstrip(), int(data[at + 48:at + 58])
        begin = at + 60
        at = begin + size + size % 2
        if name.startswith("#1/"):
            length = int(name[3:])
            name = data[begin:begin + length].rstrip(b"\0").decode()
            begin, size = begin + length, size - length
        if name.startswith("__.SYMDEF"):
            has_index += 1
            continue
        members += 1
        file = Commands(data[begin:begin + size])
        if not file.is_whole or (file.cpu, file.kind) != (CPUS[arch], OBJECT):
            faults.append(f"{name} is no object for {arch}")
        else:
            faults += [f"{name}: {fault}" for fault in version_faults(file)]
    if has_index != 1:
        faults.append("no index of symbols")
    return faults if members > 100 else faults + [f"{members} members"]


def changed(data, at, form, *values):
    copy = bytearray(data)
    struct.pack_into("<" + form, copy, at, *values)
    return bytes(copy)


def planted(data, kind):
    """Copies with one thing changed: (what, copy)."""
    file = Commands(data)
    version = file.places(LC_BUILD_VERSION)[0]
    load = file.places(0xC)[0]
    name = load + struct.unpack_from("<I", data, load + 8)[0]
    segment = file.places(LC_SEGMENT_64)[-1]
    middle = len(data) // 2
    yield "platform", changed(data, version + 8, "I", 2)
    yield "system", changed(data, version + 12, "I", 15 << 16)
    yield "processor", changed(data, 4, "I", 7)
    yield "kind", changed(data, 12, "I", 8)
    yield "library", changed(data, name, f"{len(SYSTEM)}s", b"/usr/lib/libcurl.4.dylib\0\0")
    yield "weak", changed(data, load, "I", 0x80000018)
    yield "stack", changed(data, 24, "I", file.flags | ALLOWS_STACK_EXECUTION)
    yield "page", changed(data, segment + 24, "Q", 0x100000801)
    yield "writable code", changed(data, segment + 56, "2I", 7, 7)
    yield "cut", data[:-64]
    if file.places(LC_CODE_SIGNATURE):
        yield "code", changed(data, middle, "B", data[middle] ^ 1)
        yield "unsigned", changed(data, file.places(LC_CODE_SIGNATURE)[0], "I", 0x2B)
    if kind == EXECUTE:
        yield "entry", changed(data, file.places(LC_MAIN)[0], "I", 0x2B)
    else:
        begin = data.index(b"tandem_", file.export_place()[0])
        yield "export", changed(data, begin, "7s", b"tundem_")


def main():
    build, arch = pathlib.Path(sys.argv[1]), sys.argv[2]
    bad = archive_faults((build / "libtandem.a").read_bytes(), arch)
    faults = [f"libtandem.a: {fault}" for fault in bad]
    missed = []
    for name, kind in (("libtandem.dylib", DYLIB), ("tandem", EXECUTE)):
        data = (build / name).read_bytes()
        found = linked_faults(data, arch, kind)
        faults += [f"{name}: {fault}" for fault in found]
        missed += [f"{name}: {what}" for what, copy in planted(data, kind)
                   if set(linked_faults(copy, arch, kind)) <= set(found)]
        print(f"{name}: {arch}, {len(data)} bytes, {len(list(planted(data, kind)))} faults planted")
    for fault in faults:
        print("wrong:", fault)
    for what in missed:
        print("planted and not found:", what)
    return 1 if faults or missed else 0


if __name__ == "__main__":
    sys.exit(main())
