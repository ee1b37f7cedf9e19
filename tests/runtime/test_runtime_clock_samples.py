"""The offset of a peer's clock."""

from runtime.clock_samples import OFFSET_SAMPLES, SAMPLE_KEEP_S, ClockSamples


def test_the_shortest_round_trip_is_believed() -> None:
    samples = ClockSamples()
    samples.add(10.0, 100.0, now=0.0)
    assert samples.add(30.0, 300.0, now=1.0) == (10.0, 100.0)
    assert samples.add(5.0, 50.0, now=2.0) == (5.0, 50.0)


def test_f13_what_was_measured_long_ago_does_not_count_however_good_it_was() -> None:
    """A clock may have been set since, and agents of a busy controller measure seldom."""
    samples = ClockSamples()
    samples.add(1.0, 7_200_000.0, now=0.0)
    assert samples.add(30.0, 0.0, now=SAMPLE_KEEP_S + 1) == (30.0, 0.0)


def test_only_the_last_ones_count_and_none_of_another_connection() -> None:
    samples = ClockSamples()
    samples.add(1.0, 1.0, now=0.0)
    for number in range(OFFSET_SAMPLES):
        best = samples.add(20.0, 20.0, now=number / 100)
    assert best == (20.0, 20.0)
    samples.clear()
    assert samples.add(50.0, 50.0, now=1.0) == (50.0, 50.0)
