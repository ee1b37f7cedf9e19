"""A plan: the events that a document leads to on top of one revision, under a hash, and what they would change.

Folding them on top of the present state costs nothing and changes nothing. What is approved is the hash: it covers the
revision that the plan starts from and every event that it would append, so that what is applied is what was looked at.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from controller.domain.authority import refusal_for
from controller.domain.decide import decide
from controller.domain.event_codec import event_to_json
from controller.domain.events import Event
from controller.domain.evolve import evolve
from controller.domain.log import Change, Head
from controller.domain.model import Role
from controller.domain.reconcile import Problem, Step
from controller.domain.rules import Refusal
from controller.domain.state import PolicyState
from protocol.ids import Revision, UserId
from protocol.reasons import Reason

PROBLEMS_MAX: Final = 50
"""Problems that are named; behind so many the rest are consequences."""
_FORMAT: Final = "ostiary plan 1"


@dataclass(frozen=True, slots=True)
class Plan:
    """``changes`` lead from ``base`` to ``after``; ``steps`` are those that change something. Any problem forbids it."""

    base: PolicyState
    after: PolicyState
    steps: tuple[Step, ...]
    changes: tuple[Change, ...]
    problems: tuple[Problem, ...]
    hash: str

    @property
    def revision(self) -> Revision:
        """The position that the log must be at when it is applied."""
        return self.base.position


def fold_plan(state: PolicyState, steps: Sequence[Step], problems: Sequence[Problem], *, actor: str) -> Plan:
    """Folds ``steps`` on top of ``state`` in the name of ``actor``. Rules and authority are those of a real write."""
    head = Head(state)
    taken: list[Step] = []
    changes: list[Change] = []
    found = list(problems)
    for step in steps:
        if len(found) >= PROBLEMS_MAX:
            break
        decided = decide(head.state, step.command)
        if decided == ():
            continue
        refused = decided if isinstance(decided, Refusal) else refusal_for(head.state, actor, step.command)
        if isinstance(refused, Refusal) or isinstance(decided, Refusal):
            assert refused is not None
            found.append(Problem(step.line, _sentence(step, refused)))
            continue
        taken.append(step)
        for event in decided:
            after = Head(evolve(head.state, event, head.position + 1, state.at_ms))
            changes.append(Change(event, head.state, after))
            head = after
    found += _lockouts(state, head.state, actor)
    digest = plan_hash(state, [change.event for change in changes])
    return Plan(state, head.state, tuple(taken), tuple(changes), tuple(found[:PROBLEMS_MAX]), digest)


def plan_hash(base: PolicyState, events: Sequence[Event]) -> str:
    """Returns SHA-256 over the log that the plan continues and what it would append, in hexadecimal."""
    body = [_FORMAT, base.issuer, base.epoch, base.position]
    body += [[event.TYPE, event_to_json(event)] for event in events]
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _lockouts(before: PolicyState, after: PolicyState, actor: str) -> list[Problem]:
    """Nobody plans himself, or everybody, out."""
    if _owners(before) and not _owners(after):
        return [Problem(0, f"{Reason.LAST_OWNER.sentence} {Reason.LAST_OWNER.next_step}")]
    was, will_be = before.users.get(UserId(actor)), after.users.get(UserId(actor))
    if was is not None and (will_be is None or will_be.disabled or will_be.role is not was.role):
        return [Problem(0, "this would change your own role or account; let another owner do that")]
    return []


def _owners(state: PolicyState) -> int:
    return sum(user.role is Role.OWNER and not user.disabled for user in state.users.values())


def _sentence(step: Step, refusal: Refusal) -> str:
    thing = f"{step.action} {step.kind.replace('_', ' ')} {step.name}"
    return f"{thing}: {refusal.reason.sentence} ({refusal.detail})" if refusal.detail else f"{thing}: {refusal.reason}"
