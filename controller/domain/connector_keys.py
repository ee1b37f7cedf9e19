"""Which certificates of a connector clients may expect (C5, F-23).

enrolled  --announced-->  key and next key  --rotated-->  the next key; the former one's pin for a while
"""

from controller.domain.model import Connector
from protocol.ids import SpkiPin


def pins_of(connector: Connector, now: float) -> tuple[SpkiPin, ...]:
    """Returns the pins at ``now`` (Unix seconds): current, next, former. Empty before it is enrolled."""
    former = connector.former_pin if now < connector.former_until else None
    known = (connector.pin, connector.next_pin, former)
    return tuple(dict.fromkeys(pin for pin in known if pin is not None))
