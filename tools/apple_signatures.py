#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/apple_signatures.py METADATA...  >tests/apple/signatures.tsv

Writes what the headers of macOS declare of each message, function and enumerator that src/apple
uses: the facts that test_signatures holds messages.h and symbols.h against. METADATA are files
arm64-*.fwinfo of pyobjc (github.com/ronaldoussoren/pyobjc, MIT), which its authors make from
Apple's SDK:

    pyobjc-framework-Cocoa/metadata/raw.Foundation/   pyobjc-framework-Metal/metadata/raw/
    pyobjc-framework-CoreML/metadata/raw/             pyobjc-framework-libdispatch/metadata/raw/

What they do not cover comes from BY_HAND, with the header that says it. A row of src/apple that
none declares is an error, so that a selector which does not exist gets into no table. Run again
when a row is added; run with newer metadata now and then.
"""
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

HEAD = """\
# What the headers of macOS declare: written by tools/apple_signatures.py, not by hand.
# Source: pyobjc's metadata of the macOS {release} SDK for arm64 (MIT), but where a row names one.
# message <owner> <+ or -> <selector> <types: result, @ :, arguments> <macOS, major * 100 + minor>
# function <name> <types> <macOS>     constant <name> <value>     parent <of this> <is that>
# Types are Objective-C's encodings without qualifiers: B BOOL, q NSInteger, Q NSUInteger,
# @ object, @? block, ^ pointer to, c char, v void, i int, f float, d double.
"""

# Not in pyobjc's metadata. NSObject's are of the runtime's own header, objc/NSObject.h.
BY_HAND = {
    "message": {
        ("NSObject", "+", "alloc"): ("@@:", "10.0", "objc/NSObject.h"),
        ("NSObject", "-", "init"): ("@@:", "10.0", "objc/NSObject.h"),
        ("NSObject", "-", "retain"): ("@@:", "10.0", "objc/NSObject.h"),
        ("NSObject", "-", "release"): ("v@:", "10.0", "objc/NSObject.h"),
        ("NSObject", "-", "respondsToSelector:"): ("B@::", "10.0", "objc/NSObject.h"),
        ("NSObject", "-", "isKindOfClass:"): ("B@:#", "10.0", "objc/NSObject.h"),
    },
    "function": {
        "object_getClassName": ("^c@", "10.0", "objc/runtime.h"),
        # BLAS for C as its reference has it; the order and the transpositions are enumerations.
        "cblas_sgemm": ("viiiiiif^fi^fif^fi", "10.2", "cblas.h"),
        "sysctlbyname": ("i^c^v^Q^vQ", "10.0", "sys/sysctl.h"),
        "mach_host_self": ("I", "10.0", "mach/mach_init.h"),
        "host_statistics64": ("iIi^i^I", "10.6", "mach/mach_host.h"),
        "pthread_set_qos_class_self_np": ("iIi", "10.10", "pthread/qos.h"),
    },
    "constant": {
        "CblasRowMajor": (101, "cblas.h"),
        "CblasNoTrans": (111, "cblas.h"),
        "CblasTrans": (112, "cblas.h"),
        "HOST_VM_INFO64": (4, "mach/host_info.h"),
        "QOS_CLASS_USER_INITIATED": (0x19, "sys/qos.h"),
        "QOS_CLASS_UTILITY": (0x11, "sys/qos.h"),
    },
}


def read_metadata(path):
    text = pathlib.Path(path).read_text(encoding="utf-8")
    return json.loads("\n".join(x for x in text.split("\n") if not x.startswith("//")))


def table_rows(text, macro):
    """The argument lists of the rows of an X-macro: lists of words, strings without quotes."""
    body = re.search(rf"#define {macro}\([^)]*\)((?:.*\\\n)*.*)", text).group(1)
    body = body.replace("\\\n", " ")
    rows = re.findall(r"\b[A-Z]\d*\(((?:[^()\"]|\"[^\"]*\")*)\)", body)
    return [[w.strip().strip('"') for w in re.findall(r'"[^"]*"|[^,]+', row)] for row in rows]


def messages_used(text):
    """(owner, sign, selector) of every row of messages.h."""
    used = []
    for name in re.findall(r"#define (OBJC_MESSAGES_\w+)\(", text):
        for row in table_rows(text, name):
            used.append((row[1][1:], row[1][0], row[3]))
    return used


def plain(encoding, type_name=""):
    """Without qualifiers; BOOL, generic types and C strings as the table writes them."""
    if re.search(r"\b(?:Object|Key)Type\b", type_name or ""):
        encoding = encoding.replace("?", "@")  # a generic parameter, or an array of such
    if "{" in encoding:
        return encoding.replace("{_", "{").replace("?=", "=")
    return re.sub(r"[rnNoORVA]", "", encoding).replace("Z", "B").replace("*", "^c")


def since(introduced):
    parts = ((introduced or "10.0") + ".0").split(".")
    return int(parts[0]) * 100 + int(parts[1])


class Headers:
    """All metadata together."""

    def __init__(self, paths):
        self.methods = {}
        self.parents = {}
        self.functions = {}
        self.constants = {}
        self.release = None
        for path in paths:
            metadata = read_metadata(path)
            self.release = metadata["release"]
            definitions = metadata["definitions"]
            for kind in ("classes", "formal_protocols"):
                for owner, found in definitions[kind].items():
                    self._add_owner(owner, found)
            for name, found in definitions["functions"].items():
                types = "".join(plain(a["typestr"]) for a in (found["retval"], *found["args"])
                                if a is found["retval"] or a["typestr"] != "v")
                self.functions[name] = (types, found.get("introduced"))
            for name, found in definitions["enum"].items():
                self.constants[name] = found["value"]

    def _add_owner(self, owner, found):
        parents = self.parents.setdefault(owner, [])
        parents += [p for p in [found.get("super"), *(found.get("implements") or []),
                                *(found.get("protocols") or [])] if p and p not in parents]
        for method in found.get("methods", []):
            types, *rest = (plain(a["typestr"], a.get("type_name"))
                            for a in (method["retval"], *method["args"]))
            types += "@:" + "".join(rest)
            sign = "+" if method.get("class_method") else "-"
            self.methods[owner, sign, method["selector"]] = (types, method.get("introduced"))

    def lineage(self, owner):
        """The owner and all that it inherits from, nearest first."""
        found = [owner]
        for name in found:
            found += [p for p in self.parents.get(name, []) if p not in found]
        return found


def message_lines(headers, used, problems):
    for owner, sign, selector in used:
        for name in headers.lineage(owner):
            key = (name, sign, selector)
            if key in headers.methods:
                types, introduced = headers.methods[key]
                source = ""
            elif key in BY_HAND["message"]:
                types, introduced, source = BY_HAND["message"][key]
            else:
                continue
            yield f"message\t{name}\t{sign}\t{selector}\t{types}\t{since(introduced)}\t{source}"
            break
        else:
            problems.append(f"no header declares {sign}[{owner} {selector}]")


def parent_lines(headers, used):
    """How owners come by messages that are not declared with them."""
    for owner, sign, selector in used:
        for name in headers.lineage(owner):
            if (name, sign, selector) in (*headers.methods, *BY_HAND["message"]):
                break
            yield from (f"parent\t{name}\t{p}" for p in headers.parents.get(name, []))


def symbol_lines(headers, text, problems):
    for row in table_rows(text, "OBJC_FUNCTIONS"):
        name = row[0]
        if name in headers.functions:
            types, introduced = headers.functions[name]
            yield f"function\t{name}\t{types}\t{since(introduced)}\t"
        elif name in BY_HAND["function"]:
            types, introduced, source = BY_HAND["function"][name]
            yield f"function\t{name}\t{types}\t{since(introduced)}\t{source}"
        else:
            problems.append(f"no header declares the function {name}")
    for row in table_rows(text, "OBJC_CONSTANTS"):
        name = row[1]
        if name in headers.constants:
            yield f"constant\t{name}\t{headers.constants[name]}\t"
        elif name in BY_HAND["constant"]:
            yield "constant\t{}\t{}\t{}".format(name, *BY_HAND["constant"][name])
        else:
            problems.append(f"no header declares {name}")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    headers = Headers(sys.argv[1:])
    problems = []
    used = messages_used((ROOT / "src/apple/messages.h").read_text(encoding="utf-8"))
    symbols = (ROOT / "src/apple/symbols.h").read_text(encoding="utf-8")
    lines = [*message_lines(headers, used, problems), *symbol_lines(headers, symbols, problems),
             *parent_lines(headers, used)]
    if problems:
        sys.exit("\n".join(f"tools/apple_signatures.py: {p}" for p in problems))
    lines = dict.fromkeys(line.rstrip() for line in lines)
    print(HEAD.format(release=headers.release) + "\n".join(lines))


if __name__ == "__main__":
    main()
