"""What a program that uses the proxy mode asks for, by name or address: a resource, something else, or nothing at all (C8)."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from client.core.classify import Classifier, Denial, Target
from client.core.dns_guard import NameGuard
from client.core.network_names import is_network_name
from protocol.acl.decide import decide
from protocol.acl.model import IPAddress, Permit, Request, Transport
from protocol.acl.names import parse_host
from protocol.errors import RefusedError
from protocol.reasons import Reason


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """It is no resource: this host's own network serves it, as if there were no proxy."""

    host: str | IPAddress


def judge(
    classifier: Classifier, text: str, transport: Transport, port: int, wall: float, guard: NameGuard | None = None
) -> Target | Denial | Elsewhere:
    """Judges a destination as it was typed; ``wall`` is Unix seconds.

    What is named by its remote network is looked for there and nowhere else. A name that ``guard`` covers and that is no
    resource now is refused: strict DNS asks nobody about it (T-55).

    Raises:
        OstiaryError: INVALID_INPUT for what is neither name nor address, NAME_NOT_FOUND for the name of a network that is none.
    """
    host = parse_host(text)
    index, located = classifier.index, False
    if isinstance(host, str) and is_network_name(host):
        found = classifier.locate(host)
        if found is None:
            raise RefusedError(Reason.NAME_NOT_FOUND, host)
        (host, index), located = found, True
    verdict = decide(index, Request(host, transport, port), wall)
    if isinstance(verdict, Permit):
        return Target(host, transport, port, verdict.entry)
    if verdict.reason is not Reason.NOT_A_RESOURCE or located:
        return Denial(host, transport, port, verdict.reason, verdict.resource)
    if guard is not None and isinstance(host, str) and guard.covers(host):
        return Denial(host, transport, port, classifier.blocked or Reason.NAME_WITHHELD)
    return Elsewhere(host)


def judge_addresses(
    classifier: Classifier, addresses: Iterable[str], transport: Transport, port: int, wall: float
) -> Target | Denial | None:
    """Judges what the name of no resource stands for; None when all of it is elsewhere (T-53).

    An address of a resource decides, whichever it is of several: one that permits before one that refuses. This host itself
    is never a resource's, and a zone (``fe80::1%eth0``) does not count.
    """
    refused: Denial | None = None
    for text in addresses:
        bare = text.partition("%")[0]
        if ipaddress.ip_address(bare).is_loopback:
            continue
        found = judge(classifier, bare, transport, port, wall)
        if isinstance(found, Target):
            return found
        if isinstance(found, Denial):
            refused = refused or found
    return refused
