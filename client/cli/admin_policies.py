"""`ostiary admin policy|exclusion`: conditions under which grants hold, and who may not reach what whatever grants say."""

import time
from typing import Annotated, Any

import typer

from client.cli.admin_common import (
    EXCLUSION,
    GROUP,
    POLICY,
    RESOURCE,
    SERVICE_ACCOUNT,
    USER,
    JsonOption,
    OutputOption,
    YesOption,
    administrator,
    by_id,
    by_subject,
    chosen,
    confirm,
    delete,
    find,
    names_of,
    resolve,
)
from client.cli.admin_grants import ResourceOption, parse_moment, parse_subject
from client.cli.admin_output import Columns, Item, Output, age, expiry, show_list, show_one
from client.cli.admin_session import Json, escape
from client.cli.hours import parse_window, say_window
from client.cli.times import parse_duration, span
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.command_line import command_group
from runtime.console import AdviceError

policy = command_group("Policies: conditions under which grants hold.")
exclusion = command_group("Exclusions: who may not reach what, whatever grants say.")

SignInOption = Annotated[
    str | None, typer.Option("--sign-in", metavar="AGE", help="Signed in within 8h, 7d….", show_default=False)
]
MfaOption = Annotated[str | None, typer.Option("--mfa", metavar="AGE", help="A second factor within 8h, 7d….")]
TrustedOption = Annotated[bool, typer.Option("--trusted", help="A device that an administrator trusts.")]
SystemOption = Annotated[
    list[str] | None,
    typer.Option("--system", metavar="NAME[:VERSION]", help="debian:12 or newer, linux:6.1 (kernel)…; any of them."),
]
DiskOption = Annotated[bool, typer.Option("--disk-encrypted", help="As the device reports.")]
FirewallOption = Annotated[bool, typer.Option("--firewall", help="Packet filter rules are loaded, as reported.")]
ClientOption = Annotated[str, typer.Option("--client", metavar="VERSION", help="This version of ostiaryd or newer.")]
FactsOption = Annotated[
    str | None, typer.Option("--facts-age", metavar="AGE", help="How old the device's report may be. Default: 1d.")
]
SourceOption = Annotated[
    list[str] | None, typer.Option("--source", metavar="CIDR", help="The device comes from here; any of them.")
]
HoursOption = Annotated[
    list[str] | None, typer.Option("--hours", metavar="HOURS", help="'mon-fri 08:00-18:00', 'daily 22:00-06:00'; any.")
]
ZoneOption = Annotated[str, typer.Option("--zone", metavar="ZONE", help="Time zone of --hours, such as Europe/Berlin.")]


