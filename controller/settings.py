"""The controller's settings: what `serve`, `init` and `check-config` read."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from protocol.errors import LocalError
from protocol.limits import ACCESS_LIFE_S, CONTROLLER_URL_MAX, CONTROLLERS_MAX, SESSION_LIFE_S
from protocol.reasons import Reason
from runtime.metrics import HELP as METRICS_HELP

COMPONENT: Final = "controller"
DATABASE_FILE: Final = "controller.db"
CA_FILE: Final = "ca.pem"
"""The CA's certificate in the state directory, for whoever runs commands on this host."""
WORKERS_SOCKET: Final = "workers.sock"
"""In the state directory: the health of several workers together, whatever is set for metrics."""
TLS_MODES: Final = ("internal", "files", "off")


@dataclass(frozen=True, slots=True)
class Settings:
    """One value per process; built by ``runtime.settings.load``."""

    state_dir: Path = field(
        default=Path("/var/lib/ostiary/controller"),
        metadata={"help": "Directory of the master secret and, by default, of the SQLite database."},
    )
    database_url: str | None = field(
        default=None,
        metadata={
            "help": "SQLAlchemy URL: sqlite:////path or postgresql://user:password@host/db. "
            "Default: controller.db in state_dir.",
            "secret": True,
        },
    )
    public_url: str | None = field(
        default=None,
        metadata={"help": "https URL under which agents and people reach the controller. Default: the one of `init`."},
    )
    extra_hostnames: tuple[str, ...] = field(
        default=(), metadata={"help": "Further host names and addresses in the TLS certificate (tls = internal)."}
    )
    agent_urls: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "https URLs of single replicas; agents are told them. Each tries the one that answered it last, then all "
            "others in random order, the public URL among them."
        },
    )
    listen_host: str = field(
        default="", metadata={"help": "Address to listen on. Default: every address, IPv4 and IPv6."}
    )
    listen_port: int = field(default=8443, metadata={"help": "TCP port to listen on.", "min": 1, "max": 65535})
    workers: int = field(
        default=1,
        metadata={
            "help": "Processes that serve, each a whole replica on the same port. More than one needs PostgreSQL.",
            "min": 1,
            "max": 64,
        },
    )
    tls: str = field(
        default="internal",
        metadata={
            "help": "internal: certificate by the built-in CA. files: tls_certificate and tls_key. "
            "off: plain HTTP behind a proxy that does TLS.",
            "choices": TLS_MODES,
        },
    )
    tls_certificate: Path | None = field(default=None, metadata={"help": "PEM chain (tls = files)."})
    tls_key: Path | None = field(default=None, metadata={"help": "PEM private key (tls = files)."})
    trusted_proxies: tuple[str, ...] = field(
        default=(), metadata={"help": "Addresses of proxies whose X-Forwarded-For is believed."}
    )
    identity_provider_ca: Path | None = field(
        default=None, metadata={"help": "PEM of further CAs that identity providers' certificates may come from."}
    )
    identity_providers_on_loopback: bool = field(
        default=False,
        metadata={
            "help": "Accept identity providers on this very host, over http too. For demonstrations and tests only."
        },
    )
    metrics_listen: str | None = field(default=None, metadata={"help": METRICS_HELP})
    log_level: str = field(
        default="info", metadata={"help": "How much is logged.", "choices": ("debug", "info", "warning", "error")}
    )
    log_json: bool | None = field(default=None, metadata={"help": "JSON lines. Default: when stderr is no terminal."})
    connections_max: int = field(
        default=10_000,
        metadata={"help": "Open connections of each process, agents included.", "min": 16, "max": 1_000_000},
    )

    sign_in_days: float = field(
        default=SESSION_LIFE_S / 86_400,
        metadata={
            "help": "Days for which a person's sign-in on a device lasts; then it must be repeated.",
            "min": 0.0002,
            "max": 365,
        },
    )
    access_token_s: int = field(
        default=ACCESS_LIFE_S,
        metadata={
            "help": "Seconds for which an access token lasts. Clients renew it under open connections; "
            "with the controller away, new connections work for as long.",
            "min": 10,
            "max": ACCESS_LIFE_S,
        },
    )
    connector_key_wait_s: int = field(
        default=0,
        metadata={
            "help": "Seconds from the announcement of a connector's next key to its use; 0: as long as an access token lasts, and "
            "a minute for clocks that differ. With less, clients may have to ask twice.",
            "min": 0,
            "max": 3600,
        },
    )
    signing_key_days: float = field(
        default=30.0,
        metadata={"help": "Days after which another key signs tokens, by itself; 0: never.", "min": 0, "max": 3650},
    )
    connections_keep_days: int = field(
        default=90, metadata={"help": "How long records of ended connections are kept.", "min": 1, "max": 36_500}
    )
    sinks_on_loopback: bool = field(
        default=False, metadata={"help": "Sinks may be on this host itself (a collector beside the controller)."}
    )
    connections_keep_rows: int = field(
        default=5_000_000,
        metadata={"help": "How many records of connections are kept at most.", "min": 1_000, "max": 1_000_000_000},
    )

    def __post_init__(self) -> None:
        if self.public_url is not None:
            parse_public_url(self.public_url)
        for url in self.agent_urls:
            parse_public_url(url, "agent_urls")
        if len(self.agent_urls) >= CONTROLLERS_MAX:
            raise LocalError(Reason.CONFIG_INVALID, f"agent_urls: at most {CONTROLLERS_MAX - 1}")
        if self.workers > 1 and self.effective_database_url.startswith("sqlite"):
            raise LocalError(
                Reason.CONFIG_INVALID,
                "workers: SQLite serves one process; set database_url to PostgreSQL, or workers to 1",
            )
        if self.tls == "files" and (self.tls_certificate is None or self.tls_key is None):
            raise LocalError(Reason.CONFIG_INVALID, "tls is `files`: set tls_certificate and tls_key")

    @property
    def effective_database_url(self) -> str:
        """The URL to open: the given one, or SQLite in the state directory."""
        return self.database_url or f"sqlite:///{self.state_dir.absolute() / DATABASE_FILE}"

    @property
    def has_database(self) -> bool:
        """False when the embedded database was not made yet; of another one nothing is known here."""
        return self.database_url is not None or (self.state_dir / DATABASE_FILE).is_file()

    def require_database(self) -> None:
        """Raises LocalError(NOT_SET_UP) before `init`."""
        if not self.has_database:
            raise LocalError(Reason.NOT_SET_UP, f"{self.state_dir} holds no database")


def parse_public_url(url: str, setting: str = "public_url") -> str:
    """Returns ``url`` in its canonical form (no trailing slash). Raises LocalError(CONFIG_INVALID) naming the ``setting``.

    It must be https: session cookies are ``__Host-`` cookies and agents refuse anything else.
    """
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as exc:
        raise LocalError(Reason.CONFIG_INVALID, f"{setting}: the port of {url!r} is not a number") from exc
    if parts.scheme != "https" or not parts.hostname or len(url) > CONTROLLER_URL_MAX:
        raise LocalError(Reason.CONFIG_INVALID, f"{setting}: {url!r} is not of the form https://HOST[:PORT]")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise LocalError(Reason.CONFIG_INVALID, f"{setting}: only https://HOST[:PORT], without a path")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}" if port in (None, 443) else f"https://{host}:{port}"


def host_of(public_url: str) -> str:
    """Returns the host name of a public URL."""
    return urlsplit(public_url).hostname or ""


def worker_metrics_socket(worker: int) -> str:
    """Returns the name, in the state directory, of the socket on which one of several workers serves metrics and health."""
    return f"metrics-{worker}.sock"
