"""Every component tolerates the environment variables of every other one: the table in runtime.settings is complete."""

import dataclasses

import pytest

from client.cli.admin_settings import AdminSettings
from client.daemon.settings import ClientSettings
from connector.settings import Settings as ConnectorSettings
from controller.settings import Settings as ControllerSettings
from relay.settings import Settings as RelaySettings
from runtime.settings import KNOWN_COMPONENTS


@pytest.mark.parametrize(
    ("component", "settings"),
    [
        ("admin", AdminSettings),
        ("client", ClientSettings),
        ("connector", ConnectorSettings),
        ("controller", ControllerSettings),
        ("relay", RelaySettings),
    ],
)
def test_the_table_names_every_setting(component: str, settings: type) -> None:
    names = {field.name.upper() for field in dataclasses.fields(settings)}
    missing = names - KNOWN_COMPONENTS[component] - KNOWN_COMPONENTS["every"]
    assert not missing, f"add {sorted(missing)} to KNOWN_COMPONENTS[{component!r}] in runtime/settings.py"
