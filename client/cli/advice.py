"""Errors with a better next step than their reason's own, because the command knows what was being done."""

from collections.abc import Iterator
from contextlib import contextmanager

from protocol.errors import LocalError, OstiaryError
from protocol.reasons import Reason
from runtime.console import FAILED, INTERRUPTED, exit_code, print_error


class AdviceError(LocalError):
    """``next_step`` is the command to type next, or a sentence."""

    def __init__(self, reason: Reason, detail: str, *, next_step: str) -> None:
        super().__init__(reason, detail)
        self.next_step = next_step


@contextmanager
def exit_on_error(*, as_json: bool = False) -> Iterator[None]:
    """As ``runtime.console.exit_on_error``, with the advice."""
    try:
        yield
    except OstiaryError as error:
        print_error(error, as_json=as_json, next_step=error.next_step if isinstance(error, AdviceError) else None)
        raise SystemExit(exit_code(error.reason) or FAILED) from error
    except KeyboardInterrupt as interrupt:
        raise SystemExit(INTERRUPTED) from interrupt
