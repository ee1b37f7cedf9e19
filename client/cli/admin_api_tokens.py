"""`ostiary admin api-token`: credentials for programs."""

import time
from pathlib import Path
from typing import Annotated

import typer

from client.cli.admin_common import (
    API_TOKEN,
    USER,
    JsonOption,
    OutputOption,
    administrator,
    by_id,
    chosen,
    names_of,
    resolve,
)
from client.cli.admin_grants import parse_moment
from client.cli.admin_output import Columns, Item, Output, age, expiry, show_list, show_one
from client.cli.admin_session import escape
from runtime.command_line import command_group
from runtime.console import print_json, print_lines, say

api_token = command_group("API tokens: credentials for programs, with scopes and an end.")


@api_token.command("create")
def api_token_create(
    name: str,
    scope: Annotated[
        list[str], typer.Option("--scope", metavar="SCOPE", help="A permission; repeat it. `scopes` lists them.")
    ],
    expires: Annotated[
        str, typer.Option("--expires", metavar="TIME", help="After 90d, 8h…, or at 2027-01-31T18:00; a year at most.")
    ] = "90d",
    secret_out: Annotated[
        Path | None,
        typer.Option("--secret-out", metavar="FILE", help="Write the secret into this file (0600), do not print it."),
    ] = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make an API token of your own. It does what its scopes and your role both permit; the secret is shown this once.

    \b
    Examples:
      ostiary admin api-token create terraform --scope grants:read --scope grants:write --secret-out token
      OSTIARY_ADMIN_TOKEN_FILE=token ostiary admin grant list
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        body = {"name": name, "scopes": scope, "expires_at": parse_moment(expires, time.time())}
        made = api.post("api-tokens", body)
        secret = str(made.get("secret", ""))
        if secret_out is not None:
            from runtime.files import write_atomic

            write_atomic(secret_out, secret + "\n")
            made = {**{key: value for key, value in made.items() if key != "secret"}, "secret_file": str(secret_out)}
        if output is not Output.TABLE:
            print_json(made)
            return
        say(f"API token {made['name']} created ({made['id']}), until {made['expires_at']}")
        if secret_out is None:
            say("Its secret, shown this once:")
            print_lines(secret)
        else:
            say(f"next: OSTIARY_ADMIN_TOKEN_FILE={secret_out} ostiary admin whoami")


@api_token.command("list")
def api_token_list(
    owner: Annotated[str | None, typer.Option("--owner", metavar="EMAIL", help="Only this user's.")] = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """List your API tokens, or everybody's when your role permits it.

    \b
    Example:
      ostiary admin api-token list
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        names = names_of(api, USER) if output is Output.TABLE else {}
        columns: Columns = [
            ("NAME", "name"),
            ("OWNER", by_id(names, "owner")),
            ("SCOPES", "scopes"),
            ("SECRET", lambda item: f"{item.get('hint')}…"),
            ("EXPIRES", _expires),
            ("LAST USED", age("last_used_at")),
            ("ID", "id"),
        ]
        wanted = None if owner is None else resolve(api, USER, owner)
        items = api.items("api-tokens", {"owner": wanted})
        show_list(items, columns, output, empty="next: ostiary admin api-token create NAME --scope SCOPE")


@api_token.command("revoke")
def api_token_revoke(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its name or id.")],
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Revoke an API token: it opens nothing any more, at once.

    \b
    Example:
      ostiary admin api-token revoke terraform
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        target = resolve(api, API_TOKEN, token)
        api.delete(f"api-tokens/{escape(target)}")
        show_one({"id": target, "revoked": True}, output, sentence=f"API token {token} revoked")


@api_token.command("scopes")
def api_token_scopes(as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """List the scopes that a token may carry, and which roles hold them.

    \b
    Example:
      ostiary admin api-token scopes
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        roles = api.get("roles")
        items = [
            {"scope": scope, "roles": [item["role"] for item in roles["items"] if scope in item["permissions"]]}
            for scope in roles["token_scopes"]
        ]
        show_list(items, [("SCOPE", "scope"), ("HELD BY", "roles")], output, empty="There is no scope.")


def _expires(item: Item) -> object:
    return "expired" if item.get("expired") else expiry("expires_at")(item)
