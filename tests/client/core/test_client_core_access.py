"""Which token is used, and when the next one is asked for."""

from ipaddress import ip_address

from client_policy import WALL, access, authorisation, entry

from client.core.access import MARGIN_S, RETRY_AFTER_S, AccessBook, AuthorisationBook
from protocol.acl.model import Request, Transport
from protocol.ids import ConnectorId, ResourceId

CON = ConnectorId("con_1")
REQUEST = Request(ip_address("10.0.0.1"), Transport.TCP, 443)


def test_token_is_usable_until_just_before_its_end() -> None:
    book = AccessBook()
    assert book.usable(CON, WALL) is None
    token = access()
    book.store(token, WALL)
    assert book.usable(CON, WALL) is token
    assert book.usable(CON, WALL + 300 - MARGIN_S - 1) is token
    assert book.usable(CON, WALL + 300 - MARGIN_S) is None
    assert book.usable(ConnectorId("con_2"), WALL) is None


def test_token_that_does_not_permit_the_request_is_not_used() -> None:
    book = AccessBook()
    book.store(access(), WALL)
    assert book.usable(CON, WALL, REQUEST) is None
    newer = access(entry("10.0.0.0/8"), revision=2)
    book.store(newer, WALL)
    assert book.usable(CON, WALL, REQUEST) is newer


def test_older_token_does_not_replace_a_newer_one() -> None:
    book = AccessBook()
    newer = access(issued_at=WALL + 10, revision=2)
    book.store(newer, WALL)
    book.store(access(), WALL)
    book.store(access(issued_at=WALL + 10, revision=1), WALL)
    assert book.usable(CON, WALL) is newer


def test_a_newer_token_counts_also_when_it_ends_sooner() -> None:
    book = AccessBook()
    book.keep(CON)
    book.store(access(life_s=300), WALL)
    shorter = access(issued_at=WALL + 1, life_s=10)
    book.store(shorter, WALL + 1)
    assert book.usable(CON, WALL + 2) is shorter
    assert book.due(WALL + 8) == (CON,)


def test_renewed_at_sixty_percent_while_the_tunnel_is_in_use() -> None:
    book = AccessBook()
    book.store(access(life_s=300), WALL)
    assert book.due(WALL + 299) == ()
    assert book.deadline() is None
    book.keep(CON)
    book.keep(ConnectorId("con_2"))  # no token yet: asked for by whoever opens the tunnel
    assert book.deadline() == (WALL + 180, "renew_access")
    assert book.due(WALL + 179) == ()
    assert book.due(WALL + 180) == (CON,)
    assert book.due(WALL + 180 + RETRY_AFTER_S - 1) == ()
    assert book.due(WALL + 180 + RETRY_AFTER_S) == (CON,)
    book.store(access(issued_at=WALL + 190, life_s=300), WALL + 190)
    assert book.deadline() == (WALL + 190 + 180, "renew_access")
    book.release(CON)
    assert book.deadline() is None


def test_token_that_arrives_late_is_renewed_by_what_is_left() -> None:
    book = AccessBook()
    book.keep(CON)
    book.store(access(life_s=300), WALL + 200)
    assert book.deadline() == (WALL + 200 + 60, "renew_access")


def test_refused_token_is_never_used_again() -> None:
    book = AccessBook()
    book.store(access(), WALL)
    book.drop(CON)
    book.drop(CON)
    assert book.usable(CON, WALL) is None


def test_sign_out_forgets_everything() -> None:
    book = AccessBook()
    book.keep(CON)
    book.store(access(), WALL)
    book.clear()
    assert book.usable(CON, WALL) is None
    book.store(access(), WALL)
    assert book.deadline() is None


def test_authorisation_lives_for_its_time() -> None:
    book = AuthorisationBook()
    resource = ResourceId("res_1")
    assert book.usable(resource, WALL) is None
    token = authorisation("res_1", expires=WALL + 60)
    book.store(token)
    assert book.usable(resource, WALL + 60 - MARGIN_S - 1) is token
    assert book.usable(resource, WALL + 60 - MARGIN_S) is None
    assert book.usable(resource, WALL) is None  # dropped when it was seen to be over


def test_authorisations_are_dropped() -> None:
    book = AuthorisationBook()
    book.store(authorisation("res_1"))
    book.store(authorisation("res_2"))
    book.drop(ResourceId("res_1"))
    book.drop(ResourceId("res_1"))
    assert book.usable(ResourceId("res_1"), WALL) is None
    assert book.usable(ResourceId("res_2"), WALL) is not None
    book.clear()
    assert book.usable(ResourceId("res_2"), WALL) is None
