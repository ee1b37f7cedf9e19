"""The operations of the API as its document lists them, and a company in which everything belongs to somebody else.

Whoever adds an operation with a new parameter in its path makes such a thing in ``company``, as the victim's or the company's, with
``marker`` in what it is called: the access matrix then asks every role for it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2
from controller_api import URL, Agent, Controller, Person
from software_passkey import SoftwarePasskey

from controller.api.document import build_api
from controller.domain.permissions import TOKEN_SCOPES

DOCUMENT = build_api().openapi()
ALL_SCOPES = sorted(item.value for item in TOKEN_SCOPES)
MARKER = "marker"
"""In every name and address of the company: no stranger ever reads it."""


@dataclass(frozen=True)
class Operation:
    """One operation of the document."""

    id: str
    method: str
    path: str
    document: dict[str, Any]

    def url(self, ids: dict[str, str]) -> str:
        """The path with ids filled in."""
        return re.sub(r"\{(\w+)\}", lambda match: ids.get(match[1], "nothing-like-it"), self.path)

    @property
    def parameters(self) -> set[str]:
        """The parameters in the path."""
        return set(re.findall(r"\{(\w+)\}", self.path))

    @property
    def names_something(self) -> bool:
        """Whether it is about one thing that its path names."""
        return "{" in self.path

    @property
    def permission(self) -> str | None:
        """What it needs for anybody's things."""
        return self.document.get("x-permission")

    @property
    def own(self) -> str | None:
        """What it needs for one's own things."""
        return self.document.get("x-permission-own")

    @property
    def ways(self) -> list[tuple[str, ...]]:
        """The sets of scopes of an API token, any of which does; none: no token does."""
        found = (tuple(way.get("api_token", ())) for way in self.document.get("security", ()))
        return [scopes for scopes in found if scopes]

    @property
    def scopes(self) -> list[str]:
        """Every scope of an API token that has to do with it."""
        return [scope for way in self.ways for scope in way]

    @property
    def needs_sign_in(self) -> bool:
        """Whether it is closed to those who are not signed in."""
        return bool(self.document.get("security"))

    def body(self) -> dict[str, Any] | None:
        """The example of the request's body."""
        content = self.document.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None:
            return None
        name = content["schema"]["$ref"].rpartition("/")[2]
        example: dict[str, Any] = DOCUMENT["components"]["schemas"][name]["examples"][0]
        return {**example, **BODIES.get(self.id, {})}

    async def send(self, http: httpx2.AsyncClient, ids: dict[str, str]) -> httpx2.Response:
        """Sends it with the example as its body."""
        query = {name: ids.get(value, value) for name, value in QUERIES.get(self.id, {}).items()}
        return await http.request(self.method, self.url(ids), params=query, json=self.body())


BODIES: dict[str, dict[str, Any]] = {"create_api_token": {"scopes": ["self:read"]}}
"""Where the example asks for more than every role has."""
BESIDES: dict[str, tuple[str, ...]] = {"create_sink": ("audit:read", "connections:read")}
"""Scopes that the example's body needs besides the one that the document names."""
QUERIES: dict[str, dict[str, str]] = {
    "get_access": {"resource": "resource"},
    "get_access_history": {"resource": "resource", "user": "user"},
    "preview_address": {"address": "db.prod.internal"},
}
"""What must stand behind the question mark: parameters, and which id they take, or the word itself."""


def operations() -> Iterator[Operation]:
    """Yields all operations of the document."""
    for path, methods in DOCUMENT["paths"].items():
        for method, document in methods.items():
            yield Operation(document["operationId"], method.upper(), path, document)


OPERATIONS = list(operations())


