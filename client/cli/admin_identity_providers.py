"""`ostiary admin identity-provider`: OpenID Connect providers through which people sign in."""

from typing import Annotated

import typer

from client.cli.admin_common import (
    GROUP,
    IDENTITY_PROVIDER,
    USER,
    JsonOption,
    OutputOption,
    YesOption,
    administrator,
    chosen,
    confirm,
    delete,
    names_of,
    read_secret,
    resolve,
)
from client.cli.admin_output import Columns, Item, Output, age, show_list, show_one
from client.cli.admin_session import Json, escape
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.command_line import command_group
from runtime.console import say

identity_provider = command_group("Identity providers: where people sign in with OpenID Connect.")

SecretOption = Annotated[
    str | None,
    typer.Option("--client-secret-file", metavar="FILE", help="File with the client secret; - reads standard input."),
]
ScopeOption = Annotated[list[str] | None, typer.Option("--scope", help="A scope to ask for; repeat it.")]
GroupsClaimOption = Annotated[
    str | None, typer.Option("--groups-claim", help="The claim that lists a person's groups; '' for none.")
]
DomainOption = Annotated[
    list[str] | None,
    typer.Option("--email-domain", help="Only verified addresses of this domain sign in; repeat it."),
]
NewUsersOption = Annotated[
    str | None, typer.Option("--new-users", metavar="refuse|create", help="What to do with somebody unknown.")
]
SecondFactorOption = Annotated[
    str | None,
    typer.Option("--second-factor", metavar="own|provider", help="Whether a second factor at the provider counts."),
]


