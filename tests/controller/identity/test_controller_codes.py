"""Codes, session secrets and roles."""

import pytest

from controller.identity import user_codes, web_sessions
from protocol.errors import RefusedError
from protocol.ids import is_id
from protocol.reasons import Reason


def test_s9_user_codes_are_eight_letters_of_twenty() -> None:
    made = {user_codes.new_user_code() for _ in range(500)}
    assert len(made) == 500
    assert all(len(code) == 8 and set(code) <= set(user_codes.ALPHABET) for code in made)
    assert len(set(user_codes.ALPHABET)) == 20
    assert not set("AEIOU01") & set(user_codes.ALPHABET)


@pytest.mark.parametrize("typed", ["WDJB-MJHT", "wdjbmjht", " wdjb mjht ", "WDJB\u2013MJHT"])
def test_people_type_codes_in_many_ways(typed: str) -> None:
    assert user_codes.parse_user_code_untrusted(typed) == "WDJBMJHT"
    assert user_codes.shown("WDJBMJHT") == "WDJB-MJHT"


@pytest.mark.parametrize("typed", ["", "WDJB", "WDJB-MJHTX", "AEIO-UAEI", "<script>", "W" * 10_000, "ſſſſſſſſ"])
def test_anything_else_is_a_code_that_does_not_exist(typed: str) -> None:
    with pytest.raises(RefusedError) as refused:
        user_codes.parse_user_code_untrusted(typed)
    assert refused.value.reason is Reason.NOT_FOUND


def test_session_secrets_have_256_bits_and_a_shape() -> None:
    secret = web_sessions.new_secret()
    assert web_sessions.parse_secret_untrusted(secret) == secret
    assert len(web_sessions.digest(secret)) == 64
    assert secret not in web_sessions.digest(secret)
    for bad in ("", "ost_", secret + "x", secret[:-1], secret.replace("ost_", "xxx_"), secret + "\n"):
        assert web_sessions.parse_secret_untrusted(bad) is None


def test_sessions_end_by_idleness() -> None:
    activity = web_sessions.Activity(capacity=2)
    idle = web_sessions.LIFETIMES["page"].idle_s
    assert activity.use("a", "page", 1000.0)
    assert activity.use("a", "page", 1000.0 + idle - 1)
    assert activity.seen("a", 0.0) == 1000.0 + idle - 1
    assert not activity.use("a", "page", 1000.0 + 2 * idle)
    assert activity.seen("a", 7.0) == 7.0


def test_the_memory_of_uses_is_bounded() -> None:
    activity = web_sessions.Activity(capacity=2)
    for number in range(10):
        activity.use(str(number), "api", float(number))
    assert [activity.seen(str(number), -1.0) for number in range(10)] == [-1.0] * 8 + [8.0, 9.0]


def test_what_is_stored_beside_a_session() -> None:
    origin = web_sessions.Origin("198.51.100.7", 'agent "x"' + "y" * 500)
    again = web_sessions.Origin.of_label(origin.label())
    assert (again.address, len(again.agent)) == ("198.51.100.7", 200)
    kinds: tuple[web_sessions.SessionKind, ...] = ("api", "page")
    for kind in kinds:
        assert web_sessions.kind_of(web_sessions.scopes_of(kind)) == kind
    assert web_sessions.kind_of(("other",)) is None
    name = web_sessions.public_id(web_sessions.digest("s"))
    assert is_id(name, "token")
