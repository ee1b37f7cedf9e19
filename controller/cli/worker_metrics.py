"""Metrics and health of several workers in one place: the parent asks each over the socket that the worker serves itself.

Numbers of different workers are never added up here: some are each one's own, some every worker knows of all. A label says whose
they are.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.console import error_object
from runtime.metrics import Metric, MetricsServer, Source, gauge, labelled

ANSWER_S: Final = 4.0
"""A worker that is asked for its metrics or health; whoever asks the parent waits five seconds."""
LABEL: Final = "worker"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Member:
    """One worker as it is now. ``restarts`` counts from the parent's start."""

    number: int
    socket: Path
    serves: bool
    restarts: int


def source_of(component: str, members: Callable[[], Sequence[Member]]) -> Source:
    """Returns the parent's own numbers; ready is: every worker serves and says that it is ready."""

    async def why() -> Mapping[str, str] | None:
        found = await asyncio.gather(*(_why_not(member) for member in members()))
        return next((reason for reason in found if reason is not None), None)

    return Source(component, lambda: _collect(members()), why)


def _collect(members: Sequence[Member]) -> Iterable[Metric]:
    yield gauge("ostiary_controller_workers", "Workers that the settings ask for.", len(members))
    yield labelled(
        "ostiary_controller_worker_serves",
        "gauge",
        "1: the worker serves.",
        LABEL,
        {str(member.number): float(member.serves) for member in members},
    )
    yield labelled(
        "ostiary_controller_worker_restarts_total",
        "counter",
        "Workers started again because they had ended.",
        LABEL,
        {str(member.number): member.restarts for member in members},
    )


async def _why_not(member: Member) -> Mapping[str, str] | None:
    if not member.serves:
        return error_object(LocalError(Reason.UNAVAILABLE, f"worker {member.number} does not serve"))
    try:
        said: Any = json.loads(await ask(member.socket, "/healthz/ready"))
        why = said["why"]
    except (OSError, TimeoutError, ValueError, LookupError, TypeError, EOFError) as exc:
        detail = f"worker {member.number} does not tell how it is: {type(exc).__name__}"
        return error_object(LocalError(Reason.UNAVAILABLE, detail))
    return None if why is None else {**why, "detail": f"worker {member.number}: {why.get('detail', '')}"}


class WorkerMetrics(MetricsServer):
    """Serves the parent's numbers, and those of the workers with a label ``worker``."""

    def __init__(
        self, source: Source, listen: str | None, default: Path, members: Callable[[], Sequence[Member]]
    ) -> None:
        super().__init__(source, listen, default)
        self._members = members

    async def text(self) -> bytes:
        """Returns everything; a worker that does not answer is missing."""
        serving = [member for member in self._members() if member.serves]
        texts = await asyncio.gather(*(_metrics_of(member) for member in serving))
        of_workers = {str(member.number): text for member, text in zip(serving, texts, strict=True) if text}
        return merged((await super().text()).decode(), of_workers)


async def _metrics_of(member: Member) -> str:
    try:
        return (await ask(member.socket, "/metrics")).decode()
    except (OSError, TimeoutError, EOFError, ValueError) as exc:
        _log.warning("worker.metrics_missing", worker=member.number, cause=type(exc).__name__)
        return ""


def merged(own: str, texts: Mapping[str, str]) -> bytes:
    """Returns one exposition of several: ``own``, and the others' samples with the names of ``texts`` as the label ``worker``."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import Metric as Family
    from prometheus_client.parser import text_string_to_metric_families
    from prometheus_client.registry import Collector

    families: dict[str, Family] = {}
    for worker, text in (("", own), *texts.items()):
        label = {LABEL: worker} if worker else {}
        for family in text_string_to_metric_families(text):
            kept = families.setdefault(family.name, Family(family.name, family.documentation, family.type))
            for sample in family.samples:
                kept.add_sample(sample.name, {**sample.labels, **label}, sample.value)

    class All(Collector):
        def collect(self) -> Iterable[Family]:
            return families.values()

    registry = CollectorRegistry(auto_describe=False)
    registry.register(All())
    return generate_latest(registry)


async def ask(path: Path, target: str) -> bytes:
    """Asks over a Unix socket that ``MetricsServer`` serves; returns the body, whatever the status.

    Raises:
        OSError, EOFError: nobody answers there.
        TimeoutError
    """
    async with asyncio.timeout(ANSWER_S):
        reader, writer = await asyncio.open_unix_connection(str(path))
        try:
            # The worker closes behind its answer.
            writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            return await reader.read()
        finally:
            writer.transport.abort()
