"""``ostiary-connector witness``: what this connector saw of the controller's log, for an auditor (T-70)."""

import json
from pathlib import Path
from typing import Annotated

import typer

from connector.settings import COMPONENT, Settings
from runtime import console
from runtime.command_line import StateOption, command_group, config_option
from runtime.settings import load

witness = command_group("Look at what this connector witnessed of the controller's log.")


@witness.command("export")
def export(
    config: Annotated[Path | None, config_option(COMPONENT)] = None,
    state_dir: StateOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File; default: standard output.")] = None,
) -> None:
    """Write the checkpoints, hashes, conflicts and revocations that this connector saw, as JSON.

    A connector notes where the controller's log stood. Whoever rewrites or cuts that log afterwards contradicts these
    notes. They work without the controller, and while the connector runs.

    \b
    Example, and what to do with it where the controller or its export is:
      ostiary-connector witness export --output office.witness.json
      ostiary-controller events verify --witness office.witness.json
    """
    from connector.identity import load_identity
    from connector.witnessing import export_witness
    from runtime.files import StateDir, write_atomic

    with console.exit_on_error():
        settings = load(Settings, component=COMPONENT, config_file=config, overrides={"state_dir": state_dir})
        state = StateDir(settings.state_dir)
        identity = load_identity(state)
        body = export_witness(state, identity.connector, identity.issuer)
        if output is None:
            console.print_json(body)
        else:
            write_atomic(output, json.dumps(body, indent=2, sort_keys=True) + "\n")
