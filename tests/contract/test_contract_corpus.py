"""The frozen corpus: an event of every type and version that was ever written still reads and folds (T-71).

A file is never changed once its version was released: a new shape is a new version with an upcaster, and its own file.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from freeze_events import COMMAND, CORPUS, file_of, fold_stored

from controller.domain.event_codec import UPCASTERS, event_from_json, event_to_json
from controller.domain.events import EVENT_TYPES

FILES = sorted(CORPUS.glob("*.json"))


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_t71_a_frozen_event_still_reads_and_folds(path: Path) -> None:
    frozen = read(path)
    assert file_of(frozen["type"]) == path
    before = [(kind, fields) for kind, fields in frozen["before"]]
    assert frozen["events"]
    for fields in frozen["events"]:
        event = event_from_json(frozen["type"], fields)
        if frozen["type"] not in UPCASTERS:
            assert frozen["type"] == event.TYPE
            assert event_to_json(event) == fields
        state = fold_stored([*before, (frozen["type"], fields)])
        assert state.position == len(before) + 1
        assert state.version_of(event.stream) >= 1


@pytest.mark.parametrize("event_type", sorted({*(event.TYPE for event in EVENT_TYPES), *UPCASTERS}))
def test_t71_every_type_is_in_the_corpus(event_type: str) -> None:
    if not file_of(event_type).exists():
        pytest.fail(
            f"{event_type} has no frozen event; make one:\n\n    {COMMAND}\n\nand commit the file", pytrace=False
        )
