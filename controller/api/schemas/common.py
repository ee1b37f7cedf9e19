"""What several schemas share: strict input, pages, times, ids, ports."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from controller.domain.rules import PORT_RANGES_MAX
from protocol.acl.model import PortRange
from protocol.acl.model import Ports as DomainPorts

T = TypeVar("T")

PAGE_DEFAULT: Final = 100
PAGE_MAX: Final = 500
_PORTS: Final = re.compile(r"([1-9][0-9]{0,4})(?:-([1-9][0-9]{0,4}))?\Z")


class Input(BaseModel):
    """Base of request bodies: unknown members are errors (T-16), strings are taken as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Output(BaseModel):
    """Base of answers."""

    model_config = ConfigDict(frozen=True)


class Page(Output, Generic[T]):
    """One page of a list. Ask again with ``cursor=<next_cursor>``; null means that this is the last page."""

    items: list[T]
    next_cursor: str | None = Field(None, description="Opaque; null on the last page.")


def example(**value: Any) -> ConfigDict:
    """The model configuration that shows ``value`` in the API document."""
    return ConfigDict(frozen=True, json_schema_extra={"examples": [value]})


def input_example(**value: Any) -> ConfigDict:
    """``example`` for a request body."""
    return ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [value]})


def from_ms(ms: int) -> datetime:
    """Unix milliseconds as an aware time."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def from_s(seconds: float) -> datetime:
    """Unix seconds as an aware time."""
    return datetime.fromtimestamp(seconds, UTC)


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("the time needs an offset, for example 2026-11-22T12:00:00Z")
    if not 2000 <= value.year <= 2200:
        raise ValueError("the time is out of range")
    return value


def _not_a_number(value: object) -> object:
    if isinstance(value, int | float):
        raise ValueError("the time is an RFC 3339 text, for example 2026-11-22T12:00:00Z")  # noqa: TRY004 - pydantic
    return value


Moment = Annotated[datetime, BeforeValidator(_not_a_number), AfterValidator(_aware)]
"""RFC 3339 with an offset."""


def _encodable(value: str) -> str:
    # JSON can spell lone surrogates, which neither UTF-8 nor a database can hold.
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise ValueError("the text holds half of a surrogate pair") from exc
    if "\0" in value:
        raise ValueError("the text holds a NUL character")
    return value


Text = Annotated[str, AfterValidator(_encodable)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_encodable)]
"""The domain's own rule for names decides; this bound only keeps nonsense away from it."""
Id = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_encodable)]
Role = Literal["owner", "admin", "network-admin", "access-approver", "auditor", "member"]
SubjectKind = Literal["user", "group", "service_account"]


def _port_range(value: str) -> str:
    match = _PORTS.match(value)
    if match is None:
        raise ValueError("a port is a number or a range, for example 443 or 8000-8100")
    first, last = int(match[1]), int(match[2] or match[1])
    if not first <= last <= 65535:
        raise ValueError("a port range goes from a lower to a higher port, at most 65535")
    return value


PortText = Annotated[str, Field(max_length=11, examples=["443", "8000-8100"]), AfterValidator(_port_range)]


class Ports(BaseModel):
    """Which ports of which transports. What is not named is not allowed; every port is `1-65535`."""

    model_config = input_example(tcp=["443", "8000-8100"], udp=[], icmp=True)

    tcp: list[PortText] = Field(default_factory=list, max_length=PORT_RANGES_MAX)
    udp: list[PortText] = Field(default_factory=list, max_length=PORT_RANGES_MAX)
    icmp: bool = Field(False, description="ICMP echo (ping).")

    def to_domain(self) -> DomainPorts:
        """The domain's value."""
        return DomainPorts(tuple(map(_range, self.tcp)), tuple(map(_range, self.udp)), self.icmp)

    @classmethod
    def of(cls, ports: DomainPorts) -> "Ports":
        """The API's form of the domain's value."""
        return cls(tcp=[str(item) for item in ports.tcp], udp=[str(item) for item in ports.udp], icmp=ports.icmp)


def _range(text: str) -> PortRange:
    first, _, last = text.partition("-")
    return PortRange(int(first), int(last or first))
