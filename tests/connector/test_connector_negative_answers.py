"""How long the absence of a name is believed (RFC 2308 section 5)."""

import dns.message
import dns.rcode
import dns.rrset
import pytest
from fake_dns import FakeDns, fake_dns

from connector.resolver import NEGATIVE_TTL_S, Resolver
from runtime.clock import SystemClock


class Authority(FakeDns):
    """Says with each NXDOMAIN how long it holds."""

    soa_ttl = 300
    minimum = 300

    def reply(self, query: dns.message.Message) -> dns.message.Message | None:
        reply = super().reply(query)
        if reply is not None and reply.rcode() == dns.rcode.NXDOMAIN:
            text = f"ns.corp. hostmaster.corp. 1 3600 600 86400 {self.minimum}"
            reply.authority.append(dns.rrset.from_text("corp.", self.soa_ttl, "IN", "SOA", text))
        return reply


@pytest.mark.parametrize(("soa_ttl", "minimum", "ttl"), [(300, 60, 60), (30, 60, 30), (0, 0, 1)])
async def test_a_name_is_absent_for_as_long_as_its_zone_says(soa_ttl: int, minimum: int, ttl: int) -> None:
    server = Authority()
    server.soa_ttl, server.minimum = soa_ttl, minimum
    async with fake_dns(server):
        found = await Resolver(SystemClock(), [("127.0.0.1", server.port)]).resolve("none.corp")
    assert (found.rcode, found.ttl) == (dns.rcode.NXDOMAIN, ttl)


async def test_without_a_word_of_the_zone_it_is_believed_for_a_moment() -> None:
    server = FakeDns()
    async with fake_dns(server):
        found = await Resolver(SystemClock(), [("127.0.0.1", server.port)]).resolve("none.corp")
    assert (found.rcode, found.ttl) == (dns.rcode.NXDOMAIN, round(NEGATIVE_TTL_S))
