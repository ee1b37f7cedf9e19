"""What tests ask about a whole log, beside what the product asks: its chain row by row, and the fold up to a position."""

from contextlib import aclosing
from dataclasses import replace

from controller.domain.log import Head
from controller.domain.state import PolicyState
from controller.store import ChainFault, ChainReport, Store, events, exporting
from controller.store.chain import ChainVerifier
from controller.store.evidence import Audit, Report


async def verify_chain(store: Store) -> ChainReport:
    """Walks the whole log; one that ends before what ``store`` has seen lost its tail."""
    verifier, position = ChainVerifier(), 0
    async with store.read() as connection:
        while rows := await events.rows_after(connection, position):
            for row in rows:
                verifier.check(row)
            position = rows[-1].position
    report, seen = verifier.report(), store.feed.head.position
    if seen > position:
        lost = ChainFault(position + 1, f"missing: this process has seen event {seen}")
        report = replace(report, faults=(*report.faults, lost))
    return report


async def state_at(store: Store, position: int) -> PolicyState:
    """The state as of ``position`` (beyond the end: the end), folded from the first event."""
    head = Head(PolicyState())
    async with store.read() as connection:
        async for change in events.changes_after(connection, head):
            if change.position > position:
                break
            head = change.after
    return head.state


async def audit(url: str) -> Report:
    """What `ostiary-controller events verify` finds."""
    found = Audit()
    async with exporting.opened(url) as engine, aclosing(exporting.lines(engine)) as lines:
        async for line in lines:
            found.take(line)
    return found.finish()
