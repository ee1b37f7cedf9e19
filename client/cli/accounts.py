"""`ostiary accounts` and `ostiary switch`: several sign-ins on one host, one of them active."""

from typing import Any

from client.cli.control_socket import call
from runtime.console import OK, exit_on_error, print_json, print_lines, print_table


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
