"""The controller's database: the log, its feed, and the repositories around it. The only package that knows SQL.

``Connection`` is what others hand on to repositories without looking into it.
"""

from sqlalchemy.ext.asyncio import AsyncConnection as Connection

from controller.store.chain import ChainFault, ChainReport
from controller.store.events import EventFilter, StoredEvent
from controller.store.feed import Feed, Subscription
from controller.store.store import Store
from controller.store.unit import Unit

__all__ = [
    "ChainFault",
    "ChainReport",
    "Connection",
    "EventFilter",
    "Feed",
    "Store",
    "StoredEvent",
    "Subscription",
    "Unit",
]
