"""Sets and multimaps made of persistent maps: every change returns a new value and shares the rest.

``immutables.Map`` iterates in no useful order, so whoever shows or signs something sorts it first.
"""

from collections.abc import Hashable
from typing import TypeVar

from immutables import Map

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)


def put(index: Map[K, Map[V, None]], key: K, value: V) -> Map[K, Map[V, None]]:
    """Adds ``value`` to the set at ``key``."""
    return index.set(key, index.get(key, Map[V, None]()).set(value, None))


def discard(index: Map[K, Map[V, None]], key: K, value: V) -> Map[K, Map[V, None]]:
    """Takes ``value`` out of the set at ``key``; an empty set leaves no key behind, so that equal folds stay equal."""
    members = index.get(key)
    if members is None or value not in members:
        return index
    rest = members.delete(value)
    return index.set(key, rest) if rest else index.delete(key)


def without(index: Map[K, V], key: K) -> Map[K, V]:
    """The map without ``key``, which may be absent."""
    return index.delete(key) if key in index else index
