"""The bounded queue of an association."""

from client_policy import entry

from client.core.association import Association
from client.core.classify import Target
from protocol.acl.model import Transport
from protocol.limits import DATAGRAM_QUEUE


def test_oldest_is_dropped_first_and_counted() -> None:
    association = Association(b"k" * 12, Target("a", Transport.UDP, 53, entry("a.internal")), 5000, 0.0)
    wakes = [association.queue(str(number).encode()) for number in range(DATAGRAM_QUEUE + 3)]
    assert wakes == [True] + [False] * (DATAGRAM_QUEUE + 2)
    assert association.dropped == 3
    assert association.outgoing[0] == b"3"
    assert len(association.outgoing) == DATAGRAM_QUEUE
