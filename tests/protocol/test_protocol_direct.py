"""Addresses that connectors advertise: their one form, and those that no client may be sent to."""

import pytest

from protocol.direct import parse_all_untrusted, parse_direct_untrusted
from protocol.errors import RemoteProtocolError
from protocol.limits import DIRECT_ADDRESSES_MAX


@pytest.mark.parametrize("text", ["10.0.0.5:7443", "192.0.2.7:1", "[fd00::5]:65535", "100.64.0.1:443"])
def test_an_address_has_one_form(text: str) -> None:
    assert str(parse_direct_untrusted(text)) == text


def test_another_spelling_becomes_that_form() -> None:
    assert str(parse_direct_untrusted("[FD00:0::5]:0443")) == "[fd00::5]:443"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0.5",
        ":443",
        "10.0.0.5:",
        "10.0.0.5:0",
        "10.0.0.5:65536",
        "10.0.0.5:4\u0664",
        "10.0.0.5:-1",
        "office.example:443",
        "fd00::5:443",
        "[10.0.0.5]:443",
        "[fd00::5%eth0]:443",
        "10.0.0.5:443 ",
        "[" + "0" * 100 + "::1]:443",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_direct_untrusted(text)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "[::]",
        "[::1]",
        "[fe80::1]",
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
    ],
)
def test_t31_no_client_is_led_to_its_own_host_its_link_or_a_cloud(host: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_direct_untrusted(f"{host}:443")


def test_a_list_is_bounded_and_what_cannot_be_read_is_left_out() -> None:
    assert parse_all_untrusted(["127.0.0.1:1", "nonsense"]) == ()
    assert len(parse_all_untrusted(["10.0.0.5:443", "10.0.0.5:443"])) == 1
    assert len(parse_all_untrusted(f"10.0.0.{number}:443" for number in range(1, 200))) == DIRECT_ADDRESSES_MAX
