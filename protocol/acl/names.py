"""Names and address patterns in one canonical form (threats T-31, T-34).

A name is compared as lower-case A-labels without a trailing dot: UTS 46 mapping (non-transitional), then IDNA 2008
(RFC 5891) per label, by the ``idna`` package. Python's own ``idna`` codec is banned: it passes NUL and ``*`` and turns
``ß`` into ``ss``. ASCII labels follow RFC 1123 and may also hold ``_``, because private networks use it.

A name whose last label is a number is refused: resolvers read ``127.1`` or ``0x7f.1`` as an address.
"""

import ipaddress
import re
from functools import lru_cache
from typing import Final

import idna

from protocol.acl.model import AddressPattern, CidrPattern, IPAddress, NamePattern
from protocol.errors import LocalError
from protocol.reasons import Reason

NAME_MAX_CHARS: Final = 253
"""RFC 1035 section 2.3.4, in presentation form without the trailing dot."""
_INPUT_MAX_CHARS: Final = 1024
"""Before mapping: bounds the work on hostile input."""
DISPLAY_NAME_MAX_CHARS: Final = 256

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}\Z")
_NUMBER: Final = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z")
_PREFIX: Final = re.compile(r"(?:0|[1-9][0-9]{0,2})\Z")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")


def is_canonical_name(text: str) -> bool:
    """Tells whether ``text`` has the shape that ``normalise_name`` returns; cheap, for the path of every connection."""
    return 0 < len(text) <= NAME_MAX_CHARS and _has_shape(text)


def is_display_name(text: str) -> bool:
    """Tells whether ``text`` may name a resource for people: 1 to 256 characters, no control or direction characters."""
    return 0 < len(text) <= DISPLAY_NAME_MAX_CHARS and _CONTROL.search(text) is None


def normalise_name(text: str) -> str:
    """Returns the canonical form of a host name.

    Raises:
        LocalError: INVALID_INPUT, with a detail that says what is wrong with it.
    """
    if is_canonical_name(text) and "xn--" not in text:
        return text
    if len(text) > _INPUT_MAX_CHARS:
        raise _invalid("the name is too long")
    try:
        mapped = idna.uts46_remap(text, std3_rules=False, transitional=False)
    except idna.IDNAError as exc:
        raise _invalid(f"{text!r}: {exc}") from exc
    labels = mapped.removesuffix(".").split(".")
    if "" in labels:
        raise _invalid(f"{text!r} has an empty label")
    name = ".".join(_a_label(label, text) for label in labels)
    if len(name) > NAME_MAX_CHARS:
        raise _invalid(f"the name is longer than {NAME_MAX_CHARS} characters")
    if not is_canonical_name(name):
        raise _invalid(f"{text!r} is not a host name")
    return name


def is_address(text: str) -> bool:
    """Tells whether ``text`` is an IP address; one with a zone is one, too."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def parse_address(text: str) -> IPAddress:
    """Returns the IP address in ``text``; a v4-mapped IPv6 address becomes the IPv4 address that it stands for.

    Raises:
        LocalError: INVALID_INPUT. Scoped addresses (``fe80::1%eth0``) are refused.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError as exc:
        raise _invalid(f"{text!r} is not an IP address") from exc
    if "%" in text:
        raise _invalid(f"{text!r}: an address with a zone has no meaning elsewhere")
    return unmapped(address)


def parse_host(text: str) -> str | IPAddress:
    """Returns an IP address or a canonical name: what ``Request.host`` takes. Raises LocalError(INVALID_INPUT)."""
    if ":" in text or _looks_like_ipv4(text):
        return parse_address(text)
    return normalise_name(text)


def parse_pattern(text: str) -> AddressPattern:
    """Returns the pattern that an admin wrote: a name, ``*.name``, an address or a CIDR.

    Raises:
        LocalError: INVALID_INPUT. For a CIDR with host bits the detail names the network that was probably meant.
    """
    if "/" in text:
        return CidrPattern(_parse_network(text))
    if ":" in text or _looks_like_ipv4(text):
        address = parse_address(text)
        return CidrPattern(ipaddress.ip_network(address))
    if text.startswith("*."):
        pattern = NamePattern(("*", *normalise_name(text[2:]).split(".")))
        if len(str(pattern)) > NAME_MAX_CHARS:
            raise _invalid(f"the name is longer than {NAME_MAX_CHARS} characters")
        return pattern
    if "*" in text:
        raise _invalid(f"{text!r}: `*` may only be the whole leftmost label, as in `*.corp.example`")
    return NamePattern(tuple(normalise_name(text).split(".")))


def unmapped(address: IPAddress) -> IPAddress:
    """Returns the IPv4 address inside a v4-mapped IPv6 address, and any other address unchanged (T-31)."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=4096)
def _has_shape(text: str) -> bool:
    """Remembered, because every connection asks three times for the same few names."""
    return _NAME.match(text) is not None and _NUMBER.match(text[text.rfind(".") + 1 :]) is None


def _a_label(label: str, text: str) -> str:
    """Checks an ASCII label, converts a Unicode one, and proves that an ``xn--`` one is what IDNA would have made."""
    try:
        if not label.isascii():
            return idna.alabel(label).decode("ascii")
        if label.startswith("xn--"):
            if idna.alabel(idna.ulabel(label)).decode("ascii") != label:
                raise _invalid(f"{text!r}: the label {label!r} is not canonical")
            return label
    except (idna.IDNAError, UnicodeError) as exc:
        raise _invalid(f"{text!r}: {exc}") from exc
    return label


def _looks_like_ipv4(text: str) -> bool:
    return text.count(".") == 3 and text.replace(".", "").isdigit()


def _parse_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    address, _, prefix = text.partition("/")
    if _PREFIX.match(prefix) is None:
        raise _invalid(f"{text!r}: write the prefix length as a number, as in `10.0.0.0/8`")
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as exc:
        raise _invalid(f"{text!r} is not a network") from exc
    if "%" in text:
        raise _invalid(f"{text!r}: an address with a zone has no meaning elsewhere")
    if ipaddress.ip_address(address) != network.network_address:
        raise _invalid(f"{text!r} has host bits set; the network is {network}")
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        raise _invalid(f"{text!r} is an IPv4 network in IPv6 clothing; write it as IPv4")
    return network


def _invalid(detail: str) -> LocalError:
    return LocalError(Reason.INVALID_INPUT, detail)
