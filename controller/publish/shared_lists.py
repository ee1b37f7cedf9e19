"""Whitelists of devices to which the same grants lead: evaluated and encoded once, for as long as they are the same for all.

After an edit that touches thousands, most of their whitelists are equal. A list is shared only where nothing but the policy and
the time decides: no condition and no exclusion on the way. All that is kept belongs to one state of the policy, which is
immutable, and is dropped with it; within it a list is good until the first of its grants ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from controller.domain.conditions import Source
from controller.domain.evaluate import Subject, acl_for_device
from controller.domain.held import exclusions_of, subjects_of
from controller.domain.model import SubjectRef
from controller.domain.state import PolicyState
from protocol.acl.model import Acl
from protocol.ids import NetworkId
from protocol.tokens.issue import encode_whitelist

KEPT_MAX: Final = 1024
"""Different lists of one state; beyond it they are made anew."""


@dataclass(frozen=True, slots=True)
class Whitelist:
    """What a device may reach, the names of the networks, and both as a snapshot's claims hold them.

    ``plain``: nothing but grants without conditions decided, so that none of them is withheld.
    """

    acl: Acl
    networks: Mapping[NetworkId, str]
    encoded: str
    plain: bool = False


@dataclass(frozen=True, slots=True)
class _Kept:
    """Good for ``since <= now < until`` (Unix seconds); None: without end."""

    whitelist: Whitelist
    since: float
    until: int | None


class SharedLists:
    """One per signer."""

    def __init__(self) -> None:
        self._state: PolicyState | None = None
        self._kept: dict[tuple[SubjectRef, ...], _Kept] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, state: PolicyState, subject: Subject, now: float, source: Source) -> Whitelist:
        """Returns the whitelist of a device in good standing, which is at ``source``, at ``now`` (Unix seconds)."""
        if state is not self._state:
            self._state = state
            self._kept.clear()
        if any(True for _ in exclusions_of(state, subject.owner)):
            return _make(state, subject, now, source)
        granted = tuple(item for item in subjects_of(state, subject.owner) if item in state.grants_to)
        kept = self._kept.get(granted)
        if kept is not None and kept.since <= now and (kept.until is None or now < kept.until):
            return kept.whitelist
        grants = [state.grants[grant] for item in granted for grant in state.grants_to[item]]
        made = _make(state, subject, now, source)
        if any(grant.policy is not None for grant in grants):
            return made
        made = replace(made, plain=True)
        ends = (grant.expires for grant in grants if grant.expires is not None and grant.expires > now)
        until = min(ends, default=None)
        if len(self._kept) >= KEPT_MAX:
            self._kept.clear()
        self._kept[granted] = _Kept(made, now, until)
        return made


def _make(state: PolicyState, subject: Subject, now: float, source: Source) -> Whitelist:
    acl = acl_for_device(state, subject.device, now, source=source)
    networks: Mapping[NetworkId, str] = {
        network: state.networks[network].name for network in sorted({entry.resource.network for entry in acl.entries})
    }
    return Whitelist(acl, networks, encode_whitelist(acl, networks))
