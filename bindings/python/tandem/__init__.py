# SPDX-License-Identifier: Apache-2.0
"""tandem: encoder language models on every processor of a machine.

    import tandem
    with tandem.Pipeline() as pipeline:
        vector = pipeline.infer_sync("Hello, world")
"""
from ._native import ffi as _ffi, lib as _lib
from .engine import Model, pull
from .errors import (CancelledError, CapacityError, DeadlineError, DeniedError, DeviceError, Error,
                     FileError, FormatError, InvalidError, InvalidTypeError, NotFoundError,
                     NumericError, OutOfMemoryError, UnsupportedError)
from .machine import Machine, machine
from .pipeline import AppleSiliconLLMPipeline, Label, Match, Options, Pipeline
from .results import Result

__version__ = _ffi.string(_lib.tandem_version()).decode()

__all__ = [
    "AppleSiliconLLMPipeline", "CancelledError", "CapacityError", "DeadlineError", "DeniedError",
    "DeviceError", "Error", "FileError", "FormatError", "InvalidError", "InvalidTypeError",
    "Label", "Machine", "Match", "Model", "NotFoundError", "NumericError", "Options",
    "OutOfMemoryError", "Pipeline", "Result", "UnsupportedError", "machine", "pull"]
