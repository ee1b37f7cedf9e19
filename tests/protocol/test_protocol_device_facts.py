"""Device facts on the wire: total, bounded, and what is unknown stays unknown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.device_facts import FACT_MAX, DeviceFacts, facts_from_wire_untrusted, facts_to_wire

WORDS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=FACT_MAX)
LOWER = WORDS.map(str.lower)
FLAGS = st.none() | st.booleans()


@given(st.builds(DeviceFacts, LOWER, LOWER, WORDS, WORDS, WORDS, FLAGS, FLAGS))
def test_what_is_written_is_read(facts: DeviceFacts) -> None:
    assert facts_from_wire_untrusted(facts_to_wire(facts)) == facts


def test_only_what_is_known_is_said() -> None:
    assert facts_to_wire(DeviceFacts()) == {}
    assert facts_to_wire(DeviceFacts(os="linux", firewall=False)) == {"os": "linux", "firewall": "no"}


@pytest.mark.parametrize("flag", ["", "true", "YES", "1", "no ", "maybe"])
def test_a_flag_is_yes_or_no(flag: str) -> None:
    assert facts_from_wire_untrusted({"disk_encrypted": flag}).disk_encrypted is None


@given(st.dictionaries(st.sampled_from(["os", "version", "firewall", "else"]), st.text()))
def test_t74_nothing_that_a_device_says_is_an_error_or_forges_a_line(said: dict[str, str]) -> None:
    facts = facts_from_wire_untrusted(said)
    for text in (facts.os, facts.version):
        assert len(text) <= FACT_MAX
        assert text.isascii()
        assert text == "" or text.isprintable()
