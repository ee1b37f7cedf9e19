"""The application object and its OpenAPI 3.1 document: tags, stable operation ids, problems as they are sent."""

from collections.abc import Awaitable, Mapping
from types import MappingProxyType
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from controller.api import problems
from controller.api.calls import Anonymous, admit_large_body
from controller.api.middleware import Bounds, RequestIds
from controller.api.permissions import name_permissions
from controller.api.routes import (
    access,
    access_requests,
    activity,
    agents,
    api_tokens,
    connections,
    connector_tests,
    connectors,
    device_pages,
    device_trust,
    devices,
    enforcement,
    event_stream,
    exclusions,
    first_run,
    grants,
    groups,
    identity_providers,
    mine,
    networks,
    passkeys,
    plans,
    policies,
    provider_pages,
    public,
    relays,
    resources,
    second_factor_pages,
    second_factors,
    service_accounts,
    sessions,
    sinks,
    summary,
    users,
)
from controller.api.routes.common import PREFIX, operation_id
from controller.api.schemas.identity import DeviceAuthorizationRequest, TokenRequest
from protocol.version import SOFTWARE

OPENAPI_PATH: Final = f"{PREFIX}/openapi.json"

_DESCRIPTION: Final = """
The API of an Ostiary controller: everything that the command line and the console do.

**Sign in** with `POST /api/v1/sessions` and send `Authorization: Bearer <token>`.

**Permissions.** Each operation names the permission that it needs (`x-permission`), or the one that does for what is the
caller's own (`x-permission-own`); `x-permission-besides` lists what is needed as well. A role is a set of permissions (`GET /api/v1/roles`); nobody gives a role that is not below
his own, except owners. Roles give no access to resources: grants do.

**API tokens** (`POST /api/v1/api-tokens`) are for programs: they act for their owner within scopes, which are permissions, and end
with their time, their owner's account, or their revocation.

**Refusals** are RFC 9457 problems (`application/problem+json`). `code` is stable; `next` says what to do; `field` names the
member of the input at fault.

**Lists** come in pages: ask again with `cursor=<next_cursor>` until `next_cursor` is null.

**Updates** take the version that you have read in `If-Match`; when the thing has changed since, the answer is 412.

**Creations** take an `Idempotency-Key`; a repeated request gets the same answer and does nothing again.
"""

_TAGS: Final = (
    ("sessions", "Sign-ins of people to API, console and sign-in page."),
    ("identity providers", "OpenID Connect providers through which people sign in."),
    ("second factors", "One-time codes, recovery codes, and who needs them."),
    ("api tokens", "Credentials for programs, with scopes and an end."),
    ("users", "People. Names and e-mail addresses can be erased; the audit trail keeps ids."),
    ("groups", "Sets of users that grants can be given to."),
    ("service accounts", "Principals without a person: servers and jobs."),
    ("devices", "Installations of the client. Each has a key of its own that never leaves it."),
    ("networks", "Remote networks: places with connectors and resources."),
    ("connectors", "Connectors reach into a remote network and verify every connection for themselves."),
    ("relays", "Relays join client and connector and see only opaque bytes."),
    ("resources", "What can be granted: names, wildcards, addresses and CIDRs, with ports."),
    ("grants", "Who may reach what, perhaps until when. Nothing is reachable without one."),
    ("policies", "Conditions under which grants hold: sign-in, device, place, hours."),
    ("exclusions", "Who may not reach what, whatever grants say."),
    ("access", "Who could reach what, at any time, by which grants, made by whom in which event."),
    ("plans", "What a policy document would change, and its application under the hash that was approved."),
    ("access requests", "Asked by anybody, answered by somebody else with a grant that ends by itself."),
    ("activity", "What happened, and what is in force where."),
    ("keys", "The keys that sign tokens."),
    ("agents", "How connectors, relays and devices get an identity."),
    ("public", "What anybody may read."),
)

