# SPDX-License-Identifier: Apache-2.0
"""The machine as tandem sees it."""
from __future__ import annotations

import dataclasses

from ._native import ffi, lib
from .errors import text_of


@dataclasses.dataclass(frozen=True)
class Machine:
    """None where the system does not say. speed_limit_percent: 100 = not throttled."""
    processor: str
    kernels: str
    processors: int
    memory_bytes: int | None
    memory_available_bytes: int | None
    speed_limit_percent: int | None


def _known(value: int) -> int | None:
    return None if value < 0 else value


def machine() -> Machine:
    """As it is now."""
    c = ffi.new("tandem_machine *")
    lib.tandem_machine_describe(c)
    return Machine(
        processor=text_of(c.processor), kernels=text_of(c.kernels), processors=c.processors,
        memory_bytes=_known(c.memory_bytes),
        memory_available_bytes=_known(c.memory_available_bytes),
        speed_limit_percent=_known(c.speed_limit_percent))
