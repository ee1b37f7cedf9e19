"""The controller's database: the log, its feed, and the repositories around it. The only package that knows SQL."""

from controller.store.chain import ChainFault, ChainReport
from controller.store.events import EventFilter, StoredEvent
from controller.store.feed import Feed, Subscription
from controller.store.store import Store, audit
from controller.store.unit import Unit

__all__ = ["ChainFault", "ChainReport", "EventFilter", "Feed", "Store", "StoredEvent", "Subscription", "Unit", "audit"]
