"""Of one change: who it concerns, who enforces it since when, and who is still missing."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from controller.api.services import Services
from controller.domain.log import Change
from controller.domain.proof import ORDER, Evidence, Proof, Summary, prove, summarise
from controller.domain.touched import lease_of_agent, touched_by
from controller.store import acknowledgements
from controller.store.acknowledgements import Ack
from controller.store.history import History
from protocol.errors import LocalError, RefusedError
from protocol.ids import ConnectorId, DeviceId
from protocol.reasons import Reason

Kind = Literal["client", "connector"]


@dataclass(frozen=True, slots=True)
class AgentProof:
    """One agent's part. ``ack`` is the acknowledgement that proves it."""

    kind: Kind
    proof: Proof
    online: bool
    ack: Ack | None


@dataclass(frozen=True, slots=True)
class ChangeProof:
    """A change and its proof. ``made`` is Unix seconds; ``ended`` lost their standing by it and have nothing to say."""

    change: Change
    made: float
    clients: Summary
    connectors: Summary
    agents: tuple[AgentProof, ...]
    ended: tuple[str, ...]


async def of_revision(services: Services, revision: int, now: float) -> ChangeProof:
    """Returns the proof of the change that made ``revision``. Raises RefusedError(NOT_FOUND), LocalError(UNAVAILABLE)."""
    change = await _change(services, revision)
    epoch = change.after.state.epoch
    async with services.store.read() as connection:
        acks = await acknowledgements.first_since(connection, epoch, change.position)
        contacts = await acknowledgements.contacts(connection)
    # A change may concern thousands of devices, whose whitelists are compared.
    return await asyncio.to_thread(assemble, services, change, acks, contacts, now)


def assemble(
    services: Services, change: Change, acks: Mapping[str, Ack], contacts: Mapping[str, int], now: float
) -> ChangeProof:
    """Joins the log's side (whom it concerns) with the agents' side (what they said)."""
    touched = touched_by(change)
    made = change.after.state.at_ms / 1000
    state = services.state
    found: list[AgentProof] = []
    ended = set(touched.ended)
    for kind, agents in (("connector", sorted(touched.connectors)), ("client", sorted(touched.devices))):
        for agent in agents:
            if DeviceId(agent) not in state.devices and ConnectorId(agent) not in state.connectors:
                # It lost its standing since: nothing that it holds is worth anything any more.
                ended.add(agent)
                continue
            ack, seen = acks.get(agent), services.presence.agent(agent)
            heard = now if seen.online else contacts.get(agent, 0) / 1000 or None
            evidence = Evidence(
                agent,
                acknowledged=None if ack is None else ack.at_ms / 1000,
                heard=heard,
                online=seen.online,
                lease_s=0 if ack is not None else lease_of_agent(change.before, agent, made),
            )
            proof = prove(evidence, made=made, now=now)
            found.append(AgentProof("connector" if kind == "connector" else "client", proof, seen.online, ack))
    found.sort(key=lambda item: (ORDER.index(item.proof.state), item.kind != "connector", item.proof.agent))
    return ChangeProof(
        change,
        made,
        clients=summarise((item.proof for item in found if item.kind == "client"), made=made),
        connectors=summarise((item.proof for item in found if item.kind == "connector"), made=made),
        agents=tuple(found),
        ended=tuple(sorted(ended)),
    )


async def _change(services: Services, revision: int) -> Change:
    head = services.store.feed.head.position
    if not 1 <= revision <= head:
        raise RefusedError(Reason.NOT_FOUND, f"the newest revision is {head}")
    recent = services.store.feed.recent
    if recent and recent[0].position <= revision:
        return recent[revision - recent[0].position]
    history = History(services.store)
    before = await history.head_at(revision - 1)
    changes: list[Change] = []
    await history.walk(before, revision, changes.append)
    if not changes:
        raise LocalError(Reason.UNAVAILABLE, f"revision {revision} cannot be read at the moment")
    return changes[0]
