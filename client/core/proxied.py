"""What a program that uses the proxy mode asks for, by name or address: a resource, something else, or nothing at all (C8)."""

from dataclasses import dataclass

from client.core.classify import Classifier, Denial, Target
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
    classifier: Classifier, text: str, transport: Transport, port: int, wall: float
) -> Target | Denial | Elsewhere:
    """Judges a destination as it was typed; ``wall`` is Unix seconds.

    What is named by its remote network is looked for there and nowhere else.

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
    if verdict.reason is Reason.NOT_A_RESOURCE and not located:
        return Elsewhere(host)
    return Denial(host, transport, port, verdict.reason, verdict.resource)
