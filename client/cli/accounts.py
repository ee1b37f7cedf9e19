"""`ostiary accounts` and `ostiary switch`: several sign-ins on one host, one of them active."""

from typing import Annotated, Any

import typer

from client.cli.control_socket import call
from runtime.command_line import JsonOption
from runtime.console import OK, exit_on_error, print_json, print_lines, print_table


def declare(app: typer.Typer) -> None:
    """Adds the commands."""

    @app.command("accounts")
    def accounts_command(as_json: JsonOption = False) -> None:
        """List the sign-ins that this host keeps, for several controllers or users, and which one is active.

        \b
        Example:
          ostiary accounts
        """
        raise typer.Exit(accounts(as_json=as_json))

    @app.command("switch")
    def switch_command(
        account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="As `ostiary accounts` calls it.")],
        new: Annotated[bool, typer.Option("--new", help="Make it first, empty. Needs root.")] = False,
        remove: Annotated[
            bool, typer.Option("--remove", help="Forget it instead, with its key; not the active one. Needs root.")
        ] = False,
        as_json: JsonOption = False,
    ) -> None:
        """Make another sign-in the active one. Open connections of the old one are cut; it stays signed in.

        \b
        Examples:
          ostiary switch acme
          sudo ostiary switch --new acme && sudo ostiary up https://ostiary.acme.example
          sudo ostiary switch --remove acme
        """
        if new and remove:
            raise typer.BadParameter("choose one of --new and --remove", param_hint="--new")
        raise typer.Exit(switch(account, new=new, remove=remove, as_json=as_json))


def accounts(*, as_json: bool) -> int:
    """Lists them."""
    with exit_on_error(as_json=as_json):
        result = call("accounts")
    if as_json:
        print_json(result)
    else:
        _print(result)
    return OK


def switch(account: str, *, new: bool, remove: bool, as_json: bool) -> int:
    """Switches, and says what is needed next."""
    with exit_on_error(as_json=as_json):
        result = call("switch", {"account": account, "new": new, "remove": remove})
    if as_json:
        print_json(result)
        return OK
    _print(result)
    active = next((item for item in _accounts(result) if item.get("active")), {})
    if not remove and not active.get("controller"):
        print_lines("next: sudo ostiary up https://CONTROLLER --ca-pin sha256/…")
    elif not remove and not active.get("signed_in"):
        print_lines("next: ostiary login")
    return OK


def _print(result: dict[str, Any]) -> None:
    rows = [
        (
            "*" if item.get("active") else "",
            item.get("account"),
            item.get("user") or "-",
            item.get("controller") or "-",
            "yes" if item.get("signed_in") else "no",
        )
        for item in _accounts(result)
    ]
    print_table(("", "ACCOUNT", "USER", "CONTROLLER", "SIGNED IN"), rows)


def _accounts(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for item in result.get("accounts") or () if isinstance(item, dict)]
