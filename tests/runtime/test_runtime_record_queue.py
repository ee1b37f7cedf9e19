"""Records: kept until acknowledged, bounded, losses counted (T-9, S-13)."""

from dataclasses import replace

from connector_world import flow_id
from flow_records import connector_record
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.control import Records
from protocol.control_codec import encode
from protocol.limits import CONTROL_MESSAGE_MAX_BYTES
from runtime.record_queue import SPLIT_AFTER, RecordQueue


def test_a_batch_is_resent_until_it_is_acknowledged() -> None:
    queue = RecordQueue()
    for number in range(3):
        queue.add(connector_record(number))
    first = queue.next_batch(2)
    assert [item.flow for item in first.records] == [flow_id(0), flow_id(1)]
    queue.add(connector_record(3))
    assert queue.next_batch(2) is first
    queue.acknowledged()
    assert [item.flow for item in queue.next_batch(2).records] == [flow_id(2), flow_id(3)]
    queue.acknowledged()
    assert not queue.next_batch(2)
    assert len(queue) == 0


def test_a_full_queue_drops_the_oldest_and_counts() -> None:
    queue = RecordQueue(limit=3)
    for number in range(5):
        queue.add(connector_record(number))
    assert queue.dropped == 2
    assert [item.flow for item in queue.next_batch().records] == [flow_id(2), flow_id(3), flow_id(4)]
    queue.add(connector_record(5))  # everything is on its way: the new one is what does not fit
    assert queue.dropped == 3
    assert len(queue) == 3


def test_a_record_that_the_controller_chokes_on_does_not_keep_the_others_back() -> None:
    queue = RecordQueue()
    for number in range(100):
        queue.add(connector_record(number))
    poison, delivered, rounds = flow_id(37), [], 0
    while batch := queue.next_batch():
        rounds += 1
        if any(item.flow == poison for item in batch.records):
            queue.came_back()
        else:
            delivered += [item.flow for item in batch.records]
            queue.acknowledged()
    assert delivered == [flow_id(number) for number in range(100) if number != 37]
    assert queue.dropped == 1
    assert rounds < 60


@settings(deadline=None)
@given(st.lists(st.sampled_from(["add", "send", "ack"]), max_size=60), st.integers(1, 5))
def test_t9_every_record_is_sent_or_counted(words: list[str], limit: int) -> None:
    queue = RecordQueue(limit=limit)
    added, delivered, on_the_way = 0, 0, 0
    for word in words:
        if word == "add":
            queue.add(connector_record(added))
            added += 1
        elif word == "send":
            on_the_way = len(queue.next_batch(2))
        else:
            queue.acknowledged()
            delivered += on_the_way
            on_the_way = 0
        assert len(queue) <= limit
        assert added == delivered + len(queue) + queue.dropped


def test_a_start_that_was_not_sent_is_replaced_by_its_end() -> None:
    queue = RecordQueue()
    for number in range(3):
        queue.opened(connector_record(number))
    queue.add(connector_record(1))
    batch = queue.next_batch()
    assert [item.flow for item in batch.opened] == [flow_id(0), flow_id(2)]
    assert [item.flow for item in batch.records] == [flow_id(1)]
    queue.add(connector_record(0))
    assert queue.next_batch() is batch
    queue.acknowledged()
    assert [item.flow for item in queue.next_batch().records] == [flow_id(0)]


def test_a_start_never_pushes_out_an_end() -> None:
    queue = RecordQueue(limit=2)
    queue.add(connector_record(1))
    queue.opened(connector_record(2))
    queue.opened(connector_record(3))
    queue.add(connector_record(4))
    batch = queue.next_batch()
    assert ([item.flow for item in batch.records], batch.opened, queue.dropped) == ([flow_id(1), flow_id(4)], (), 0)


def test_a_batch_that_comes_back_is_halved_with_its_starts() -> None:
    queue = RecordQueue()
    for number in range(4):
        queue.opened(connector_record(number))
    queue.next_batch()
    for _ in range(SPLIT_AFTER):
        queue.came_back()
    assert [item.flow for item in queue.next_batch().opened] == [flow_id(0), flow_id(1)]


def test_a_message_stays_below_what_the_controller_takes() -> None:
    queue = RecordQueue()
    many = replace(connector_record(0), grants=tuple(f"gra_{number:022}" for number in range(256)))
    for number in range(500):
        queue.add(replace(many, flow=flow_id(number)))
    sent = 0
    while batch := queue.next_batch():
        assert len(encode(Records(1, batch.records, batch.opened))) < CONTROL_MESSAGE_MAX_BYTES
        sent += len(batch)
        queue.acknowledged()
    assert sent == 500
