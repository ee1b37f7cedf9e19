"""`init`, `admin setup-token`, `check-config` and `openapi`."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from controller.api.operations import accounts, bootstrap, first_run
from controller.api.operations.accounts import NewAccount
from controller.api.operations.bootstrap import Outcome
from controller.cli.access import opened
from controller.cli.database import upgrade_schema
from controller.cli.options import ACTOR, load_settings
from controller.domain.model import Role
from controller.identity.passwords import PASSWORD_MIN, Passwords, check_new_password
from controller.identity.sealing import create_master_secret, load_seal
from controller.settings import CA_FILE, Settings, parse_public_url
from controller.store import Store
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime import settings as settings_loader
from runtime.console import exit_on_error, print_json, print_lines, print_settings, warn
from runtime.files import StateDir
from runtime.lifecycle import run_command
from runtime.secret_input import ask_password, read_password


@dataclass(frozen=True, slots=True)
class Owner:
    """The first owner as given on the command line."""

    email: str
    name: str
    password: str


def init(
    config: Path | None,
    *,
    public_url: str | None,
    owner: str | None,
    owner_name: str | None,
    password_file: str | None,
    without_owner: bool,
    as_json: bool,
) -> None:
    """Sets the controller up."""
    with exit_on_error(as_json=as_json):
        if without_owner and owner is not None:
            raise LocalError(Reason.INVALID_INPUT, "--owner and --without-owner exclude each other")
        settings = load_settings(config, {"public_url": public_url})
        url = parse_public_url(settings.public_url) if settings.public_url else None
        first = _owner(owner, owner_name, password_file)
        state_dir = StateDir(settings.state_dir)
        state_dir.ensure()
        made = ["master secret"] if create_master_secret(settings.state_dir) else []
        outcome = run_command(_set_up(settings, url, first, made))
        state_dir.write(CA_FILE, outcome.ca.pem, mode=0o644)
        made += outcome.made
        if url is not None and url != outcome.public_url:
            warn(
                f"this controller was set up as {outcome.public_url}; to serve it as {url}, "
                "set OSTIARY_PUBLIC_URL or the key public_url for `serve`"
            )
        token = run_command(_setup_token(settings)) if without_owner else None
        _report(settings, outcome, made, token, as_json=as_json)


def setup_token(config: Path | None, *, as_json: bool) -> None:
    """Prints a fresh set-up token."""
    with exit_on_error(as_json=as_json):
        settings = load_settings(config)
        token = run_command(_setup_token(settings))
        if as_json:
            print_json({"ok": True, "setup_token": token.secret, "expires": round(token.expires), "url": token.url})
            return
        print_lines(*_token_lines(token))


@dataclass(frozen=True, slots=True)
class SetupToken:
    """``secret`` is shown this once; ``url`` is where it is asked for."""

    secret: str
    expires: float
    url: str


def _token_lines(token: SetupToken) -> list[str]:
    return [f"  set-up token  {token.secret}", f"  good for one hour, at {token.url}"]


async def _setup_token(settings: Settings) -> SetupToken:
    async with opened(settings) as store:
        first_run.require_open(store.feed.state)
        url = settings.public_url.rstrip("/") if settings.public_url else store.feed.state.public_url
        async with store.transact() as connection:
            secret, expires = await first_run.give_out(connection, now=time.time())
    return SetupToken(secret, expires, url)


def check_config(config: Path | None, *, as_json: bool) -> None:
    """Shows the settings in force."""
    with exit_on_error(as_json=as_json):
        settings = load_settings(config)
        print_settings(settings_loader.describe(settings), as_json=as_json)


def openapi() -> None:
    """Prints the API document."""
    from controller.api.document import build_api

    print(json.dumps(build_api().openapi(), indent=2, ensure_ascii=False))  # noqa: T201 - the result


def _owner(email: str | None, name: str | None, password_file: str | None) -> Owner | None:
    if email is None:
        if name is not None or password_file is not None:
            raise LocalError(Reason.INVALID_INPUT, "--owner-name and --password-file belong to --owner")
        return None
    prompt = f"Password for {email} (at least {PASSWORD_MIN} characters)"
    password = read_password(password_file) if password_file else ask_password(prompt, twice=True)
    check_new_password(password, email=email)
    return Owner(email, name or email.partition("@")[0], password)


async def _set_up(settings: Settings, url: str | None, owner: Owner | None, made: list[str]) -> Outcome:
    account = await _prepare(owner) if owner is not None else None
    database = settings.effective_database_url
    if not settings.has_database:
        upgrade_schema(database)
        made.append("database schema")
    try:
        store = await Store.open(database)
    except LocalError as exc:
        if exc.reason is not Reason.SCHEMA_OLDER:
            raise
        upgrade_schema(database)
        made.append("database schema")
        store = await Store.open(database)
    try:
        seal = load_seal(settings.state_dir)
        return await bootstrap.set_up(store, seal, public_url=url, owner=account, actor=ACTOR, now=time.time())
    finally:
        await store.close()


async def _prepare(owner: Owner) -> NewAccount:
    passwords = Passwords()
    try:
        return await accounts.prepare(
            passwords, email=owner.email, name=owner.name, role=Role.OWNER, password=owner.password
        )
    finally:
        passwords.close()


def _report(settings: Settings, outcome: Outcome, made: list[str], token: SetupToken | None, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "ok": True,
                "ca_pin": outcome.ca.pin,
                "issuer": outcome.issuer,
                "public_url": outcome.public_url,
                "state_dir": str(settings.state_dir),
                "owner": outcome.owner,
                "made": made,
                **({} if token is None else {"setup_token": token.secret}),
            }
        )
        return
    print_lines(
        f"The controller {outcome.issuer} is set up in {settings.state_dir}.",
        f"  made now    {', '.join(made) if made else 'nothing, all was there'}",
        f"  public URL  {outcome.public_url}",
        f"  CA pin      {outcome.ca.pin}",
        "",
        "Next:",
    )
    if token is not None:
        print_lines("  ostiary-controller serve", "  and open it in a browser:", *_token_lines(token))
        return
    if outcome.owner is None:
        print_lines("  ostiary-controller init --owner EMAIL --owner-name NAME --password-file FILE")
    print_lines(
        "  ostiary-controller serve",
        f"  ostiary admin login {outcome.public_url} --ca-pin {outcome.ca.pin}",
    )
