"""Errors carry a reason for machines and a detail for our own log."""

import pytest

from protocol.errors import (
    LocalError,
    LocalProtocolError,
    OstiaryError,
    RefusedError,
    RemoteError,
    RemoteProtocolError,
)
from protocol.reasons import Reason


def test_text_is_the_sentence_and_the_detail() -> None:
    assert str(LocalError(Reason.NEEDS_ROOT)) == "This needs root."
    assert str(RefusedError(Reason.NO_GRANT, "db.corp")) == "No grant gives you this resource. (db.corp)"


def test_fixed_reasons() -> None:
    assert LocalProtocolError("x").reason is Reason.INTERNAL
    assert RemoteProtocolError("x").reason is Reason.PROTOCOL_ERROR
    assert RemoteProtocolError("x", Reason.TOKEN_MALFORMED).reason is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        (LocalProtocolError("x"), (LocalError, OstiaryError)),
        (RemoteProtocolError("x"), (RemoteError, OstiaryError)),
        (RefusedError(Reason.NO_GRANT), (RemoteError, OstiaryError)),
    ],
)
def test_tree(error: OstiaryError, bases: tuple[type[OstiaryError], ...]) -> None:
    assert all(isinstance(error, base) for base in bases)
    assert isinstance(error, LocalError) is not isinstance(error, RemoteError)
