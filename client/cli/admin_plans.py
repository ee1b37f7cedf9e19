"""`ostiary admin apply|export`: the policy as a document, with a plan in between."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from client.cli.admin_common import JsonOption, OutputOption, YesOption, administrator, chosen, confirm
from client.cli.admin_output import Cell, Columns, Item, Output
from client.cli.admin_session import Api, Json, ProblemError, escape
from protocol.errors import LocalError
from protocol.limits import POLICY_DOCUMENT_MAX_BYTES
from protocol.reasons import Reason
from runtime.console import CHANGES_PENDING, AdviceError, print_json, print_lines, print_table, say

TRIES: Final = 3
"""How often a plan is made again when somebody else's event came in between and changed nothing about it."""

FileOption = Annotated[
    str | None, typer.Option("--file", "-f", metavar="FILE", help="The policy document; - reads standard input.")
]


def apply(
    file: FileOption = None,
    plan: Annotated[
        str | None,
        typer.Option("--plan", metavar="HASH", help="Apply a plan that was made before, perhaps by another."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Also remove what the document's sections do not name.")
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make the policy as a document says: shows who gains and loses what and which connections end, asks, and applies that.

    \b
    Without changes it does nothing. With --dry-run the exit code is 9 when changes are pending, 0 when there are none, and 1
    when the plan has faults or failed tests.

    \b
    Examples:
      ostiary admin apply -f policy.yaml --dry-run
      ostiary admin apply -f policy.yaml --prune --yes
      ostiary admin apply --plan 5f2a…c7
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        if (file is None) == (plan is None):
            raise LocalError(Reason.INVALID_INPUT, "name either a --file or a --plan")
        if plan is not None:
            made = api.get(f"plans/{escape(plan)}")
            document = None
        else:
            assert file is not None
            document = _read(file)
            made = _make(api, document, prune=prune)
        code = _go_on(api, made, document, output, dry_run=dry_run, yes=yes)
    raise typer.Exit(code)


def export(
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", metavar="FILE", help="Write the document here instead of printing it."),
    ] = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print the policy as a document. Applied as it is, it changes nothing: edit it, and `apply` says what that would do.

    \b
    Examples:
      ostiary admin export > policy.yaml
      ostiary admin export -f policy.yaml
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        body = api.get("export")
        document = str(body.get("document", ""))
        if file is not None:
            from runtime.files import write_atomic

            write_atomic(file, document)
            say(f"revision {body.get('revision')} written to {file}")
        elif output is Output.TABLE:
            # Names in it are escaped by YAML itself.
            sys.stdout.write(document)
        else:
            print_json(body)


def declare(app: typer.Typer) -> None:
    """Adds the two commands."""
    app.command("apply")(apply)
    app.command("export")(export)


def _go_on(api: Api, made: Json, document: str | None, output: Output, *, dry_run: bool, yes: bool) -> int:
    """Shows the plan and, unless it is a dry run, asks and applies it. Returns the exit code."""
    table = output is Output.TABLE
    if table:
        show_plan(made)
    pending = bool(made.get("changes"))
    if dry_run or not pending or not made.get("applicable"):
        if not table:
            print_json(made)
        if not made.get("applicable"):
            if table:
                raise AdviceError(Reason.PLAN_REFUSED, _first_fault(made), next_step="Mend the document and try again.")
            return 1
        return CHANGES_PENDING if dry_run and pending else 0
    confirm("Apply this?", yes=yes)
    applied = _apply(api, made, document)
    if table:
        print_lines(f"applied as revision {applied.get('applied_revision')}")
    else:
        print_json(applied)
    return 0


def _apply(api: Api, made: Json, document: str | None) -> Json:
    """Applies the plan; when the log moved and the difference is still the one that was approved, makes it again."""
    for _ in range(TRIES):
        try:
            return api.post(f"plans/{made['hash']}/apply")
        except ProblemError as error:
            if error.reason is not Reason.CONFLICT or document is None:
                raise
            again = _make(api, document, prune=bool(made.get("prune")))
            if _difference(again) != _difference(made):
                detail = "the policy changed in the meantime, and the plan with it"
                raise AdviceError(
                    Reason.CONFLICT, detail, next_step="Run the command again and look once more."
                ) from error
            made = again
    raise LocalError(Reason.CONFLICT, "the log moves faster than plans can be made")


def _difference(plan: Json) -> object:
    """What was approved: everything that was shown but the hash, the revision and the times."""
    changes = [{key: item.get(key) for key in ("action", "kind", "name", "detail")} for item in plan.get("changes", [])]
    # Things that a plan creates have new ids each time; their names stay.
    shown = ("subject", "device", "resource_name", "change", "gained", "lost", "detail")
    access = [[item.get(key) for key in shown] for item in plan.get("access", [])]
    cut = [item.get("flow") for item in plan.get("cut", [])]
    return changes, sorted(map(repr, access)), cut, plan.get("applicable")


def _make(api: Api, document: str, *, prune: bool) -> Json:
    return api.post("plans", {"document": document, "prune": prune})


def _read(source: str) -> str:
    try:
        raw = sys.stdin.buffer.read(POLICY_DOCUMENT_MAX_BYTES + 1) if source == "-" else Path(source).read_bytes()
        document = raw.decode()
    except OSError as exc:
        raise LocalError(Reason.INVALID_INPUT, f"--file: {source}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise LocalError(Reason.INVALID_INPUT, f"--file: {source} is not UTF-8 text") from exc
    if len(raw) > POLICY_DOCUMENT_MAX_BYTES:
        raise LocalError(
            Reason.INVALID_INPUT, f"--file: a policy document has at most {POLICY_DOCUMENT_MAX_BYTES} bytes"
        )
    return document


def _first_fault(plan: Json) -> str:
    faults = [*plan.get("faults", []), *plan.get("failed_tests", [])]
    line = faults[0].get("line") if faults else None
    return (f"line {line}: " if line else "") + (str(faults[0].get("detail")) if faults else "")


def show_plan(plan: Json) -> None:
    """Prints a plan for a person: changes, who gains and loses what, connections that end, what is wrong."""
    if not plan.get("changes") and plan.get("applicable"):
        print_lines("Nothing to change: the policy is as the document says.")
        return
    summary = plan.get("summary", {})
    _table("Changes", plan.get("changes", []), _CHANGES)
    _table("Access", plan.get("access", []), _ACCESS)
    _table("Open connections that would be reset", plan.get("cut", []), _CUT)
    _table("Faults", plan.get("faults", []), _FAULTS)
    _table("Tests that would fail", plan.get("failed_tests", []), _FAULTS)
    if plan.get("truncated"):
        print_lines("The lists are too long to show whole.")
    if plan.get("withheld"):
        print_lines(f"Parts are left out, for want of: {', '.join(map(str, plan['withheld']))}.")
    counts = ", ".join(f"{summary.get(name, 0)} to {name}" for name in ("create", "change", "remove"))
    effect = f"{summary.get('gained', 0)} gain, {summary.get('lost', 0)} lose access; {summary.get('cut', 0)} cut"
    print_lines(f"Plan {plan.get('hash')} on revision {plan.get('revision')}: {counts}; {effect}.")


def _table(title: str, items: list[Item], columns: Columns) -> None:
    if not items:
        return
    print_lines(f"{title}:")
    rows = [[_cell(item, source) for _, source in columns] for item in items]
    print_table([header for header, _ in columns], rows)
    print_lines("")


def _cell(item: Item, source: object) -> str:
    value = source(item) if callable(source) else item.get(str(source))
    return "-" if value in (None, "") else str(value)


def _ports(member: str) -> Cell:
    def cell(item: Item) -> str:
        ports = item.get(member) or {}
        parts = [f"{name} {','.join(ports[name])}" for name in ("tcp", "udp") if ports.get(name)]
        return "; ".join([*parts, *(["ping"] if ports.get("icmp") else [])])

    return cell


_CHANGES: Final[Columns] = [("", "action"), ("KIND", "kind"), ("NAME", "name"), ("DETAIL", "detail"), ("LINE", "line")]
_ACCESS: Final[Columns] = [
    ("WHO", lambda item: item.get("subject_name") or item.get("subject")),
    ("DEVICE", lambda item: item.get("device_name") or item.get("device") or "(any)"),
    ("RESOURCE", lambda item: item.get("resource_name") or item.get("resource")),
    ("", "change"),
    ("GAINS", _ports("gained")),
    ("LOSES", _ports("lost")),
    ("DETAIL", "detail"),
]
_CUT: Final[Columns] = [
    ("WHO", lambda item: item.get("subject_name") or item.get("subject")),
    ("DEVICE", lambda item: item.get("device_name") or item.get("device")),
    ("TO", lambda item: f"{item.get('host')}:{item.get('port')}/{item.get('transport')}"),
    ("SINCE", "started_at"),
    ("REASON", "reason"),
]
_FAULTS: Final[Columns] = [("LINE", "line"), ("WHAT", "detail")]
