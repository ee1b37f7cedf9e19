"""From a policy document to commands: what must be done so that the policy is as somebody wants it.

Pure. A section that the document does not have is left alone. What it names becomes as written; what it does not name stays,
unless ``prune`` is asked for. Commands are given freely: those that change nothing decide to nothing and drop out later.

The order lets every command find what it needs: what frees a name or an address comes before what takes one.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from controller.domain import commands as c
from controller.domain.commands_policies import ChangePolicy, CreatePolicy, RemovePolicy
from controller.domain.desired import Desired, DesiredGroup, DesiredResource, Named
from controller.domain.model import Role, SubjectKind, SubjectRef
from controller.domain.rules import printable
from controller.domain.state import PolicyState, fold_name
from protocol.ids import (
    GroupId,
    NetworkId,
    PolicyId,
    ResourceId,
    ServiceAccountId,
    UserId,
    is_id,
    make_id,
)

People = Mapping[str, UserId]
"""E-mail addresses in their normal form, of those that the document names, to users."""


Action = Literal["create", "change", "remove"]


@dataclass(frozen=True, slots=True)
class Step:
    """One command, in the words of the document. ``action`` is create, change or remove; ``line`` 0: not in the document."""

    command: c.Command
    action: Action
    kind: str
    name: str
    detail: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """Why the document cannot be carried out; ``line`` 0: no line is at fault."""

    line: int
    detail: str


class _Item(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def line(self) -> int: ...


class _Thing(Protocol):
    @property
    def name(self) -> str: ...


I = TypeVar("I", bound=_Item)  # noqa: E741 - an item
K = TypeVar("K", bound=str)


class Ids:
    """Ids for what a plan creates, all from one seed: the same plan made again gives the same ids."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._count = 0

    def new(self, kind: str) -> str:
        """Returns the next id of ``kind``."""
        self._count += 1
        return make_id(kind, hashlib.sha256(self._seed + f"\0{kind}\0{self._count}".encode()).digest()[:16])


class Scope:
    """What names in the document stand for: what lives, and what the document creates."""

    def __init__(self, state: PolicyState, people: People, ids: Ids, *, prune: bool) -> None:
        self.state = state
        self.ids = ids
        self.prune = prune
        self.steps: list[Step] = []
        self.problems: list[Problem] = []
        self._people = people
        self._names: dict[tuple[str, str], str] = {}
        self._managed: set[str] = set()

    def problem(self, line: int, detail: str) -> None:
        """Notes what is wrong."""
        self.problems.append(Problem(line, detail))

    def declare(self, kind: str, items: Iterable[I]) -> list[tuple[I, str, bool]]:
        """Gives each named item its id, and says whether it is new; notes names that stand there twice."""
        self._managed.add(kind)
        found: list[tuple[I, str, bool]] = []
        for item in items:
            key = kind, fold_name(item.name)
            if key in self._names:
                self.problem(item.line, f"{_word(kind)} {printable(item.name)!r} stands in the document twice")
                continue
            living = self.state.names.get(key)
            self._names[key] = living or self.ids.new(kind)
            found.append((item, self._names[key], living is None))
        return found

    def named(self, kind: str, things: Mapping[K, _Thing]) -> Iterable[tuple[K, str]]:
        """Yields what lives, is of a section of the document, and is not in it: what pruning removes."""
        if self.prune and kind in self._managed:
            for thing_id, thing in sorted(things.items()):
                if (kind, fold_name(thing.name)) not in self._names:
                    yield thing_id, thing.name

    def find(self, kind: str, name: str, line: int) -> str | None:
        """Returns the id that ``name`` (or an id) stands for; notes a problem and returns None when there is none."""
        key = kind, fold_name(name)
        if key in self._names:
            return self._names[key]
        living = self.state.names.get(key)
        if living is not None and not (self.prune and kind in self._managed):
            return living
        more = "; this document would remove it" if living is not None else ""
        self.problem(line, f"there is no {_word(kind)} {printable(name)!r}{more}")
        return None

    def user(self, name: str, line: int) -> UserId | None:
        """Returns the user of this e-mail address or id; notes a problem when there is none."""
        if is_id(name, "user") and UserId(name) in self.state.users:
            return UserId(name)
        found = self._people.get(name.strip().casefold())
        if found is None or found not in self.state.users:
            self.problem(line, f"nobody has the e-mail address or id {printable(name)!r}; create the account first")
            return None
        return found

    def subject(self, item: Named, line: int) -> SubjectRef | None:
        """Returns whom the document means."""
        if item.kind is SubjectKind.USER:
            found: str | None = self.user(item.name, line)
        else:
            found = self.find(item.kind.value, item.name, line)
        return None if found is None else SubjectRef(item.kind, found)


def _word(kind: str) -> str:
    return kind.replace("_", " ")


def reconcile_things(scope: Scope, desired: Desired) -> None:
    """Adds the steps for everything but grants and exclusions that must come before those."""
    _networks(scope, desired)
    _resources(scope, desired)
    _policies(scope, desired)
    _groups(scope, desired)
    _service_accounts(scope, desired)
    _users(scope, desired)


def remove_last(scope: Scope) -> None:
    """Adds the removals that need everything else to be gone: policies without grants, empty networks."""
    for policy, name in scope.named("policy", scope.state.policies):
        scope.steps.append(Step(RemovePolicy(policy), "remove", "policy", name))
    for network, name in scope.named("network", scope.state.networks):
        scope.steps.append(Step(c.RemoveNetwork(network), "remove", "network", name))


