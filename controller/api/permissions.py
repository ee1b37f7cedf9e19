"""Writes into the API document which permission each operation needs, read from the routes themselves.

The test matrix is generated from what this says (T-10), and the server enforces the same objects, so the two cannot differ.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from controller.api.calls import Permits
from controller.domain.permissions import TOKEN_SCOPES

TOKEN_SCHEME: Final = "api_token"  # noqa: S105 - a name
_SCHEME: Final = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "ost_api_…",
    "description": "An API token with the scope that the operation names.",
}


def name_permissions(document: dict[str, Any], routers: Iterable[APIRouter]) -> None:
    """Adds ``x-permission``, ``x-permission-own``, ``x-permission-besides`` and the scopes of API tokens to the operations of ``document``."""
    document["components"].setdefault("securitySchemes", {})[TOKEN_SCHEME] = _SCHEME
    operations = {each["operationId"]: each for path in document["paths"].values() for each in path.values()}
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.include_in_schema:
                for permits in permits_of(route):
                    _describe(operations[route.operation_id or route.name], permits)


def permits_of(route: APIRoute) -> Iterator[Permits]:
    """Yields what the route asks for: one, unless it was declared twice."""
    yield from _permits_in(route.dependant)


def _permits_in(dependant: Dependant) -> Iterator[Permits]:
    for part in dependant.dependencies:
        if isinstance(part.call, Permits):
            yield part.call
        else:
            yield from _permits_in(part)


def _describe(operation: dict[str, Any], permits: Permits) -> None:
    operation["x-permission"] = permits.permission.value
    if permits.own is not None:
        operation["x-permission-own"] = permits.own.value
    besides = [scope.value for scope in permits.besides]
    if besides:
        operation["x-permission-besides"] = besides
    scopes = [scope for scope in (permits.permission, permits.own) if scope is not None]
    if TOKEN_SCOPES.issuperset(scopes):
        operation.setdefault("security", []).extend({TOKEN_SCHEME: [scope.value, *besides]} for scope in scopes)
