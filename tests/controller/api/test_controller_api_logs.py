"""What reaches the log: no secret (T-11), and one line per event whatever people type (T-74)."""

import io
import json
import logging as stdlib_logging
from collections.abc import Iterator

import pytest
import structlog
from controller_api import OWNER, OWNER_PASSWORD, URL, Agent, Controller

from protocol.enrolment import parse_untrusted
from runtime import logging

HOSTILE = "a\r\nlevel=error\x1b[31m{}%s\u2028"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything, down to debug, as the daemon writes it."""
    root = stdlib_logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logging.configure("controller", "debug", True, stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


async def test_t11_no_secret_reaches_the_log(log: io.StringIO, controller: Controller) -> None:
    token = await controller.sign_in()
    owner = controller.person(token)
    network = (await owner.post("/api/v1/networks", json={"name": "office"})).json()["id"]
    made = (await owner.post("/api/v1/connectors", json={"network": network, "name": "c"})).json()
    user = (await owner.post("/api/v1/users", json={"email": "grace@corp.example", "name": "Grace"})).json()
    agent = Agent(controller.clock)
    secret = parse_untrusted(made["enrolment_token"]).secret
    enrolment = agent.enrolment(secret, "connector", pin=agent.pin)
    await controller.http.post("/api/v1/enroll", json={**enrolment, "kind": "relay"})
    await controller.http.post("/api/v1/enroll", json=enrolment)
    started = (await controller.http.post("/api/v1/device_authorization", json=agent.start())).json()
    poll = agent.poll(started["device_code"])
    await controller.http.post("/api/v1/token", json=poll)
    await controller.http.post("/api/v1/sessions", json={"email": OWNER, "password": "a wrong password"})
    await controller.http.post("/api/v1/sessions", json={"email": "wrong-field@x.y", "pasword": "a wrong password"})
    browser = controller.person()
    page = await browser.post(
        "/device/sign-in",
        data={"email": OWNER, "password": OWNER_PASSWORD, "user_code": started["user_code"]},
        headers={"Origin": URL, "Sec-Fetch-Site": "same-origin"},
    )
    await browser.get("/device", params={"user_code": started["user_code"]})
    secrets = {
        "bearer token": token,
        "password": OWNER_PASSWORD,
        "tried password": "a wrong password",
        "made-up password": user["initial_password"],
        "enrolment token": made["enrolment_token"],
        "enrolment secret": secret,
        "proof": enrolment["proof"],
        "device code": started["device_code"],
        "poll's proof": poll["proof"],
        "cookie": page.cookies["__Host-ostiary"],
        "user code": started["user_code"],
    }
    # The browser and the agents are in this process too, with a log of their own.
    written = "\n".join(line for line in log.getvalue().splitlines() if '"logger": "httpx2"' not in line)
    assert '"event": "request"' in written
    for name, value in secrets.items():
        assert value not in written, name


async def test_t74_one_event_is_one_line_that_parses(log: io.StringIO, controller: Controller) -> None:
    owner = await controller.owner()
    await owner.get("/api/v1/networks/" + "%0d%0aevil%1b%5b31m")
    await owner.post("/api/v1/networks", json={"name": HOSTILE})
    await owner.get("/api/v1/networks", params={"name": HOSTILE}, headers={"X-Request-Id": "{}%s {0} x"})
    await controller.http.post(
        "/api/v1/sessions", json={"email": HOSTILE, "password": HOSTILE}, headers={"User-Agent": "a{}%s\t"}
    )
    agent = Agent(controller.clock)
    await controller.http.post("/api/v1/device_authorization", json=agent.start(HOSTILE))
    lines = log.getvalue().splitlines()
    assert lines
    for line in lines:
        event = json.loads(line)
        assert event["component"] == "controller"
        assert "\x1b" not in line
