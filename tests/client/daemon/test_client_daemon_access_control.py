"""Who may say what to the daemon (T-50, T-56)."""

import os

import pytest

from client.daemon.access_control import RIGHTS, Right, check_verb, group_id, may_change_trust
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.status_socket import Peer

ROOT = Peer(0, 0, 1)
STRANGER = Peer(54_321, 54_321, 1)
MEMBER = Peer(54_321, 777, 1)
OWNER = Peer(1000, 1000, 1)


@pytest.mark.parametrize("verb", sorted(RIGHTS))
def test_t50_each_verb_is_for_root_the_group_and_the_daemons_own_user(verb: str) -> None:
    check_verb(verb, ROOT, gid=777, own_uid=1000)
    check_verb(verb, MEMBER, gid=777, own_uid=1000)
    check_verb(verb, OWNER, gid=777, own_uid=1000)
    with pytest.raises(LocalError) as caught:
        check_verb(verb, STRANGER, gid=777, own_uid=1000)
    assert caught.value.reason is Reason.PERMISSION_DENIED


@pytest.mark.parametrize("verb", sorted(verb for verb, right in RIGHTS.items() if right is Right.USE))
def test_t50_what_is_done_in_a_users_name_is_for_whoever_signed_in(verb: str) -> None:
    check_verb(verb, MEMBER, gid=777, owner=MEMBER.uid, own_uid=0)
    check_verb(verb, ROOT, gid=777, owner=MEMBER.uid, own_uid=0)
    other = Peer(54_322, 777, 1)
    with pytest.raises(LocalError) as caught:
        check_verb(verb, other, gid=777, owner=MEMBER.uid, own_uid=0)
    assert caught.value.reason is Reason.PERMISSION_DENIED
    check_verb("status", other, gid=777, owner=MEMBER.uid, own_uid=0)


def test_t50_without_the_group_only_root_and_the_own_user_are_left() -> None:
    with pytest.raises(LocalError):
        check_verb("status", MEMBER, gid=None, own_uid=0)


def test_an_unknown_verb_is_an_input_error() -> None:
    with pytest.raises(LocalError) as caught:
        check_verb("format-disk", ROOT, gid=None)
    assert caught.value.reason is Reason.INVALID_INPUT


def test_t56_only_root_or_the_owner_of_a_users_daemon_may_change_trust() -> None:
    assert may_change_trust(ROOT, own_uid=0)
    assert not may_change_trust(MEMBER, own_uid=0)
    assert not may_change_trust(OWNER, own_uid=0)
    assert may_change_trust(OWNER, own_uid=1000)
    assert not may_change_trust(STRANGER, own_uid=1000)


def test_groups_are_looked_up_by_name() -> None:
    assert group_id("root") == 0
    assert group_id("no-such-group-at-all") is None


def test_the_tests_own_user_may() -> None:
    check_verb("status", Peer(os.geteuid(), os.getegid(), os.getpid()), gid=None)
