"""`admin reset-password`: for people who are locked out; needs a shell on the controller's host."""

from pathlib import Path

from controller.api.operations import accounts
from controller.cli.access import opened, writing
from controller.cli.options import load_settings
from controller.identity.passwords import Passwords, check_new_password, generate_password
from controller.settings import Settings
from controller.store import credentials
from protocol.errors import LocalError
from protocol.ids import UserId
from protocol.reasons import Reason
from runtime.console import exit_on_error, print_json, print_lines
from runtime.lifecycle import run_command
from runtime.secret_input import read_password


def reset_password(config: Path | None, email: str, password_file: str | None, *, as_json: bool) -> None:
    """Sets a password and ends the user's sessions."""
    with exit_on_error(as_json=as_json):
        settings = load_settings(config)
        password = read_password(password_file) if password_file else generate_password()
        check_new_password(password, email=email)
        user = run_command(_reset(settings, email, password))
        made_up = None if password_file else password
        if as_json:
            print_json({"ok": True, "user": user, "password": made_up})
            return
        print_lines(f"The password of {email} was set; all sessions of the account have ended.")
        if made_up is not None:
            print_lines(f"  new password  {made_up}")


async def _reset(settings: Settings, email: str, password: str) -> UserId:
    passwords = Passwords()
    try:
        fresh = await passwords.hash(password)
    finally:
        passwords.close()
    async with opened(settings) as store, writing(store, "admin reset-password") as unit:
        user = await credentials.find_by_email(unit.connection, email)
        if user is None or user not in unit.state.users:
            raise LocalError(Reason.NOT_FOUND, f"no account has the address {email}")
        await accounts.set_password(unit, user, fresh)
        return user
