"""The table of roles and permissions (T-10, T-16)."""

from itertools import product

import pytest

from controller.domain.model import Role
from controller.domain.permissions import ROLE_PERMISSIONS, TOKEN_SCOPES, Permission, outranks, permissions_of

MEMBER = ROLE_PERMISSIONS[Role.MEMBER]


def test_every_role_has_its_permissions_and_none_exceeds_the_owner() -> None:
    assert set(ROLE_PERMISSIONS) == set(Role)
    assert ROLE_PERMISSIONS[Role.OWNER] == set(Permission)
    for held in ROLE_PERMISSIONS.values():
        assert held >= MEMBER


def test_an_auditor_reads_everything_and_changes_nothing() -> None:
    more = ROLE_PERMISSIONS[Role.AUDITOR] - MEMBER
    assert more == {item for item in Permission if item.value.endswith(":read")} - MEMBER


def test_t16_some_things_are_for_owners_alone() -> None:
    for permission in (Permission.KEYS_WRITE, Permission.SETTINGS_WRITE, Permission.IDENTITY_PROVIDERS_WRITE):
        assert [role for role in Role if permission in ROLE_PERMISSIONS[role]] == [Role.OWNER]


def test_each_write_has_its_read() -> None:
    known = {item.value for item in Permission}
    alone = {"credentials:write", "roles:write"}
    for name in known - alone:
        assert name.partition(":")[0] + ":read" in known


@pytest.mark.parametrize("role", list(Role))
def test_t16_a_token_permits_what_role_and_scopes_both_do(role: Role) -> None:
    everything = [item.value for item in Permission]
    assert permissions_of(role, everything) == ROLE_PERMISSIONS[role] & TOKEN_SCOPES
    assert permissions_of(role, ()) == set()
    assert permissions_of(role, ["keys:write", "painting:write", "credentials:write"]) <= {Permission.KEYS_WRITE}
    assert permissions_of(role) == ROLE_PERMISSIONS[role]


def test_t16_nobody_stands_above_his_equals_but_owners() -> None:
    for role, other in product(Role, Role):
        above = outranks(ROLE_PERMISSIONS[role], other)
        if role is Role.OWNER:
            assert above
        elif role is Role.ADMIN:
            assert above == (other not in (Role.OWNER, Role.ADMIN))
        elif above:
            assert ROLE_PERMISSIONS[other] < ROLE_PERMISSIONS[role]
    assert not outranks(MEMBER, Role.MEMBER)


def test_t16_a_token_stands_above_those_only_who_hold_less_than_its_scopes() -> None:
    held = permissions_of(Role.OWNER, ["people:read", "people:write"])
    assert outranks(held, Role.MEMBER)
    assert not any(outranks(held, role) for role in set(Role) - {Role.MEMBER})
    assert outranks(permissions_of(Role.OWNER, [item.value for item in Permission]), Role.OWNER)
