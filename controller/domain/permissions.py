"""What can be permitted, and which role holds it: the one table (T-10, T-16).

A permission is ``<area>:<verb>``. It names an area of the API, is the scope of an API token, and stands in the API document
at each operation. Access to resources has nothing to do with it: that comes from grants only.

    owner            everything
    admin            everything but signing keys, settings, and identity providers
    network-admin    networks, connectors, relays and resources
    access-approver  answers requests for access
    auditor          reads everything, changes nothing
    member           itself: its own devices, sessions, tokens, connections and requests

A new area: add its permissions here; owner, admin and auditor hold them by the rules below. A new command: name its
permission in ``controller.domain.authority``.
"""

from collections.abc import Iterable, Mapping
from enum import Enum, unique
from typing import Final

from controller.domain.model import Role


@unique
class Permission(Enum):
    """Everything that can be permitted. ``self:…`` is about what is the caller's own."""

    SELF_READ = "self:read"
    SELF_WRITE = "self:write"
    CREDENTIALS_WRITE = "credentials:write"
    """The own password, second factors, devices to sign in, API tokens: what could outlive or exceed a token."""

    NETWORKS_READ = "networks:read"
    NETWORKS_WRITE = "networks:write"
    """Networks and connectors, their enrolment tokens included."""
    RELAYS_READ = "relays:read"
    RELAYS_WRITE = "relays:write"
    RESOURCES_READ = "resources:read"
    RESOURCES_WRITE = "resources:write"
    GROUPS_READ = "groups:read"
    GROUPS_WRITE = "groups:write"
    SERVICE_ACCOUNTS_READ = "service-accounts:read"
    SERVICE_ACCOUNTS_WRITE = "service-accounts:write"
    GRANTS_READ = "grants:read"
    GRANTS_WRITE = "grants:write"
    POLICIES_READ = "policies:read"
    POLICIES_WRITE = "policies:write"
    """Policies and exclusions."""
    ACCESS_READ = "access:read"
    """Who could reach what, at any time."""
    PLANS_READ = "plans:read"
    PLANS_WRITE = "plans:write"
    """To apply a plan; each of its commands needs its own permission besides."""
    REQUESTS_READ = "requests:read"
    REQUESTS_WRITE = "requests:write"
    """To answer requests for access; an approval makes an expiring grant."""

    PEOPLE_READ = "people:read"
    PEOPLE_WRITE = "people:write"
    ROLES_WRITE = "roles:write"
    """To give roles, never one that is not below the giver's own; owners give any."""
    DEVICES_READ = "devices:read"
    DEVICES_WRITE = "devices:write"
    SESSIONS_READ = "sessions:read"
    SESSIONS_WRITE = "sessions:write"
    TOKENS_READ = "tokens:read"
    TOKENS_WRITE = "tokens:write"
    """Other people's API tokens: to see them and to revoke them."""

    AUDIT_READ = "audit:read"
    CONNECTIONS_READ = "connections:read"
    ENFORCEMENT_READ = "enforcement:read"
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    IDENTITY_PROVIDERS_READ = "identity-providers:read"
    IDENTITY_PROVIDERS_WRITE = "identity-providers:write"
    SINKS_READ = "sinks:read"
    SINKS_WRITE = "sinks:write"
    """Where logs are sent to."""
    SETTINGS_READ = "settings:read"
    SETTINGS_WRITE = "settings:write"


P = Permission
_MEMBER: Final = frozenset({P.SELF_READ, P.SELF_WRITE, P.CREDENTIALS_WRITE})
_OWNERS_ONLY: Final = frozenset({P.KEYS_WRITE, P.SETTINGS_WRITE, P.IDENTITY_PROVIDERS_WRITE})

ROLE_PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.OWNER: frozenset(P),
    Role.ADMIN: frozenset(P) - _OWNERS_ONLY,
    Role.NETWORK_ADMIN: _MEMBER
    | {P.NETWORKS_READ, P.NETWORKS_WRITE, P.RELAYS_READ, P.RELAYS_WRITE, P.RESOURCES_READ, P.RESOURCES_WRITE}
    | {P.GROUPS_READ, P.GRANTS_READ, P.POLICIES_READ, P.SERVICE_ACCOUNTS_READ, P.ENFORCEMENT_READ, P.KEYS_READ},
    Role.ACCESS_APPROVER: _MEMBER
    | {P.REQUESTS_READ, P.REQUESTS_WRITE}
    | {P.PEOPLE_READ, P.GROUPS_READ, P.RESOURCES_READ, P.GRANTS_READ, P.POLICIES_READ, P.ACCESS_READ},
    Role.AUDITOR: _MEMBER | {item for item in P if item.value.endswith(":read")},
    Role.MEMBER: _MEMBER,
}
"""Each role's permissions. What is not here is denied."""

TOKEN_SCOPES: Final = frozenset(P) - {P.CREDENTIALS_WRITE}
"""What an API token may carry: no credential makes, or changes, another one, nor gives anybody more than a member has."""

DOCUMENT_READS: Final = (
    P.NETWORKS_READ,
    P.RESOURCES_READ,
    P.GROUPS_READ,
    P.SERVICE_ACCOUNTS_READ,
    P.PEOPLE_READ,
    P.POLICIES_READ,
    P.GRANTS_READ,
)
"""What a policy document, and whatever is compared with one, shows: who reads it may read all of these."""

_TOP: Final = ROLE_PERMISSIONS[Role.OWNER] - _MEMBER


def permissions_of(role: Role, scopes: Iterable[str] | None = None) -> frozenset[Permission]:
    """Returns what somebody with ``role`` may do; through an API token only what its ``scopes`` name as well.

    Scopes that this version does not know, or that no token may carry, permit nothing.
    """
    held = ROLE_PERMISSIONS[role]
    if scopes is None:
        return held
    wanted = frozenset(scopes)
    return frozenset(item for item in held & TOKEN_SCOPES if item.value in wanted)


def outranks(held: frozenset[Permission], role: Role) -> bool:
    """Tells whether somebody who holds ``held`` stands above ``role``: may give it, take it, and change who has it.

    Above is who holds strictly more, so that nobody gives away what exceeds, or equals, his own power. Owners, who hold
    everything, stand above everybody. What every member holds does not count, so that a token of few scopes can still
    look after members.
    """
    mine, theirs = held - _MEMBER, ROLE_PERMISSIONS[role] - _MEMBER
    return theirs < mine or mine == _TOP