@policy.command("create")
def policy_create(
    name: str,
    sign_in: SignInOption = None,
    mfa: MfaOption = None,
    trusted: TrustedOption = False,
    system: SystemOption = None,
    disk_encrypted: DiskOption = False,
    firewall: FirewallOption = False,
    client: ClientOption = "",
    facts_age: FactsOption = None,
    source: SourceOption = None,
    hours: HoursOption = None,
    zone: ZoneOption = "UTC",
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Create a policy: all that is named must hold. Grants name it with `grant create --policy`.

    \b
    Examples:
      ostiary admin policy create "office hours" --hours "mon-fri 08:00-18:00" --zone Europe/Berlin
      ostiary admin policy create strict --mfa 8h --trusted --disk-encrypted --system debian:12
    """
    output = chosen(output, as_json=as_json)
    asked = _ages(sign_in, mfa, facts_age)
    asked |= _device(trusted, system, disk_encrypted, firewall, client) | _place_and_time(source, hours, zone)
    with administrator(output) as api:
        made = api.post("policies", {"name": name, "conditions": asked})
        show_one(made, output, sentence=f"policy {made['name']} created: {_summary(made)}")


@policy.command("change")
def policy_change(
    name: str,
    rename: Annotated[str | None, typer.Option("--rename", metavar="NAME", help="The new name.")] = None,
    sign_in: SignInOption = None,
    mfa: MfaOption = None,
    trusted: TrustedOption = False,
    system: SystemOption = None,
    disk_encrypted: DiskOption = False,
    firewall: FirewallOption = False,
    client: ClientOption = "",
    facts_age: FactsOption = None,
    source: SourceOption = None,
    hours: HoursOption = None,
    zone: ZoneOption = "UTC",
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Rename a policy, or replace all of its conditions by those that are named here.

    It counts for all grants under it at once; connections that do not meet it any more are reset within a second.

    \b
    Examples:
      ostiary admin policy change strict --mfa 4h --trusted
      ostiary admin policy change strict --rename "trusted laptops"
    """
    output = chosen(output, as_json=as_json)
    asked = _ages(sign_in, mfa, facts_age)
    asked |= _device(trusted, system, disk_encrypted, firewall, client) | _place_and_time(source, hours, zone)
    body: Json = ({"conditions": asked} if asked else {}) | ({"name": rename} if rename is not None else {})
    with administrator(output) as api:
        if not body:
            raise AdviceError(
                Reason.INVALID_INPUT, "nothing is to be changed", next_step="Name conditions, or --rename."
            )
        changed = api.patch(f"policies/{escape(resolve(api, POLICY, name))}", body)
        show_one(changed, output, sentence=f"policy {changed['name']}: {_summary(changed)}")


@policy.command("list")
def policy_list(as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """List the policies and what they ask for.

    \b
    Example:
      ostiary admin policy list
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        columns: Columns = [("NAME", "name"), ("CONDITIONS", _summary), ("GRANTS", "grants"), ("ID", "id")]
        empty = "next: ostiary admin policy create NAME --mfa 8h"
        show_list(api.items("policies"), columns, output, empty=empty)


@policy.command("show")
def policy_show(name: str, as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """Show one policy.

    \b
    Example:
      ostiary admin policy show strict
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        item = find(api, POLICY, name)
        show_one(item if output is not Output.TABLE else {**item, "conditions": _summary(item)}, output)


@policy.command("remove")
def policy_remove(
    name: str, yes: YesOption = False, as_json: JsonOption = False, output: OutputOption = Output.TABLE
) -> None:
    """Remove a policy. Refused while a grant is under it: the grant would hold without conditions.

    \b
    Example:
      ostiary admin policy remove strict
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        target = resolve(api, POLICY, name)
        confirm(f"Remove the policy {name}?", yes=yes)
        delete(api, "policies", target, output, f"policy {name} removed")


@exclusion.command("create")
def exclusion_create(
    subject: Annotated[
        str, typer.Option("--for", metavar="SUBJECT", help="group:NAME, user:EMAIL or service-account:NAME.")
    ],
    resource: ResourceOption,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="TIME", help="After 8h, 2d…, or at 2026-12-24T18:00. Default: never."),
    ] = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Keep somebody from a resource, whatever grants say. Open connections are reset within a second.

    \b
    Example:
      ostiary admin exclusion create --for group:contractors --resource payroll
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        kind, who = parse_subject(api, subject, "--for")
        body: Json = {"subject_kind": kind, "subject": who, "resource": resolve(api, RESOURCE, resource)}
        if expires is not None:
            body["expires_at"] = parse_moment(expires, time.time())
        made = api.post("exclusions", body)
        until = f" until {made['expires_at']}" if made.get("expires_at") else ""
        show_one(made, output, sentence=f"exclusion {made['id']}: {subject} may not reach {resource}{until}")


@exclusion.command("list")
def exclusion_list(as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """List the exclusions.

    \b
    Example:
      ostiary admin exclusion list
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        names = names_of(api, GROUP, USER, SERVICE_ACCOUNT, RESOURCE) if output is Output.TABLE else {}

        columns: Columns = [
            ("SUBJECT", by_subject(names)),
            ("RESOURCE", by_id(names, "resource")),
            ("EXPIRES", expiry("expires_at")),
            ("CREATED", age("created_at")),
            ("ID", "id"),
        ]
        show_list(api.items("exclusions"), columns, output, empty="Nobody is excluded from anything.")


@exclusion.command("remove")
def exclusion_remove(
    exclusion_id: Annotated[str, typer.Argument(metavar="ID", help="The exclusion's id, from `exclusion list`.")],
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Remove an exclusion: grants count again.

    \b
    Example:
      ostiary admin exclusion remove exc_q1w2e3r4t5y6u7i8o9p0aA
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        if not EXCLUSION.is_id(exclusion_id):
            raise LocalError(
                Reason.INVALID_INPUT, f"{exclusion_id!r} is no exclusion's id; `ostiary admin exclusion list` has them"
            )
        delete(api, "exclusions", exclusion_id, output, f"exclusion {exclusion_id} removed")


def _ages(sign_in: str | None, mfa: str | None, facts_age: str | None) -> Json:
    said = {"sign_in_max_age_s": sign_in, "mfa_max_age_s": mfa, "facts_max_age_s": facts_age}
    flags = {"sign_in_max_age_s": "--sign-in", "mfa_max_age_s": "--mfa", "facts_max_age_s": "--facts-age"}
    return {member: _seconds(text, flags[member]) for member, text in said.items() if text is not None}


def _seconds(text: str, flag: str) -> int:
    try:
        return round(parse_duration(text))
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint=flag) from exc


def _device(trusted: bool, system: list[str] | None, disk: bool, firewall: bool, client: str) -> Json:
    asked: Json = {}
    if system:
        pairs = [text.partition(":") for text in system]
        asked["systems"] = [{"name": name, "min_version": version} for name, _, version in pairs]
    flags = {"device_trusted": trusted, "disk_encrypted": disk, "firewall": firewall}
    asked |= {member: True for member, flag in flags.items() if flag}
    return asked | ({"client_min_version": client} if client else {})


def _place_and_time(source: list[str] | None, hours: list[str] | None, zone: str) -> Json:
    asked: Json = {"sources": source} if source else {}
    if hours:
        try:
            asked["hours"] = {"zone": zone, "windows": [parse_window(text) for text in hours]}
        except ValueError as exc:
            raise typer.BadParameter(str(exc), param_hint="--hours") from exc
    return asked


def _summary(item: Item) -> str:
    """What a policy asks for, in one line."""
    asked: dict[str, Any] = dict(item.get("conditions") or {})
    parts = [
        f"{text} within {span(asked[member])}"
        for member, text in (("sign_in_max_age_s", "sign-in"), ("mfa_max_age_s", "second factor"))
        if asked.get(member)
    ]
    parts += [
        text
        for member, text in (
            ("device_trusted", "trusted device"),
            ("disk_encrypted", "encrypted disk"),
            ("firewall", "firewall"),
        )
        if asked.get(member)
    ]
    if asked.get("systems"):
        names = (f"{one['name']} {one.get('min_version') or ''}".strip() for one in asked["systems"])
        parts.append(" or ".join(names))
    if asked.get("client_min_version"):
        parts.append(f"ostiaryd {asked['client_min_version']}")
    if asked.get("sources"):
        parts.append("from " + " or ".join(asked["sources"]))
    if asked.get("hours"):
        windows = " or ".join(say_window(window) for window in asked["hours"]["windows"])
        parts.append(f"{windows} {asked['hours']['zone']}")
    return ", ".join(parts)
