"""Metrics and health for machines: a small HTTP server, on a Unix socket of this host unless told otherwise.

    GET /metrics         Prometheus' text format
    GET /healthz/live    200: the process turns
    GET /healthz/ready   200: it does its work; 503 and why not

Hot paths count plain integers; they are read, not written, when somebody asks. Labels come from closed sets (reasons, kinds),
never from ids or names of people (see docs/metrics.md). There is no authentication: whoever may connect may read.
"""

import asyncio
import contextlib
import ipaddress
import json
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Self

from protocol.errors import LocalError
from protocol.reasons import Reason
from protocol.version import SOFTWARE
from runtime.files import os_error

SOCKET_NAME: Final = "metrics.sock"
OFF: Final = "off"
HELP: Final = (
    "Where metrics and health are served over plain HTTP: ADDRESS:PORT, a Unix socket as unix:/PATH, or `off`. "
    "Default: metrics.sock beside the other sockets."
)
REQUEST_MAX_BYTES: Final = 4096
REQUEST_DEADLINE_S: Final = 5.0
CONNECTIONS_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric with its samples: label values (in the order of ``labels``) and the number of each."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: Mapping[tuple[str, ...], float]
    labels: Sequence[str] = field(default=())


def counter(name: str, text: str, value: float) -> Metric:
    """A number that only grows while the process lives."""
    return Metric(name, "counter", text, {(): value})


def gauge(name: str, text: str, value: float) -> Metric:
    """A number as it is now."""
    return Metric(name, "gauge", text, {(): value})


def labelled(
    name: str, kind: Literal["counter", "gauge"], text: str, label: str, values: Mapping[str, float]
) -> Metric:
    """A metric with one label, whose values come from a closed set."""
    return Metric(name, kind, text, {(key,): value for key, value in values.items()}, (label,))


def exposition(metrics: Iterable[Metric], *, component: str) -> bytes:
    """Returns the text format (version 0.0.4); ``ostiary_build_info`` says which program answers."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector

    info = Metric(
        "ostiary_build_info", "gauge", "Which program this is.", {(component, SOFTWARE): 1.0}, ("component", "version")
    )

    class Now(Collector):
        def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
            for metric in (info, *metrics):
                family = (CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily)(
                    metric.name, metric.help, labels=list(metric.labels)
                )
                for labels, value in metric.samples.items():
                    family.add_metric(list(labels), value)
                yield family

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Now())
    return generate_latest(registry)


@dataclass(frozen=True, slots=True)
class Source:
    """What a program shows. ``why_not_ready`` is None when it does its work, else an object that says why not."""

    component: str
    collect: Callable[[], Iterable[Metric]]
    why_not_ready: Callable[[], Awaitable[Mapping[str, str] | None]]


class MetricsServer:
    """Serves ``source``; an async context manager. ``listen`` is the setting, ``default`` the socket's path without one."""

    def __init__(self, source: Source, listen: str | None, default: Path) -> None:
        self._source = source
        self._listen = listen
        self._default = default
        self._server: asyncio.Server | None = None
        self._open = 0
        self.address: str = OFF
        """Where it listens, in the setting's form."""

    async def __aenter__(self) -> Self:
        place = parse_listen(self._listen, self._default)
        if place is None:
            return self
        try:
            if isinstance(place, Path):
                await self._listen_unix(place)
            else:
                self._server = await asyncio.start_server(self._serve, *place, limit=REQUEST_MAX_BYTES)
                host, port = self._server.sockets[0].getsockname()[:2]
                self.address = f"{host}:{port}"
        except OSError as exc:
            where = place if isinstance(place, Path) else Path(f"{place[0]}:{place[1]}")
            if self._listen is not None:
                raise os_error(exc, where) from exc
            # Nobody asked for them: no reason not to serve.
            _log().warning("metrics.not_served", path=str(where), cause=str(exc))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            if self.address.startswith("unix:"):
                _remove(Path(self.address.removeprefix("unix:")))

    async def text(self) -> bytes:
        """Returns what ``/metrics`` shows now."""
        return exposition(self._source.collect(), component=self._source.component)

    async def _listen_unix(self, path: Path) -> None:
        """Takes the place of a socket that a dead process left; the file is its owner's and group's."""
        _make_room(path)
        before = os.umask(0o117)
        try:
            self._server = await asyncio.start_unix_server(self._serve, path, limit=REQUEST_MAX_BYTES)
        finally:
            os.umask(before)
        self.address = f"unix:{path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= CONNECTIONS_MAX:
                async with asyncio.timeout(REQUEST_DEADLINE_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(await self._answer(head.split(b"\r\n", 1)[0]))
                    await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, request: bytes) -> bytes:
        method, _, rest = request.partition(b" ")
        path = rest.split(b" ", 1)[0].split(b"?", 1)[0]
        if method not in (b"GET", b"HEAD"):
            return _http(405, "text/plain", b"GET only\n")
        match path:
            case b"/metrics":
                answer = _http(200, "text/plain; version=0.0.4; charset=utf-8", await self.text())
            case b"/healthz/live":
                answer = _http(200, "application/json", b'{"live": true}\n')
            case b"/healthz/ready":
                why = await self._source.why_not_ready()
                body = json.dumps({"ready": why is None, "why": why}).encode() + b"\n"
                answer = _http(200 if why is None else 503, "application/json", body)
            case _:
                answer = _http(404, "text/plain", b"/metrics, /healthz/live, /healthz/ready\n")
        return answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == b"HEAD" else answer


def parse_listen(listen: str | None, default: Path) -> Path | tuple[str, int] | None:
    """Returns a socket's path, an address and port, or None for `off`. Raises LocalError(CONFIG_INVALID)."""
    if listen is None:
        return default
    if listen == OFF:
        return None
    if listen.startswith("unix:"):
        path = Path(listen.removeprefix("unix:"))
        if path.is_absolute():
            return path
        raise LocalError(Reason.CONFIG_INVALID, f"metrics_listen: {listen!r} is not unix:/ABSOLUTE/PATH")
    host, _, port = listen.rpartition(":")
    try:
        address = str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]")))
        number = int(port)
    except ValueError:
        number = -1
    if not 0 <= number <= 65535:
        raise LocalError(Reason.CONFIG_INVALID, f"metrics_listen: {listen!r} is not ADDRESS:PORT, unix:/PATH or `off`")
    return address, number


def _make_room(path: Path) -> None:
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _http(status: int, kind: str, body: bytes) -> bytes:
    words = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}
    head = (
        f"HTTP/1.1 {status} {words[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def _log() -> Any:
    # Imported late: every settings class names what is here, and short commands write no log.
    import structlog

    return structlog.get_logger(__name__)
