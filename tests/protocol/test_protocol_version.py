"""The version's number and its history go together."""

import re

from protocol import version


def test_current_version_is_supported_and_dated() -> None:
    assert 1 <= version.OLDEST_SUPPORTED <= version.PROTOCOL
    history = re.findall(r"^    (\d+) \(\d{4}-\d{2}\): ", version.__doc__ or "", re.MULTILINE)
    assert [int(number) for number in history] == list(range(1, version.PROTOCOL + 1))


def test_software_version_has_three_parts() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", version.SOFTWARE)
