"""The committed document of the API is that of the routes: the console's types are made from it."""

import json
from pathlib import Path

from controller.api.document import build_api

FILE = Path(__file__).parents[3] / "openapi.json"


def test_the_committed_document_is_that_of_the_routes() -> None:
    assert json.loads(FILE.read_text()) == build_api().openapi(), "run `make openapi`"