_MODULES: Final = (
    sessions,
    second_factors,
    passkeys,
    identity_providers,
    api_tokens,
    users,
    mine,
    groups,
    service_accounts,
    devices,
    device_trust,
    networks,
    connectors,
    connector_tests,
    relays,
    resources,
    grants,
    policies,
    exclusions,
    access_requests,
    access,
    plans,
    connections,
    event_stream,  # before `activity`, for whom every word behind `/events/` is a position
    activity,
    enforcement,
    summary,
    sinks,
    agents,
    first_run,
)
"""What is under ``PREFIX``, in the order of the document."""


class ControllerApi(FastAPI):
    """FastAPI with our bounds and request ids around everything, its own error handler included.

    ``websockets`` takes WebSockets by path, past the framework: its layers cost each of thousands of agents memory and time.
    """

    websockets: Mapping[str, ASGIApp] = MappingProxyType({})

    def build_middleware_stack(self) -> ASGIApp:
        """Wraps the framework's stack: what it answers by itself gets an id and the security headers too."""
        framework, direct = super().build_middleware_stack(), self.websockets

        def choose(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            taken = direct.get(scope["path"]) if scope["type"] == "websocket" else None
            return (taken or framework)(scope, receive, send)

        return RequestIds(Bounds(choose, admit=self._admit))

    async def _admit(self, scope: Scope) -> None:
        await admit_large_body(Request({**scope, "app": self}))

    def openapi(self) -> dict[str, Any]:
        """Returns the document; made once."""
        if self.openapi_schema is None:
            document = get_openapi(
                title="Ostiary controller",
                version=SOFTWARE,
                openapi_version="3.1.0",
                summary="Identity and policy of a zero-trust access network",
                description=_DESCRIPTION.strip(),
                routes=self.routes,
                tags=[{"name": name, "description": text} for name, text in _TAGS],
                license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
            )
            _add_schemas(document)
            _name_problems(document)
            _name_bounds(document)
            name_permissions(document, (module.router for module in _MODULES))
            self.openapi_schema = document
        return self.openapi_schema


def build_api(**options: Any) -> ControllerApi:
    """Returns the application with all routes; ``options`` go to FastAPI (lifespan)."""
    app = ControllerApi(
        title="Ostiary controller",
        version=SOFTWARE,
        # The interactive pages load scripts from elsewhere, which our content policy forbids.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        generate_unique_id_function=operation_id,
        **options,
    )
    problems.install(app)
    # Not included: that would build each route a second time, at every start, when the first request comes.
    for module in _MODULES:
        app.router.routes.extend(module.router.routes)

    @app.get(OPENAPI_PATH, include_in_schema=False)
    async def openapi(_: Anonymous) -> JSONResponse:
        """This document."""
        return JSONResponse(app.openapi())

    for module in (public, device_pages, second_factor_pages, provider_pages):
        app.router.routes.extend(module.router.routes)
    return app


def _add_schemas(document: dict[str, Any]) -> None:
    """Adds the bodies that routes read by themselves, because they come as JSON or as a form, and that of refusals."""
    schemas = document["components"]["schemas"]
    for model in (DeviceAuthorizationRequest, TokenRequest, problems.Problem):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        for name, inner in schema.pop("$defs", {}).items():
            schemas.setdefault(name, inner)
        schemas[model.__name__] = schema


def _name_bounds(document: dict[str, Any]) -> None:
    """Names what the outermost layer and the framework answer to any operation, whatever it does (D10, T-12)."""
    problem = {problems.PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    texts = {"400": "The request is malformed.", "431": "The request's headers or its query are too large."}
    with_body = {"408": "The body did not arrive in time.", "413": "The body is too large."}
    for path in document["paths"].values():
        for operation in path.values():
            for status, text in {**texts, **(with_body if "requestBody" in operation else {})}.items():
                operation["responses"].setdefault(status, {"description": text, "content": problem})


def _name_problems(document: dict[str, Any]) -> None:
    """Says ``application/problem+json`` where problems are sent; the framework would say JSON too."""
    problem = {problems.PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path in document["paths"].values():
        for operation in path.values():
            for response in operation["responses"].values():
                content = response.get("content", {})
                reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
                if reference.endswith(("/Problem", "/HTTPValidationError")):
                    response["content"] = problem
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
