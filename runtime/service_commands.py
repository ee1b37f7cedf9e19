"""`… service install|uninstall|status`: the same three commands for each of the four programs."""

from typing import Annotated

import typer

from runtime import service_verbs
from runtime.command_line import JsonOption, command_group


def service_group(role: str, command: str) -> typer.Typer:
    """Returns the group of commands for one role.

    Args:
        role: ``client``, ``connector``, ``relay`` or ``controller``.
        command: what a person types, for the examples.
    """
    group = command_group(f"Run the {role} as a service of this host, by systemd.", name="service")
    _add_install(group, role, command)
    _add_others(group, role, command)
    return group


def _add_install(group: typer.Typer, role: str, command: str) -> None:
    example = f"\n\n\b\nExample:\n  sudo {command} service install"
    text = (
        f"Install, enable and start the {role} as a service. Again after an update: it restarts it.\n\n"
        "Only programs that nobody but root can change are taken."
    )

    if role == "client":

        @group.command("install", help=f"{text}{example} --user $USER")
        def install_client(
            user: Annotated[
                list[str] | None,
                typer.Option("--user", metavar="NAME", help="Let this person use the client without sudo."),
            ] = None,
            as_json: JsonOption = False,
        ) -> None:
            raise typer.Exit(service_verbs.install(role, tuple(user or ()), as_json=as_json))

    else:

        @group.command("install", help=text + example)
        def install(as_json: JsonOption = False) -> None:
            raise typer.Exit(service_verbs.install(role, (), as_json=as_json))


def _add_others(group: typer.Typer, role: str, command: str) -> None:
    @group.command(
        "uninstall",
        help=f"Stop the service and remove it; state and identity stay.\n\n\b\nExample:\n  sudo {command} service uninstall",
    )
    def uninstall(as_json: JsonOption = False) -> None:
        raise typer.Exit(service_verbs.uninstall(role, as_json=as_json))

    @group.command(
        "status",
        help="Say how the service is: 0 when it runs and is ready, 3 otherwise."
        f"\n\n\b\nExample:\n  {command} service status --json",
    )
    def status(as_json: JsonOption = False) -> None:
        raise typer.Exit(service_verbs.status(role, as_json=as_json))
