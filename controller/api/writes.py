"""Writes that may be repeated: ``Idempotency-Key`` (F-31).

The answer is stored, sealed, in the transaction of the write itself: either both are there or neither is. A repeated
request gets the same answer; the same key with another request is refused.
"""

import base64
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Header, Request
from fastapi.responses import Response
from pydantic import BaseModel

from controller.api.calls import SignedCall, authenticated
from controller.api.paging import entity_tag
from controller.api.problems import FieldError
from controller.store import Unit, idempotency
from controller.store.idempotency import StoredAnswer

KEEP_S: Final = 24 * 3600
"""How long answers are remembered."""
REPLAYED_HEADER: Final = "Idempotency-Replayed"


@dataclass(frozen=True, slots=True)
class Once:
    """Does a write once per ``Idempotency-Key``; without a key, every time."""

    call: SignedCall
    key: str | None
    fingerprint: str

    async def create(self, build: Callable[[Unit], Awaitable[BaseModel]], *, status: int = 201) -> Response:
        """Opens a unit, calls ``build`` in it, and answers with what it returns.

        Raises:
            FieldError: the key was used for another request.
            RefusedError: whatever ``build`` raises; nothing is stored then.
        """
        async with self.call.write() as unit:
            stored = await self._find(unit)
            if stored is not None:
                return self._replay(stored)
            value = await build(unit)
            body = value.model_dump_json()
            await self._remember(unit, status, body)
        return answer(body, status, version=getattr(value, "version", None))

    async def _find(self, unit: Unit) -> StoredAnswer | None:
        if self.key is None:
            return None
        return await idempotency.get(unit.connection, self.call.actor, self.key)

    async def _remember(self, unit: Unit, status: int, body: str) -> None:
        if self.key is None:
            return
        sealed = self.call.services.seal.seal(self._place(), body.encode())
        await idempotency.put(
            unit.connection,
            self.call.actor,
            self.key,
            request_hash=self.fingerprint,
            status=status,
            body=base64.b64encode(sealed).decode(),
            now=unit.now,
        )

    def _replay(self, stored: StoredAnswer) -> Response:
        if stored.request_hash != self.fingerprint:
            raise FieldError("Idempotency-Key", "this key was used for another request")
        body = self.call.services.seal.open(self._place(), base64.b64decode(stored.body)).decode()
        response = answer(body, stored.status)
        response.headers[REPLAYED_HEADER] = "true"
        return response

    def _place(self) -> str:
        return f"idempotency:{self.call.actor}:{self.key}"


async def once(
    request: Request,
    call: Annotated[SignedCall, Depends(authenticated)],
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Any text of your choice. A repeated request with the same key within a day gets the same "
            "answer and does nothing again.",
            examples=["7f0c0a52-1f5e-4b0e-9a6c-0d9a4a3f9a10"],
            min_length=8,
            max_length=128,
            pattern=r"^[!-~]+$",
        ),
    ] = None,
) -> Once:
    """Reads ``Idempotency-Key``."""
    parts = (request.method, request.url.path, request.url.query)
    digest = hashlib.sha256("\0".join(parts).encode() + b"\0" + await request.body())
    return Once(call, idempotency_key, digest.hexdigest())


WriteOnce = Annotated[Once, Depends(once)]


def answer(body: str, status: int, *, version: int | None = None) -> Response:
    """A JSON answer, with an entity tag when the thing has a version."""
    response = Response(body, status, media_type="application/json")
    if version is not None:
        response.headers["ETag"] = entity_tag(version)
    return response


def model_answer(value: BaseModel, *, status: int = 200) -> Response:
    """The JSON answer for one thing, with its entity tag."""
    return answer(value.model_dump_json(), status, version=getattr(value, "version", None))
