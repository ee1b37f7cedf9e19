"""Runs inside a ``resolver_host``: name servers that remember what they were asked, and the client's resolver settings.

Roles: ``client`` has a TUN device, our name server and the settings; ``upstream`` is the host's own name server. Orders come
as JSON lines on standard input, and each is answered by one.
"""

import json
import socket
import sys
import threading
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rrset
from resolver_host import UPSTREAM

from client.core.dns_guard import NameGuard
from client.core.dns_zones import zones
from client.host.guard_link import GUARD_SERVER
from client.host.journal import Journal
from client.host.netlink import Netlink
from client.host.resolver_settings import ResolverSettings, choose_resolver_settings
from client.host.strict_journal import open_strict
from client.host.tun import TunDevice

OURS = IPv4Address("100.96.0.1")
ANSWERS = {"client": "100.96.0.9", "upstream": "203.0.113.9"}


class Server:
    """Answers every A question with one address."""

    def __init__(self, address: str, answer: str) -> None:
        self.asked: list[str] = []
        self._answer = answer
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind((address, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            data, peer = self._sock.recvfrom(4096)
            query = dns.message.from_wire(data)
            question = query.question[0]
            self.asked.append(question.name.to_text().rstrip(".").lower())
            reply = dns.message.make_response(query)
            reply.flags |= dns.flags.RA
            if question.rdtype == 1:
                reply.answer.append(dns.rrset.from_text(question.name, 1, "IN", "A", self._answer))
            self._sock.sendto(reply.to_wire(), peer)


class Client:
    """Our side."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._device = TunDevice.open(mtu=1500)
        self._device.up()
        with Netlink() as netlink:
            netlink.add_address(self._device.index, OURS)
        self.servers = [Server(str(address), ANSWERS["client"]) for address in (OURS, GUARD_SERVER)]
        self._settings: ResolverSettings | None = None
        self._guard = NameGuard(strict=False)

    def order(self, do: str, options: dict[str, Any]) -> Any:
        if do == "take":
            strict = self._guard.strict = bool(options.get("strict"))
            journal = open_strict(self._state) if strict else Journal(self._state / "undo.journal")
            servers = [GUARD_SERVER if strict else OURS]
            settings = self._settings = choose_resolver_settings(journal, self._device, servers, strict=strict)
            upstreams = settings.upstreams()
            self._guard.search(settings.searches())
            settings.apply(self._zones(options["domains"]))
            return {"name": settings.name, "upstreams": upstreams}
        taken = self._settings
        assert taken is not None
        if do == "update":
            return taken.update(self._zones(options["domains"]))
        return {
            "repair": taken.repair,
            "upstreams": taken.upstreams,
            "searches": taken.searches,
            "restore": taken.restore,
            "asked_at": taken.asked,
        }[do]()

    def _zones(self, domains: list[str]) -> tuple[str, ...]:
        """As the daemon routes them."""
        return zones((*domains, *self._guard.searched(domains)), [], searches=self._guard.searches)


def orders() -> Iterator[dict[str, Any]]:
    """What is wanted, line by line."""
    for line in sys.stdin:
        yield json.loads(line)


def main() -> None:
    """Serves until standard input ends."""
    role, state = sys.argv[1], Path(sys.argv[2])
    client = Client(state) if role == "client" else None
    servers = client.servers if client is not None else [Server(UPSTREAM, ANSWERS["upstream"])]
    for order in orders():
        do = order.pop("do")
        try:
            if do == "asked":
                result = [name for server in servers for name in server.asked]
            else:
                assert client is not None
                result = client.order(do, order)
            print(json.dumps({"result": result}), flush=True)
        except Exception as exc:
            print(json.dumps({"error": f"{type(exc).__name__}: {exc}"}), flush=True)


if __name__ == "__main__":
    main()
