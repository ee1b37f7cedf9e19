"""The hash chain by itself: every field counts, and a fault is found where it is (property)."""

import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.store.chain import GENESIS, ChainVerifier, Row, canonical_json, row_hash

HASHED = [name for name in Row._fields if name != "hash"]


def chain(count: int) -> list[Row]:
    rows: list[Row] = []
    head = GENESIS
    for position in range(1, count + 1):
        row = Row(position, f"s{position}", 1, "t/1", "{}", "me", position * 1000, "req", head, "")
        head = digest(row)
        rows.append(row._replace(hash=head))
    return rows


def digest(row: Row) -> str:
    return row_hash(
        position=row.position,
        stream=row.stream,
        version=row.version,
        event_type=row.type,
        data=row.data,
        actor=row.actor,
        at_ms=row.at_ms,
        request_id=row.request_id,
        previous_hash=row.previous_hash,
    )


def first_fault(rows: list[Row]) -> int | None:
    verifier = ChainVerifier()
    for row in rows:
        verifier.check(row)
    faults = verifier.report().faults
    return faults[0].position if faults else None


def test_a_whole_chain_has_no_fault() -> None:
    verifier = ChainVerifier()
    rows = chain(5)
    assert [verifier.check(row) for row in rows] == [None] * 5
    report = verifier.report()
    assert (report.checked, report.log_head, report.faults) == (5, rows[-1].hash, ())
    assert ChainVerifier().report().log_head == GENESIS


@settings(max_examples=60)
@given(st.integers(0, 5), st.sampled_from(HASHED))
def test_t70_any_change_of_any_field_is_found_at_its_row(index: int, name: str) -> None:
    rows = chain(6)
    value = getattr(rows[index], name)
    rows[index] = rows[index]._replace(**{name: value + 100 if isinstance(value, int) else value + "x"})
    assert first_fault(rows) == index + 1


@settings(max_examples=30)
@given(st.integers(0, 4), st.integers(0, 4))
def test_t70_rewriting_a_row_with_a_right_hash_breaks_the_next_one(index: int, swap: int) -> None:
    rows = chain(6)
    forged = rows[index]._replace(actor="forged")
    rows[index] = forged._replace(hash=digest(forged))
    assert first_fault(rows) == index + 2
    rows = chain(6)
    rows[swap], rows[swap + 1] = rows[swap + 1], rows[swap]
    assert first_fault(rows) == swap + 1


def test_the_number_of_faults_reported_is_bounded() -> None:
    verifier = ChainVerifier(faults_max=3)
    for row in chain(20):
        verifier.check(row._replace(hash="x"))
    assert len(verifier.report().faults) == 3


def test_json_has_one_spelling() -> None:
    assert canonical_json({"b": 1, "a": ["ä", None]}) == '{"a":["ä",null],"b":1}'


@given(st.tuples(st.integers(0), st.text(), st.integers(0), st.text(), st.text(), st.text(), st.integers(), st.text()))
def test_the_hash_is_that_of_the_canonical_json_of_the_row(
    parts: tuple[int, str, int, str, str, str, int, str],
) -> None:
    row = Row(*parts, previous_hash=GENESIS, hash="")
    text = canonical_json(list(row[:-1]))
    assert digest(row) == hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
