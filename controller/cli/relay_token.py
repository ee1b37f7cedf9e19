"""`relay-token`: a relay of a set-up that no person attends; needs a shell on the controller's host."""

from pathlib import Path

from controller.api.operations import enrolment, keys
from controller.cli.access import opened, writing
from controller.cli.options import load_settings
from controller.domain.commands import CreateRelay
from controller.identity.sealing import load_seal
from controller.settings import Settings
from protocol.ids import RelayId
from runtime.console import exit_on_error, print_lines
from runtime.entropy import new_id
from runtime.files import write_atomic
from runtime.lifecycle import run_command


def make(config: Path | None, name: str, *, fqdn: str, port: int, output: Path | None) -> None:
    """Creates the relay if there is none of this name, and writes a one-time enrolment token."""
    with exit_on_error():
        token = run_command(_make(load_settings(config), name, fqdn, port))
        if output is None:
            print_lines(token)
        else:
            write_atomic(output, token)


async def _make(settings: Settings, name: str, fqdn: str, port: int) -> str:
    async with opened(settings) as store:
        ca = await keys.load_ca(load_seal(settings.state_dir), store)
        async with writing(store, "relay-token") as unit:
            relay = next((relay.id for relay in unit.state.relays.values() if relay.name == name), None)
            if relay is None:
                relay = RelayId(new_id("relay"))
                await unit.execute(CreateRelay(relay, name, fqdn, port))
            given = await enrolment.issue(
                unit,
                "relay",
                relay,
                url=settings.public_url or unit.state.public_url,
                pin=ca.pin if settings.tls == "internal" else None,
            )
            return given.text