@dataclass
class Company:
    """A running controller; what ``ids`` names belongs to the victim or to the company."""

    controller: Controller
    owner: httpx2.AsyncClient
    victim: Person
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def unknown(self) -> dict[str, str]:
        """Ids of the same shapes that nothing has."""
        return {name: _unknown(value) for name, value in self.ids.items()}

    async def make(self, noun: str, **body: Any) -> dict[str, Any]:
        """Creates something as the owner."""
        answer = await self.owner.post(f"/api/v1/{noun}", json=body)
        assert answer.status_code == 201, f"{noun}: {answer.text}"
        made: dict[str, Any] = answer.json()
        return made

    async def token(self, person: httpx2.AsyncClient, *scopes: str) -> tuple[str, httpx2.AsyncClient]:
        """Makes an API token for a person; returns its id and a client that uses it."""
        expires = self.controller.clock.wall() + 86_400
        body = {"name": f"token {MARKER}", "scopes": list(scopes), "expires_at": moment(expires)}
        answer = await person.post("/api/v1/api-tokens", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"], self.controller.person(answer.json()["secret"])


def _unknown(value: str) -> str:
    prefix, underscore, rest = value.partition("_")
    return prefix + underscore + "0" * len(rest) if underscore and len(prefix) == 3 else "0" * len(value)


def moment(seconds: float) -> str:
    """RFC 3339 of Unix seconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


async def company(controller: Controller) -> Company:
    """Fills a controller with one of each thing."""
    victim = await controller.add_user(f"victim-{MARKER}@corp.example")
    made = Company(controller, await controller.owner(), victim)
    ids = made.ids
    ids["user"] = victim.id
    ids["network"] = (await made.make("networks", name=f"net-{MARKER}"))["id"]
    ids["connector"] = (await made.make("connectors", network=ids["network"], name=f"con-{MARKER}"))["id"]
    ids["relay"] = (await made.make("relays", name=f"rel-{MARKER}", fqdn=f"{MARKER}.example", port=1))["id"]
    resource = {"network": ids["network"], "name": f"res-{MARKER}", "address": f"{MARKER}.internal"}
    ids["resource"] = (await made.make("resources", **resource, ports={"tcp": ["1"]}))["id"]
    ids["group"] = (await made.make("groups", name=f"grp-{MARKER}"))["id"]
    ids["account"] = (await made.make("service-accounts", name=f"svc-{MARKER}"))["id"]
    grant = {"subject_kind": "user", "subject": victim.id, "resource": ids["resource"]}
    ids["grant"] = (await made.make("grants", **grant))["id"]
    ids["policy"] = (await made.make("policies", name=f"pol-{MARKER}", conditions={"device_trusted": True}))["id"]
    ids["exclusion"] = (await made.make("exclusions", **grant))["id"]
    provider = {"name": f"idp-{MARKER}", "issuer": f"https://id.{MARKER}.example", "client_id": "ostiary"}
    ids["provider"] = (await made.make("identity-providers", **provider, client_secret="not a real one"))["id"]
    sink = {"name": f"snk-{MARKER}", "kind": "https", "destination": f"https://siem.{MARKER}.example/ingest"}
    ids["sink"] = (await made.make("sinks", **sink, token="not-a-real-one"))["id"]
    ids["hash"] = (await made.make("plans", document=f"groups:\n- name: plan-{MARKER}\n"))["hash"]
    asked = {"target": f"other.{MARKER}.internal", "reason": f"reason {MARKER}"}
    ids["request"] = (await victim.http.post("/api/v1/access-requests", json=asked)).json()["id"]
    await made.owner.put(f"/api/v1/groups/{ids['group']}/members/{victim.id}")
    ids["device"] = await _laptop(controller, victim)
    sessions = (await victim.http.get("/api/v1/sessions")).json()["items"]
    ids["session"] = next(item["id"] for item in sessions if not item["current"])
    ids["passkey"] = await _passkey(victim)
    ids["token"], _ = await made.token(victim.http, "self:read")
    ids["revision"] = "1"
    ids["position"] = "1"
    ids["kid"] = (await made.owner.get("/api/v1/keys")).json()["items"][0]["kid"]
    return made


async def _passkey(person: Person) -> str:
    begun = (await person.http.post("/api/v1/me/passkeys/begin")).json()["options"]
    body = {"name": f"pky-{MARKER}", "credential": SoftwarePasskey().create(begun)}
    made: str = (await person.http.post("/api/v1/me/passkeys", json=body)).json()["id"]
    return made


async def _laptop(controller: Controller, person: Person) -> str:
    agent = Agent(controller.clock)
    started = (await controller.http.post("/api/v1/device_authorization", json=agent.start(f"dev-{MARKER}"))).json()
    browser = controller.person()
    same_origin = {"Origin": URL, "Sec-Fetch-Site": "same-origin"}
    await browser.post(
        "/device/sign-in", data={"email": person.email, "password": person.password}, headers=same_origin
    )
    await browser.post(
        "/device/decision", data={"user_code": started["user_code"], "decision": "approve"}, headers=same_origin
    )
    answer = await controller.http.post("/api/v1/token", json=agent.poll(started["device_code"]))
    device: str = answer.json()["device"]
    return device
