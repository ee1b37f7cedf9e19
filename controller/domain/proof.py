"""Proof of enforcement: of one change, who enforces it since when, and until when somebody who does not may go on.

    enforced         the agent said so
    lapsed           it was not heard for longer than its longest lease: what it held has ended by itself
    never_connected  it was never heard: there is nothing that it could go on with
    outstanding      none of these; ``lease_ends`` says until when at the latest

Times are Unix seconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

ProofState = Literal["enforced", "lapsed", "never_connected", "outstanding"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one agent. ``acknowledged``: when it first said that it enforces the change or a later one."""

    agent: str
    acknowledged: float | None
    heard: float | None
    online: bool
    lease_s: int


@dataclass(frozen=True, slots=True)
class Proof:
    """What follows from it. ``since``: when the change became true at this agent; None while it is outstanding."""

    agent: str
    state: ProofState
    since: float | None
    heard: float | None
    lease_ends: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """Of several agents. ``complete``: since when the change is true at all of them; None while one is outstanding."""

    agents: int
    outstanding: int
    complete: float | None


def prove(evidence: Evidence, *, made: float, now: float) -> Proof:
    """Judges one agent's evidence about a change that was made at ``made``."""
    agent, heard = evidence.agent, evidence.heard
    if evidence.acknowledged is not None:
        # Clocks of replicas may differ a little; nothing is enforced before it was decided.
        return Proof(agent, "enforced", max(made, evidence.acknowledged), heard, None)
    if heard is None:
        return Proof(agent, "never_connected", made, None, None)
    lease_ends = heard + evidence.lease_s
    if not evidence.online and lease_ends <= now:
        return Proof(agent, "lapsed", max(made, lease_ends), heard, lease_ends)
    return Proof(agent, "outstanding", None, heard, lease_ends)


def summarise(proofs: Iterable[Proof], *, made: float) -> Summary:
    """Sums up: an empty list is complete at ``made``."""
    all_of_them = list(proofs)
    outstanding = sum(proof.state == "outstanding" for proof in all_of_them)
    moments = [proof.since for proof in all_of_them if proof.since is not None]
    return Summary(len(all_of_them), outstanding, None if outstanding else max(moments, default=made))


ORDER: Final = ("outstanding", "lapsed", "enforced", "never_connected")
"""In which order the states are of interest."""
