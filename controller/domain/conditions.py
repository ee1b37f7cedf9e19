"""What a policy asks of a session, a device and a place, and the judgement of it. Pure: facts and time are arguments.

A policy is a conjunction: every condition that is set must hold. What is not known does not hold (deny by default), with one
exception that the caller must ask for by name: ``Assumed.MET`` for the source, to find out what only that fact stands between.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

from controller.domain.hours import Hours, state_of
from protocol.acl.names import unmapped
from protocol.device_facts import DeviceFacts
from protocol.reasons import Reason

FACTS_MAX_AGE_DEFAULT_S: Final = 24 * 3600
"""How long what a device reported counts, unless the policy says otherwise."""
_VERSION: Final = re.compile(r"[0-9]+(?:\.[0-9]+)*", re.ASCII)


class Assumed(Enum):
    """Stands for a source that is not known: "what would it be if only this fact were met?"."""

    MET = "met"


Source = IPv4Address | IPv6Address | Assumed | None
"""Where a device's control connection comes from; None when it is not known."""


@dataclass(frozen=True, slots=True)
class SystemRule:
    """One operating system that is good enough: a distribution, or a kernel's name whose version is the kernel's."""

    name: str
    min_version: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.min_version} or newer" if self.min_version else self.name


@dataclass(frozen=True, slots=True)
class Conditions:
    """What must hold. None, False and empty: not asked for. Ages are seconds.

    ``facts_max_age_s`` bounds the age of the report in which a device said what the conditions on it are judged by.
    """

    sign_in_max_age_s: int | None = None
    mfa_max_age_s: int | None = None
    device_trusted: bool = False
    systems: tuple[SystemRule, ...] = ()
    """Any of them."""
    disk_encrypted: bool = False
    firewall: bool = False
    client_min_version: str = ""
    facts_max_age_s: int = FACTS_MAX_AGE_DEFAULT_S
    sources: tuple[str, ...] = ()
    """Canonical CIDRs; any of them."""
    hours: Hours | None = None

    @property
    def about_sign_in(self) -> bool:
        """Whether only a person can meet them: a service account never signs in."""
        return self.sign_in_max_age_s is not None or self.mfa_max_age_s is not None

    @property
    def about_facts(self) -> bool:
        """Whether what the device reports counts."""
        return bool(self.systems or self.disk_encrypted or self.firewall or self.client_min_version)

    @property
    def empty(self) -> bool:
        """Whether nothing is asked for."""
        rest = self.device_trusted or self.sources or self.hours is not None
        return not (self.about_sign_in or self.about_facts or rest)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a device, its session and its place. Times are Unix seconds; None: not known, or never."""

    authenticated_s: int | None = None
    mfa_s: int | None = None
    trusted: bool = False
    report: DeviceFacts | None = None
    reported_s: int | None = None
    source: Source = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A condition that does not hold. ``condition`` is a member of Conditions, ``detail`` what is asked for."""

    condition: str
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The judgement, and the next moment (Unix seconds) at which time alone can change it; None: never."""

    failures: tuple[Failure, ...] = ()
    changes_at: int | None = None

    @property
    def met(self) -> bool:
        """Whether all conditions hold."""
        return not self.failures


MET: Final = Outcome()
"""No conditions, no failures, for ever."""

_Judged = tuple[Failure | None, int | None]


def evaluate(conditions: Conditions, facts: Facts, now: float) -> Outcome:
    """Judges ``conditions`` at ``now`` (Unix seconds). Failures come in the order in which a person would mend them."""
    failures: list[Failure] = []
    changes: list[int] = []
    for failure, changes_at in _judge(conditions, facts, now):
        if failure is not None:
            failures.append(failure)
        if changes_at is not None:
            changes.append(changes_at)
    return Outcome(tuple(failures), min(changes, default=None))


def _judge(conditions: Conditions, facts: Facts, now: float) -> Iterator[_Judged]:
    if conditions.hours is not None:
        state = state_of(conditions.hours, now)
        failure = None if state.open else Failure("hours", Reason.OUTSIDE_HOURS, str(conditions.hours))
        yield failure, state.changes_at
    if conditions.sources and not _within(facts.source, conditions.sources):
        yield Failure("sources", Reason.SOURCE_NOT_ALLOWED, ", ".join(conditions.sources)), None
    if conditions.device_trusted and not facts.trusted:
        yield Failure("device_trusted", Reason.DEVICE_NOT_TRUSTED, "a device that an administrator trusts"), None
    if conditions.about_facts:
        yield from _judge_report(conditions, facts, now)
    if conditions.sign_in_max_age_s is not None:
        asked = f"signed in within the last {_span(conditions.sign_in_max_age_s)}"
        failure = Failure("sign_in_max_age_s", Reason.SIGN_IN_TOO_OLD, asked)
        yield _age(facts.authenticated_s, conditions.sign_in_max_age_s, now, failure)
    if conditions.mfa_max_age_s is not None:
        asked = f"a second factor within the last {_span(conditions.mfa_max_age_s)}"
        yield _age(facts.mfa_s, conditions.mfa_max_age_s, now, Failure("mfa_max_age_s", Reason.MFA_REQUIRED, asked))


def _age(moment: int | None, max_age_s: int, now: float, failure: Failure) -> _Judged:
    """Holds until ``max_age_s`` after the moment; only an event makes it hold again."""
    if moment is None or now >= moment + max_age_s:
        return failure, None
    return None, moment + max_age_s


def _judge_report(conditions: Conditions, facts: Facts, now: float) -> Iterator[_Judged]:
    asked = f"facts reported within the last {_span(conditions.facts_max_age_s)}"
    stale = Failure("facts_max_age_s", Reason.POSTURE_UNKNOWN, asked)
    failure, ends = _age(facts.reported_s if facts.report is not None else None, conditions.facts_max_age_s, now, stale)
    yield failure, ends
    if failure is not None or facts.report is None:
        return
    report = facts.report
    if conditions.systems and not any(_runs(report, rule) for rule in conditions.systems):
        yield Failure("systems", Reason.POSTURE_FAILED, " / ".join(map(str, conditions.systems))), None
    if conditions.disk_encrypted and report.disk_encrypted is not True:
        yield Failure("disk_encrypted", Reason.POSTURE_FAILED, "an encrypted disk"), None
    if conditions.firewall and report.firewall is not True:
        yield Failure("firewall", Reason.POSTURE_FAILED, "a firewall with rules"), None
    if conditions.client_min_version and not _at_least(report.client, conditions.client_min_version):
        wanted = f"Ostiary {conditions.client_min_version} or newer"
        yield Failure("client_min_version", Reason.POSTURE_FAILED, wanted), None


def _runs(report: DeviceFacts, rule: SystemRule) -> bool:
    if rule.name == report.distribution:
        return not rule.min_version or _at_least(report.version, rule.min_version)
    if rule.name == report.os:
        return not rule.min_version or _at_least(report.kernel, rule.min_version)
    return False


def version_of(text: str) -> tuple[int, ...] | None:
    """The numbers at the start of a version, without trailing zeros: ``6.1.0-18-amd64`` is (6, 1). None: there are none."""
    found = _VERSION.match(text)
    if found is None:
        return None
    numbers = [int(part) for part in found.group().split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _at_least(text: str, wanted: str) -> bool:
    have, need = version_of(text), version_of(wanted)
    return have is not None and need is not None and have >= need


def _within(source: Source, cidrs: tuple[str, ...]) -> bool:
    if source is None:
        return False
    if isinstance(source, Assumed):
        return True
    address = unmapped(source)
    return any(address in network for network in map(_network, cidrs) if network.version == address.version)


@lru_cache(maxsize=4096)
def _network(cidr: str) -> IPv4Network | IPv6Network:
    return ip_network(cidr)


def _span(seconds: int) -> str:
    for unit, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds % unit == 0:
            count = seconds // unit
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{seconds} seconds"
