"""Lists as streams: any number of rows as JSON lines or CSV, in memory for one page at a time.

A stream that cannot be finished is cut off, never ended as if it were whole: HTTP says so to whoever reads it.
"""

import csv
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from fastapi.responses import StreamingResponse

Format = Literal["jsonl", "csv"]

MEDIA_TYPES: Final[Mapping[str, str]] = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What makes spreadsheets execute a cell. Hosts and names are chosen by others (CWE-1236)."""

Row = Mapping[str, Any]
NextPage = Callable[[int | None], Awaitable[tuple[Sequence[Row], int | None]]]
"""``(cursor) -> (rows, cursor of the next page)``; the first cursor is None, the last answer's is None."""

DESCRIPTION: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The rows, newest first, as they are read.",
        "content": {
            "application/x-ndjson": {"schema": {"type": "string", "description": "One JSON object per line."}},
            "text/csv": {"schema": {"type": "string", "description": "RFC 4180, with a header line."}},
        },
    }
}


def stream(pages: NextPage, *, format: Format, columns: Sequence[str], name: str) -> StreamingResponse:  # noqa: A002
    """Returns the answer that walks through ``pages``. ``columns`` are those of the CSV form."""
    encode = _jsonl if format == "jsonl" else _Csv(columns).encode
    head = {"Content-Disposition": f'attachment; filename="{name}.{format}"', "Cache-Control": "no-store"}
    return StreamingResponse(_walk(pages, encode), media_type=MEDIA_TYPES[format], headers=head)


async def _walk(pages: NextPage, encode: Callable[[Sequence[Row]], str]) -> AsyncIterator[str]:
    cursor: int | None = None
    while True:
        rows, cursor = await pages(cursor)
        yield encode(rows)
        if cursor is None:
            return


def _jsonl(rows: Iterable[Row]) -> str:
    return "".join(json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n" for row in rows)


class _Csv:
    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._begun = False

    def encode(self, rows: Iterable[Row]) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")
        if not self._begun:
            writer.writerow(self._columns)
            self._begun = True
        writer.writerows([_cell(row.get(column)) for column in self._columns] for row in rows)
        return text.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        text = " ".join(str(item) for item in value)
    elif isinstance(value, dict):
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    else:
        text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text
