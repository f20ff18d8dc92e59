# SPDX-License-Identifier: Apache-2.0
"""What can go wrong. Every exception is a tandem.Error with the library's own message and its
status; the classes also are Python's own kinds where there is one, so that `except ValueError`,
`except TimeoutError` and the like do what they say."""
from __future__ import annotations

from ._native import ffi, lib


class Error(Exception):
    """status: the number of include/tandem/status.h. index: the text of a list that failed, or
    None."""

    status: int = 0
    index: int | None = None

    def __init__(self, message: str = "", *, index: int | None = None):
        super().__init__(message)
        self.index = index


class InvalidError(Error, ValueError):
    """An argument has a value that it cannot have; nothing was queued."""
    status = lib.TANDEM_INVALID


class InvalidTypeError(InvalidError, TypeError):
    """An argument is of another type than it has to be; nothing was queued."""


class UnsupportedError(Error):
    status = lib.TANDEM_UNSUPPORTED


class NotFoundError(Error, LookupError):
    status = lib.TANDEM_NOT_FOUND


class FormatError(Error, ValueError):
    status = lib.TANDEM_FORMAT


class FileError(Error, OSError):
    status = lib.TANDEM_IO


class DeniedError(Error, PermissionError):
    status = lib.TANDEM_PERMISSION


class CapacityError(Error):
    """Refused because too much waits already. retry_after: seconds, from the measured rate."""
    status = lib.TANDEM_CAPACITY
    retry_after: float = 0.0


class DeadlineError(Error, TimeoutError):
    """The deadline cannot be met, which is said at once, or was not."""
    status = lib.TANDEM_TIMEOUT


class CancelledError(Error):
    """The pipeline was closed before this was computed."""
    status = lib.TANDEM_CANCELLED


class OutOfMemoryError(Error, MemoryError):
    status = lib.TANDEM_MEMORY


class DeviceError(Error):
    status = lib.TANDEM_DEVICE


class NumericError(Error, ArithmeticError):
    status = lib.TANDEM_NUMERIC


_BY_STATUS = {kind.status: kind for kind in (
    InvalidError, UnsupportedError, NotFoundError, FormatError, FileError, DeniedError,
    CapacityError, DeadlineError, CancelledError, OutOfMemoryError, DeviceError, NumericError)}


def text_of(chars) -> str:
    """A C string, which may have been cut inside a character; "" for NULL."""
    return ffi.string(chars).decode("utf-8", "replace") if chars else ""


def make_error(status: int, err, *, index: int | None = None, retry_ns: int = 0) -> Error:
    """The exception for a status and the error record that came with it."""
    message = text_of(err.message) or text_of(lib.tandem_status_text(status))
    if index is not None:
        message = f"text {index}: {message}"
    made = _BY_STATUS.get(status, Error)(message, index=index)
    if isinstance(made, CapacityError):
        made.retry_after = retry_ns / 1e9
    if type(made) is Error:
        made.status = status
    return made
