# SPDX-License-Identifier: Apache-2.0
"""What an engine measures of itself, as a dictionary with the names of include/tandem/metrics.h."""
from __future__ import annotations

from ._native import ffi, lib
from .errors import text_of

# An array and the field that says how many of it are filled.
_COUNTED = {"lanes": "lane_count", "reasons": "reason_count", "targets": "target_count"}
_BANDS = ("realtime", "standard", "background")


def _plain(value):
    """A structure, array, string or number of C as Python's own."""
    if not isinstance(value, ffi.CData):
        return value
    kind = ffi.typeof(value)
    if kind.kind == "struct":
        fields = {name: getattr(value, name) for name, _ in kind.fields}
        for name, count in _COUNTED.items():
            if name in fields:
                fields[name] = [_plain(fields[name][i]) for i in range(fields.pop(count))]
        return {name: _plain(field) for name, field in fields.items()}
    if kind.cname == "char *" or kind.item.cname == "char":
        return text_of(value)
    return [_plain(one) for one in value]


def read_metrics(engine) -> dict:
    c = ffi.new("tandem_metrics *")
    engine.enter()
    try:
        lib.tandem_engine_metrics(engine.handle, c)
    finally:
        engine.leave()
    found = _plain(c[0])
    found["bands"] = dict(zip(_BANDS, found["bands"]))
    found["lanes"] = {lane.pop("name"): lane for lane in found["lanes"]}
    found["reasons"] = {reason["text"]: reason["requests"] for reason in found["reasons"]}
    found["targets"] = {target.pop("name"): target for target in found["targets"]}
    return found
