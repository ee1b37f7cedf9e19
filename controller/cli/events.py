"""`events verify|export|replay`: the audit trail without the server (T-9, T-70)."""

import json
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TextIO

from controller.cli.export_files import fold_export, read_lines, read_object, target
from controller.cli.options import load_settings
from controller.domain.state_digest import counts_of, digest_of
from controller.settings import Settings
from controller.store import exporting
from controller.store.evidence import Audit, Report
from controller.store.exporting import Line
from protocol.errors import LocalError, RemoteProtocolError
from protocol.reasons import Reason
from protocol.tokens.keys import VerificationKeys
from runtime.console import FAILED, exit_on_error, print_json, print_lines
from runtime.lifecycle import run_command


def verify(
    config: Path | None, *, export: Path | None, witnesses: Sequence[Path], keys: Path | None, as_json: bool
) -> None:
    """Audits the database, or an export."""
    with exit_on_error(as_json=as_json):
        audit = Audit(_trusted(keys) if keys is not None else None)
        if export is None:
            settings = load_settings(config)
            settings.require_database()
            run_command(_take_database(settings, audit))
        else:
            for line in read_lines(export):
                audit.take(line)
        for path in witnesses:
            audit.take_witness(read_object(path), path.name)
        report = audit.finish()
        _show_report(report, as_json=as_json)
        if report.faults:
            raise SystemExit(FAILED)


def export(config: Path | None, output: Path | None, personal: Path | None) -> None:
    """Writes JSON lines, oldest first."""
    with exit_on_error():
        if output is not None and personal is not None and output == personal:
            raise LocalError(Reason.INVALID_INPUT, "--personal-data goes into a file of its own")
        settings = load_settings(config)
        settings.require_database()
        with target(output) as stream:
            run_command(_export(settings, stream))
        if personal is not None:
            with target(personal) as stream:
                run_command(_export_personal(settings, stream))


def replay(source: Path, at: int | None, *, as_json: bool) -> None:
    """Folds an export into a state and shows its digest."""
    with exit_on_error(as_json=as_json):
        state, log_head = fold_export(read_lines(source), at)
        counts = counts_of(state)
        body = {
            "ok": True,
            "issuer": state.issuer,
            "epoch": state.epoch,
            "position": state.position,
            "at_ms": state.at_ms,
            "log_head": log_head,
            "digest": digest_of(state),
            "counts": counts,
        }
        if as_json:
            print_json(body)
            return
        print_lines(f"controller  {state.issuer}, epoch {state.epoch}", f"position    {state.position}")
        print_lines(f"log head    {log_head}", f"digest      {body['digest']}")
        print_lines(*(f"{name.replace('_', ' '):17} {count}" for name, count in counts.items()))


async def _take_database(settings: Settings, audit: Audit) -> None:
    async with exporting.opened(settings.effective_database_url) as engine, aclosing(exporting.lines(engine)) as lines:
        async for line in lines:
            audit.take(line)


async def _export(settings: Settings, stream: TextIO) -> None:
    async with exporting.opened(settings.effective_database_url) as engine, aclosing(exporting.lines(engine)) as lines:
        async for line in lines:
            _write(stream, line)


async def _export_personal(settings: Settings, stream: TextIO) -> None:
    async with (
        exporting.opened(settings.effective_database_url) as engine,
        aclosing(exporting.personal_lines(engine)) as lines,
    ):
        async for line in lines:
            _write(stream, line)


def _write(stream: TextIO, line: Line) -> None:
    stream.write(json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n")


def _trusted(path: Path) -> VerificationKeys:
    try:
        return VerificationKeys.from_jwks_untrusted(read_object(path))
    except RemoteProtocolError as exc:
        raise LocalError(Reason.INVALID_INPUT, f"{path}: {exc.detail}") from exc


def _show_report(report: Report, *, as_json: bool) -> None:
    faults = [{"position": item.position, "kind": item.kind, "detail": item.detail} for item in report.faults]
    if as_json:
        print_json(
            {
                "ok": not faults,
                "issuer": report.issuer,
                "checked": report.events,
                "checkpoints": report.checkpoints,
                "witnessed": report.witnessed,
                "log_head": report.log_head,
                "faults": faults,
                "notes": list(report.notes),
            }
        )
        return
    print_lines(f"{report.events} events checked, head {report.log_head}")
    print_lines(f"{report.checkpoints} checkpoints verified, {report.witnessed} witnessed positions compared")
    print_lines(*(f"event {fault['position']}: {fault['kind']}: {fault['detail']}" for fault in faults))
    print_lines(*(f"note: {note}" for note in report.notes))
    print_lines("The audit trail was tampered with." if faults else "The audit trail is whole.")
