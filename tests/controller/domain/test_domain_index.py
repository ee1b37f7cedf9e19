"""Persistent sets."""

from immutables import Map

from controller.domain.index import discard, put, without


def test_what_is_put_in_and_taken_out_leaves_no_trace() -> None:
    empty: Map[str, Map[int, None]] = Map()
    one = put(put(empty, "a", 1), "a", 1)
    two = put(one, "a", 2)
    assert set(two["a"]) == {1, 2}
    assert set(one["a"]) == {1}
    assert discard(two, "a", 2) == one
    assert discard(one, "a", 1) == empty
    assert discard(one, "b", 1) is one
    assert discard(one, "a", 7) is one


def test_without_takes_what_is_there() -> None:
    table: Map[str, int] = Map({"a": 1})
    assert without(table, "b") is table
    assert not without(table, "a")
