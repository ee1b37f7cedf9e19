"""Codes, session secrets and roles."""

import pytest

from controller.domain.model import Role, User
from controller.domain.state import PolicyState
from controller.identity import access, user_codes, web_sessions
from protocol.errors import RefusedError
from protocol.ids import UserId
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


def test_sessions_end_by_idleness_and_by_age() -> None:
    kind: web_sessions.SessionKind = "api"
    lifetime = web_sessions.LIFETIMES[kind]
    assert web_sessions.is_live(kind, created=0, seen=0, now=lifetime.idle_s - 1)
    assert not web_sessions.is_live(kind, created=0, seen=0, now=lifetime.idle_s)
    late = lifetime.life_s - 1
    assert web_sessions.is_live(kind, created=0, seen=late, now=late)
    assert not web_sessions.is_live(kind, created=0, seen=late, now=late + 1)
    assert web_sessions.expires_at(kind, created=0, seen=late) == lifetime.life_s


def _state(*users: User) -> PolicyState:
    state = PolicyState()
    mapping = state.users
    for user in users:
        mapping = mapping.set(user.id, user)
    return PolicyState(users=mapping)


OWNER = User(UserId("usr_o"), Role.OWNER, 0)
ADMIN = User(UserId("usr_a"), Role.ADMIN, 0)
MEMBER = User(UserId("usr_m"), Role.MEMBER, 0)
GONE = User(UserId("usr_d"), Role.OWNER, 0, disabled=True)


@pytest.mark.parametrize(
    ("user", "least", "reason"),
    [
        (OWNER, Role.OWNER, None),
        (ADMIN, Role.OWNER, Reason.FORBIDDEN),
        (ADMIN, Role.ADMIN, None),
        (MEMBER, Role.ADMIN, Reason.FORBIDDEN),
        (MEMBER, Role.MEMBER, None),
        (GONE, Role.MEMBER, Reason.USER_DISABLED),
    ],
)
def test_roles_are_an_order(user: User, least: Role, reason: Reason | None) -> None:
    state = _state(user)
    if reason is None:
        assert access.require_role(state, user.id, least) == user
        return
    with pytest.raises(RefusedError) as refused:
        access.require_role(state, user.id, least)
    assert refused.value.reason is reason


def test_an_account_that_is_gone_is_not_signed_in() -> None:
    with pytest.raises(RefusedError) as refused:
        access.require_user(PolicyState(), OWNER.id)
    assert refused.value.reason is Reason.SIGN_IN_REQUIRED


def test_t16_nobody_lifts_above_himself_or_touches_an_owner() -> None:
    access.require_power_over(OWNER, OWNER)
    access.require_power_over(ADMIN, MEMBER)
    access.require_may_give(ADMIN, Role.ADMIN)
    access.require_may_give(OWNER, Role.OWNER)
    for actor, target in ((ADMIN, OWNER), (MEMBER, MEMBER), (MEMBER, OWNER)):
        with pytest.raises(RefusedError):
            access.require_power_over(actor, target)
    for actor, role in ((ADMIN, Role.OWNER), (MEMBER, Role.MEMBER), (MEMBER, Role.ADMIN)):
        with pytest.raises(RefusedError):
            access.require_may_give(actor, role)
    assert access.is_staff(ADMIN)
    assert not access.is_staff(MEMBER)