def _networks(scope: Scope, desired: Desired) -> None:
    if desired.networks is None:
        return
    for item, found, new in scope.declare("network", desired.networks):
        network = NetworkId(found)
        if new:
            _add(scope, c.CreateNetwork(network, item.name), "create", "network", item)
        else:
            _add(scope, c.RenameNetwork(network, item.name), "change", "network", item, "name")
        if not new or item.egress_allow:
            before = () if new else scope.state.networks[network].egress_allow
            detail = _went("egress_allow", ", ".join(before), ", ".join(item.egress_allow))
            _add(scope, c.ChangeNetworkEgress(network, item.egress_allow), "change", "network", item, detail)


def _resources(scope: Scope, desired: Desired) -> None:
    if desired.resources is None:
        return
    declared = scope.declare("resource", desired.resources)
    for resource, name in scope.named("resource", scope.state.resources):
        scope.steps.append(Step(c.RemoveResource(resource), "remove", "resource", name))
    # Changes first: they may free the address that a new one takes.
    for item, found, new in sorted(declared, key=lambda one: one[2]):
        network = scope.find("network", item.network, item.line)
        if network is None:
            continue
        rest = NetworkId(network), item.name, item.address, item.ports, item.lease_s
        if new:
            detail = f"{item.address} in {item.network}"
            _add(scope, c.CreateResource(ResourceId(found), *rest), "create", "resource", item, detail)
        else:
            detail = _resource_changes(scope.state, ResourceId(found), item)
            _add(scope, c.ChangeResource(ResourceId(found), *rest), "change", "resource", item, detail)


def _resource_changes(state: PolicyState, resource: ResourceId, item: DesiredResource) -> str:
    old = state.resources[resource]
    parts = [
        _went("name", old.name, item.name),
        _went("network", state.networks[old.network].name, item.network),
        _went("address", str(old.address), item.address),
        "ports" if old.ports != item.ports else "",
        _went("lease_s", str(old.lease_s), str(item.lease_s)),
    ]
    return "; ".join(part for part in parts if part)


def _policies(scope: Scope, desired: Desired) -> None:
    if desired.policies is None:
        return
    for item, found, new in scope.declare("policy", desired.policies):
        policy = PolicyId(found)
        if new:
            _add(scope, CreatePolicy(policy, item.name, item.conditions), "create", "policy", item)
        else:
            _add(scope, ChangePolicy(policy, item.name, item.conditions), "change", "policy", item, "conditions")


def _groups(scope: Scope, desired: Desired) -> None:
    if desired.groups is None:
        return
    declared = scope.declare("group", desired.groups)
    for group, name in scope.named("group", scope.state.groups):
        scope.steps.append(Step(c.RemoveGroup(group), "remove", "group", name))
    for item, found, new in declared:
        group = GroupId(found)
        if new:
            _add(scope, c.CreateGroup(group, item.name), "create", "group", item)
        else:
            _add(scope, c.RenameGroup(group, item.name), "change", "group", item, "name")
        _members(scope, item, group)


def _members(scope: Scope, item: DesiredGroup, group: GroupId) -> None:
    if item.members is None:
        return
    wanted: dict[UserId, str] = {}
    for member in item.members:
        user = scope.user(member, item.line)
        if user is not None:
            wanted[user] = member
    living = scope.state.members.get(group, ())
    for user, name in wanted.items():
        if user not in living:
            _add(scope, c.AddGroupMember(group, user), "change", "group", item, f"add {name}")
    for user in sorted(set(living) - wanted.keys()):
        _add(scope, c.RemoveGroupMember(group, user), "change", "group", item, f"remove {user}")


def _service_accounts(scope: Scope, desired: Desired) -> None:
    if desired.service_accounts is None:
        return
    declared = scope.declare("service_account", desired.service_accounts)
    for account, name in scope.named("service_account", scope.state.service_accounts):
        scope.steps.append(Step(c.RemoveServiceAccount(account), "remove", "service_account", name))
    for item, found, new in declared:
        account = ServiceAccountId(found)
        if new:
            _add(scope, c.CreateServiceAccount(account, item.name), "create", "service_account", item)
        disabled = not new and scope.state.service_accounts[account].disabled
        if item.disabled and not disabled:
            _add(scope, c.DisableServiceAccount(account), "change", "service_account", item, "disable")
        if disabled and not item.disabled:
            _add(scope, c.EnableServiceAccount(account), "change", "service_account", item, "enable")


def _takes_power(step: Step) -> bool:
    """Whether the step leaves fewer owners: such steps come last."""
    command = step.command
    return not (isinstance(command, c.EnableUser) or getattr(command, "role", None) is Role.OWNER)


def _users(scope: Scope, desired: Desired) -> None:
    steps: list[Step] = []
    seen: set[UserId] = set()
    for item in desired.users or ():
        user = scope.user(item.user, item.line)
        if user is None:
            continue
        if user in seen:
            scope.problem(item.line, f"user {printable(item.user)!r} stands in the document twice")
            continue
        seen.add(user)
        old = scope.state.users[user]
        if item.role is not None and item.role is not old.role:
            detail = _went("role", old.role.value, item.role.value)
            steps.append(Step(c.ChangeUserRole(user, item.role), "change", "user", item.user, detail, item.line))
        if item.disabled is not None and item.disabled is not old.disabled:
            command = c.DisableUser(user) if item.disabled else c.EnableUser(user)
            detail = "disable" if item.disabled else "enable"
            steps.append(Step(command, "change", "user", item.user, detail, item.line))
    # A new owner before the old one goes: the last one cannot.
    scope.steps += sorted(steps, key=_takes_power)


def _add(scope: Scope, command: c.Command, action: Action, kind: str, item: _Item, detail: str = "") -> None:
    scope.steps.append(Step(command, action, kind, item.name, detail, item.line))


def _went(field: str, old: str, new: str) -> str:
    return "" if old == new else f"{field}: {old or 'none'} → {new or 'none'}"
