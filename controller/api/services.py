"""Everything that a request may need, made once at start (``controller.app``) and handed down explicitly."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from controller.api.destination_tests import DestinationTests, NoConnectors
from controller.api.event_stream import Streams
from controller.api.presence import Nobody, Presence
from controller.delivery.stats import SinkStats
from controller.domain.state import PolicyState
from controller.identity.ca import CertificateAuthority
from controller.identity.failure_log import FailureLog
from controller.identity.keyring import KeyRing
from controller.identity.passwords import Passwords
from controller.identity.provider_client import ProviderClient
from controller.identity.rate_limit import Proven, RateLimiter
from controller.identity.sealing import Seal
from controller.identity.web_sessions import Activity
from controller.settings import Settings, parse_public_url
from controller.store import Store
from controller.store.history import History
from protocol.ids import SpkiPin
from runtime.clock import Clock


def _limiter(name: str, per_minute: float, burst: int) -> Callable[[], RateLimiter]:
    return lambda: RateLimiter(name, per_minute=per_minute, burst=burst)


@dataclass(frozen=True, slots=True)
class Limits:
    """Who may try what how often (S-9, D10). By address: an IPv4 address or an IPv6 /64."""

    sign_in_address: RateLimiter = field(default_factory=_limiter("sign-in", 20, 20))
    sign_in_account: RateLimiter = field(default_factory=_limiter("sign-in of this account", 6, 10))
    second_factor: RateLimiter = field(default_factory=_limiter("one-time code", 0.5, 10))
    """By account. Three codes in a million are right at any time: at this rate a guesser needs ten months for even odds."""
    failed_session: RateLimiter = field(default_factory=_limiter("sign-in", 600, 600))
    """Requests whose session or token is none, by address."""
    public: RateLimiter = field(default_factory=_limiter("request", 600, 300))
    """What needs no session, by address, whatever else limits it."""
    identity_provider: RateLimiter = field(default_factory=_limiter("sign-in", 20, 20))
    """Sign-ins through identity providers that are begun or ended, by address."""
    user_code: RateLimiter = field(default_factory=_limiter("wrong code", 6, 10))
    """Wrong user codes, by address and by account."""
    user_code_everybody: RateLimiter = field(default_factory=_limiter("wrong code", 120, 120))
    device_start: RateLimiter = field(default_factory=_limiter("device sign-in", 20, 20))
    poll: RateLimiter = field(default_factory=_limiter("poll", 600, 200))
    access_request: RateLimiter = field(default_factory=_limiter("request for access", 6, 30))
    enrol: RateLimiter = field(default_factory=_limiter("enrolment", 20, 20))
    setup: RateLimiter = field(default_factory=_limiter("set-up", 6, 10))
    """Wrong set-up tokens, by address."""
    connector_test: RateLimiter = field(default_factory=_limiter("test", 30, 10))
    """Destinations that are tested, by person."""


@dataclass(slots=True)
class Services:
    """One per process."""

    settings: Settings
    clock: Clock
    store: Store
    seal: Seal
    ca: CertificateAuthority
    keyring: KeyRing
    passwords: Passwords
    providers: ProviderClient
    presence: Presence = field(default_factory=Nobody)
    destination_tests: DestinationTests = field(default_factory=NoConnectors)
    limits: Limits = field(default_factory=Limits)
    activity: Activity = field(default_factory=Activity)
    proven: Proven = field(default_factory=Proven)
    sinks: dict[str, SinkStats] = field(default_factory=dict)
    """What this process has delivered, by the sinks' names; empty unless it is the leader."""
    failures: FailureLog = field(default_factory=FailureLog)
    history: History = field(init=False)
    streams: Streams = field(init=False)
    planning: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One plan at a time is worked out: each takes a core."""

    def __post_init__(self) -> None:
        self.history = History(self.store)
        self.streams = Streams(self.clock)

    @property
    def state(self) -> PolicyState:
        """The latest policy."""
        return self.store.feed.state

    @property
    def public_url(self) -> str:
        """The setting, else what `init` wrote into the log."""
        return self.settings.public_url.rstrip("/") if self.settings.public_url else self.state.public_url

    @property
    def enrolment_pin(self) -> SpkiPin | None:
        """What enrolment tokens tell agents to trust: our CA, unless the certificate comes from elsewhere."""
        return self.ca.pin if self.settings.tls == "internal" else None

    @property
    def audiences(self) -> tuple[str, ...]:
        """The URLs under which agents may have dialled this controller; proofs name one of them."""
        port = urlsplit(self.public_url).port
        hosts = (f"[{name}]" if ":" in name else name for name in self.settings.extra_hostnames)
        others = (f"https://{host}" if port in (None, 443) else f"https://{host}:{port}" for host in hosts)
        return (self.public_url, *others, *self.agent_urls)

    @property
    def agent_urls(self) -> tuple[str, ...]:
        """The addresses of single replicas, in canonical form."""
        return tuple(parse_public_url(url, "agent_urls") for url in self.settings.agent_urls)

    @property
    def announced_urls(self) -> tuple[str, ...]:
        """What agents are told: the public URL too, because an agent may have been given that of a replica (F-7)."""
        return (self.public_url, *self.agent_urls) if self.agent_urls else ()
