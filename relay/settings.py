"""The relay's settings: what ``run`` and ``check-config`` read."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from protocol.limits import RELAY_CONNECTIONS_MAX, RELAY_CONNECTIONS_PER_ADDRESS
from runtime.metrics import HELP as METRICS_HELP

COMPONENT: Final = "relay"
SOCKET_NAME: Final = "relay.sock"


@dataclass(frozen=True, slots=True)
class Settings:
    """One value per process; built by ``runtime.settings.load``."""

    state_dir: Path = field(
        default=Path("/var/lib/ostiary/relay"),
        metadata={"help": "Directory of the certificate, its key and the controller's keys."},
    )
    runtime_dir: Path = field(default=Path("/run/ostiary-relay"), metadata={"help": "Directory of the status socket."})
    listen_host: str = field(default="", metadata={"help": "Address to listen on. Default: every address."})
    listen_port: int | None = field(
        default=None,
        metadata={"help": "Port to listen on. Default: the one that it was enrolled with.", "min": 1, "max": 65535},
    )
    connections_max: int = field(
        default=RELAY_CONNECTIONS_MAX,
        metadata={"help": "Connections at one time, over all addresses.", "min": 16, "max": 1_000_000},
    )
    connections_per_address: int = field(
        default=RELAY_CONNECTIONS_PER_ADDRESS,
        metadata={"help": "Connections at one time from one IPv4 address or IPv6 /64.", "min": 1, "max": 1_000_000},
    )
    drain_s: float = field(
        default=30.0,
        metadata={"help": "How long pairs may go on after SIGTERM, in seconds.", "min": 0, "max": 3600},
    )
    splice: bool = field(
        default=True,
        metadata={
            "help": "Let clients and connectors end the outer TLS of a tunnel, which is encrypted end to end anyway, so "
            "that the kernel joins their connections. SECURITY.md says what that costs."
        },
    )
    metrics_listen: str | None = field(default=None, metadata={"help": METRICS_HELP})
    log_level: str = field(
        default="info", metadata={"help": "How much is logged.", "choices": ("debug", "info", "warning", "error")}
    )
    log_json: bool | None = field(default=None, metadata={"help": "JSON lines. Default: when stderr is no terminal."})

    @property
    def socket_path(self) -> Path:
        """Where the daemon answers its commands."""
        return self.runtime_dir / SOCKET_NAME
