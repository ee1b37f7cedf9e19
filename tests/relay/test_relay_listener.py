"""Binding: every address, one address, ports that are taken, names that are wrong."""

import socket

import pytest

from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.accepting import bind


def close(sockets: list[socket.socket]) -> set[int]:
    ports = {sock.getsockname()[1] for sock in sockets}
    for sock in sockets:
        sock.close()
    return ports


def test_every_address_means_both_families_with_one_port() -> None:
    sockets = bind("", 0)
    families = [sock.family for sock in sockets]
    assert socket.AF_INET in families
    assert len(close(sockets)) == 1


def test_a_host_without_ipv6_listens_on_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::dead", 0, 0, 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: found)
    sockets = bind("", 0)
    assert [sock.family for sock in sockets] == [socket.AF_INET]
    close(sockets)


def test_a_port_that_is_taken_is_named() -> None:
    taken = bind("127.0.0.1", 0)
    port = taken[0].getsockname()[1]
    with pytest.raises(LocalError) as caught:
        bind("127.0.0.1", port)
    assert caught.value.reason is Reason.PORT_IN_USE
    assert f"127.0.0.1:{port}" in caught.value.detail
    close(taken)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host.invalid"])
def test_an_address_that_is_not_ours_is_a_mistake_of_the_configuration(host: str) -> None:
    with pytest.raises(LocalError) as caught:
        bind(host, 0)
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert host in caught.value.detail