@identity_provider.command("create")
def provider_create(
    name: str,
    issuer: Annotated[str, typer.Option("--issuer", help="Exactly as the provider writes it into its tokens.")],
    client_id: Annotated[str, typer.Option("--client-id", help="Our name at the provider.")],
    client_secret_file: SecretOption = None,
    scope: ScopeOption = None,
    groups_claim: GroupsClaimOption = None,
    email_domain: DomainOption = None,
    new_users: NewUsersOption = None,
    second_factor: SecondFactorOption = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Add a provider. Says the redirect URI to register there; then try it with `check`.

    \b
    Example:
      ostiary admin identity-provider create Corp --issuer https://id.corp.example --client-id ostiary \\
        --client-secret-file secret --groups-claim groups --new-users create
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        body: Json = {"name": name, "issuer": issuer, "client_id": client_id}
        body["client_secret"] = read_secret(client_secret_file, "Client secret")
        body |= _parts(scope, groups_claim, email_domain, new_users, second_factor)
        made = api.post("identity-providers", body)
        show_one(made, output, sentence=f"identity provider {made['name']} created ({made['id']})")
        if output is Output.TABLE:
            say(f"register this redirect URI there: {made['redirect_uri']}")
            say(f"next: ostiary admin identity-provider check {made['name']}")


@identity_provider.command("list")
def provider_list(as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """List the providers.

    \b
    Example:
      ostiary admin identity-provider list
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        columns: Columns = [
            ("NAME", "name"),
            ("ISSUER", "issuer"),
            ("NEW USERS", "new_users"),
            ("MAPPED GROUPS", lambda item: len(item.get("groups") or [])),
            ("CREATED", age("created_at")),
            ("ID", "id"),
        ]
        items = api.items("identity-providers")
        show_list(items, columns, output, empty="next: ostiary admin identity-provider create NAME --issuer URL …")


@identity_provider.command("show")
def provider_show(name: str, as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """Show a provider: its settings, mapped groups and redirect URI.

    \b
    Example:
      ostiary admin identity-provider show Corp
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        shown = api.get(f"identity-providers/{resolve(api, IDENTITY_PROVIDER, name)}")
        if output is Output.TABLE:
            names = names_of(api, GROUP)
            shown["groups"] = [_mapping(item, names) for item in shown.get("groups") or []]
        show_one(shown, output)


@identity_provider.command("change")
def provider_change(
    name: str,
    new_name: Annotated[str | None, typer.Option("--name", help="Another name.")] = None,
    client_id: Annotated[str | None, typer.Option("--client-id", help="Our name at the provider.")] = None,
    client_secret_file: SecretOption = None,
    scope: ScopeOption = None,
    groups_claim: GroupsClaimOption = None,
    email_domain: DomainOption = None,
    new_users: NewUsersOption = None,
    second_factor: SecondFactorOption = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Change what is given; the rest stays. The issuer cannot change: it is half of every identity.

    \b
    Example:
      ostiary admin identity-provider change Corp --client-secret-file secret
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        body = _parts(scope, groups_claim, email_domain, new_users, second_factor)
        body |= {key: value for key, value in (("name", new_name), ("client_id", client_id)) if value is not None}
        if client_secret_file is not None:
            body["client_secret"] = read_secret(client_secret_file, "Client secret")
        changed = api.patch(f"identity-providers/{resolve(api, IDENTITY_PROVIDER, name)}", body)
        show_one(changed, output, sentence=f"identity provider {changed['name']} changed")


@identity_provider.command("map")
def provider_map(
    name: str,
    mapping: Annotated[
        list[str] | None, typer.Argument(metavar="CLAIM=GROUP…", help="The whole mapping; none: nothing is mapped.")
    ] = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say which groups follow the provider's. At each sign-in a person is put into and taken out of these, no others.

    \b
    Example:
      ostiary admin identity-provider map Corp eng=engineers ops=operators
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        target = resolve(api, IDENTITY_PROVIDER, name)
        pairs = [_pair(item) for item in mapping or []]
        groups = [{"claim": claim, "group": resolve(api, GROUP, group)} for claim, group in pairs]
        changed = api.put(f"identity-providers/{target}/groups", {"groups": groups})
        show_one(changed, output, sentence=f"{len(groups)} groups follow {changed['name']}")


@identity_provider.command("check")
def provider_check(name: str, as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """Have the controller fetch the provider's description; says what is wrong with it.

    \b
    Example:
      ostiary admin identity-provider check Corp
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        found = api.post(f"identity-providers/{resolve(api, IDENTITY_PROVIDER, name)}/check")
        show_one(found, output)


@identity_provider.command("link")
def provider_link(
    name: str,
    email: str,
    subject: Annotated[str, typer.Option("--subject", help="Who the person is at the provider (`sub`), no address.")],
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Let a subject of the provider sign in as an account that there is.

    \b
    Example:
      ostiary admin identity-provider link Corp grace@corp.example --subject 248289761001
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        body = {"provider": resolve(api, IDENTITY_PROVIDER, name), "subject": subject}
        made = api.post(f"users/{escape(resolve(api, USER, email))}/identities", body)
        show_one(made, output, sentence=f"{subject} of {name} signs in as {email}")


@identity_provider.command("unlink")
def provider_unlink(name: str, email: str, as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """End that anybody at the provider signs in as an account.

    \b
    Example:
      ostiary admin identity-provider unlink Corp grace@corp.example
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        user, provider = resolve(api, USER, email), resolve(api, IDENTITY_PROVIDER, name)
        api.delete(f"users/{escape(user)}/identities/{escape(provider)}")
        show_one(
            {"user": user, "provider": provider, "linked": False}, output, sentence=f"{email} unlinked from {name}"
        )


@identity_provider.command("delete")
def provider_delete(
    name: str, yes: YesOption = False, as_json: JsonOption = False, output: OutputOption = Output.TABLE
) -> None:
    """Delete a provider. Nobody signs in through it any more; accounts and memberships stay.

    \b
    Example:
      ostiary admin identity-provider delete Corp
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        target = resolve(api, IDENTITY_PROVIDER, name)
        confirm(f"Delete the identity provider {name}?", yes=yes)
        delete(api, "identity-providers", target, output, f"identity provider {name} deleted")


def _parts(
    scope: list[str] | None,
    groups_claim: str | None,
    email_domain: list[str] | None,
    new_users: str | None,
    second_factor: str | None,
) -> Json:
    given: Json = {
        "scopes": scope or None,
        "groups_claim": groups_claim,
        "email_domains": email_domain or None,
        "new_users": new_users,
        "second_factor": second_factor,
    }
    return {key: value for key, value in given.items() if value is not None}


def _pair(text: str) -> tuple[str, str]:
    claim, equals, group = text.rpartition("=")
    if not (claim and equals and group):
        raise LocalError(Reason.INVALID_INPUT, f"{text!r} is not of the form CLAIM=GROUP")
    return claim, group


def _mapping(item: Item, names: dict[str, str]) -> str:
    return f"{item['claim']}={names.get(str(item['group']), str(item['group']))}"
