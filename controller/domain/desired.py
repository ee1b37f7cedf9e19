"""The policy as somebody wants it: what a policy document says, before it is compared with what there is.

Things are named as people name them; ``line`` is where a thing stands in the document (0: it does not come from one). A
section that is None was not written: it is left alone, whatever ``prune`` says.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from controller.domain.conditions import Conditions
from controller.domain.model import Role, SubjectKind
from protocol.acl.model import Ports, Transport
from protocol.limits import LEASE_DEFAULT_S

NO_PORTS: Final = Ports()
_PORT: Final = re.compile(r"(?P<name>.+?):(?P<port>[1-9][0-9]{0,4})(?:/(?P<transport>tcp|udp))?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Named:
    """A user (by e-mail address or id), group or service account (by name or id) as the document calls it."""

    kind: SubjectKind
    name: str


@dataclass(frozen=True, slots=True)
class DesiredNetwork:
    """A remote network."""

    name: str
    egress_allow: tuple[str, ...] = ()
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class DesiredResource:
    """A resource; ``network`` by name."""

    name: str
    network: str
    address: str
    ports: Ports = NO_PORTS
    lease_s: int = LEASE_DEFAULT_S
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class DesiredGroup:
    """A group; ``members`` are all of its members, or None: whoever is in it stays in it."""

    name: str
    members: tuple[str, ...] | None = None
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class DesiredServiceAccount:
    """A service account."""

    name: str
    disabled: bool = False
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class DesiredUser:
    """Role and standing of a person who has an account; None: as it is. People are neither made nor removed here."""

    user: str
    role: Role | None = None
    disabled: bool | None = None
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class DesiredPolicy:
    """Conditions by name."""

    name: str
    conditions: Conditions
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class DesiredGrant:
    """``to`` may reach ``resource`` until ``expires`` (Unix seconds), while the policy of that name is met."""

    to: Named
    resource: str
    expires: int | None = None
    policy: str | None = None
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class DesiredExclusion:
    """``who`` may not reach ``resource`` whatever grants say, until ``expires`` (Unix seconds)."""

    who: Named
    resource: str
    expires: int | None = None
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Expectation:
    """``who`` can, or cannot, reach ``what``: the name of a resource, or name:port, name:port/udp. ``text`` as written."""

    who: Named
    can: bool
    what: str
    text: str
    line: int = field(default=0, compare=False)

    def precisely(self) -> tuple[str, Transport, int] | None:
        """Returns the name, transport and port, if ``what`` can be read so."""
        match = _PORT.match(self.what)
        if match is None or int(match["port"]) > 65535:
            return None
        return match["name"], Transport(match["transport"] or "tcp"), int(match["port"])


@dataclass(frozen=True, slots=True)
class Desired:
    """A whole document."""

    networks: tuple[DesiredNetwork, ...] | None = None
    resources: tuple[DesiredResource, ...] | None = None
    groups: tuple[DesiredGroup, ...] | None = None
    service_accounts: tuple[DesiredServiceAccount, ...] | None = None
    users: tuple[DesiredUser, ...] | None = None
    policies: tuple[DesiredPolicy, ...] | None = None
    exclusions: tuple[DesiredExclusion, ...] | None = None
    grants: tuple[DesiredGrant, ...] | None = None
    expect: tuple[Expectation, ...] = ()

    def people(self) -> frozenset[str]:
        """Returns how the document calls people: e-mail addresses and ids."""
        named = [item.to for item in self.grants or ()] + [item.who for item in (self.exclusions or ())]
        named += [item.who for item in self.expect]
        members = [member for group in self.groups or () for member in group.members or ()]
        users = [item.user for item in self.users or ()]
        return frozenset([*members, *users, *(item.name for item in named if item.kind is SubjectKind.USER)])
