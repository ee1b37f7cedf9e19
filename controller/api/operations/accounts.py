"""Accounts of people: personal data and passwords beside the log."""

from dataclasses import dataclass

from controller.api.problems import FieldError
from controller.domain.commands import CreateUser, RemoveUser, SetUserPassword
from controller.domain.commands_personal import ErasePersonalData, RenameUser
from controller.domain.model import Role, SubjectKind, SubjectRef
from controller.domain.rules import EMAIL_MAX, RuleBrokenError, clean_name
from controller.identity.passwords import Passwords, check_new_password
from controller.store import Unit, api_tokens, credentials, erasure, identities, passkeys, second_factors, web_sessions
from protocol.ids import UserId
from runtime.entropy import new_id


@dataclass(frozen=True, slots=True)
class NewAccount:
    """A checked account on its way into the store."""

    email: str
    name: str
    role: Role
    password_hash: str | None
    """None: nobody signs in with a password until one is set."""


async def prepare(passwords: Passwords, *, email: str, name: str, role: Role, password: str | None) -> NewAccount:
    """Checks the parts and hashes the password; slow on purpose, so it happens before the write.

    Raises:
        FieldError: naming the part at fault.
        RefusedError: INVALID_INPUT for the password.
    """
    address = check_email(email)
    display = check_name(name)
    if password is None:
        return NewAccount(address, display, role, None)
    check_new_password(password, email=address)
    return NewAccount(address, display, role, await passwords.hash(password))


async def create(unit: Unit, account: NewAccount) -> UserId:
    """Creates the account. Raises RefusedError: ALREADY_EXISTS for a used address, FORBIDDEN."""
    user = UserId(new_id("user"))
    await unit.execute(CreateUser(user, account.role))
    await credentials.set_personal_data(
        unit.connection, user, fields={"name": account.name}, email=account.email, now=unit.now
    )
    if account.password_hash is not None:
        await credentials.set_password_hash(unit.connection, user, account.password_hash, unit.now)
    return user


async def set_password(unit: Unit, user: UserId, password_hash: str) -> None:
    """Replaces the password and ends all sessions of the user to API and page; the log says who did it."""
    await unit.execute(SetUserPassword(user))
    await credentials.set_password_hash(unit.connection, user, password_hash, unit.now)
    await web_sessions.revoke_all(unit.connection, user, unit.now)


async def rename(unit: Unit, user: UserId, name: str) -> None:
    """Gives the account another display name."""
    known = await credentials.get_personal_data(unit.connection, user)
    fields, email = (known.fields, known.email) if known is not None else ({}, None)
    renamed = {**fields, "name": check_name(name)}
    if renamed == fields:
        return
    await unit.execute(RenameUser(user))
    await credentials.set_personal_data(unit.connection, user, fields=renamed, email=email, now=unit.now)


async def remove(unit: Unit, user: UserId) -> None:
    """Removes the account. The address is free again and inherits nothing (T-2); the audit trail keeps the name."""
    devices = tuple(unit.state.devices_of.get(SubjectRef(SubjectKind.USER, user), ()))
    await unit.execute(RemoveUser(user))
    await credentials.delete_password(unit.connection, user)
    await second_factors.remove(unit.connection, user)
    await passkeys.remove_all(unit.connection, user)
    await identities.erase(unit.connection, user)
    await web_sessions.revoke_all(unit.connection, user, unit.now)
    known = await credentials.get_personal_data(unit.connection, user)
    if known is not None:
        await credentials.set_personal_data(unit.connection, user, fields=known.fields, email=None, now=unit.now)
    for thing in (*devices, *await api_tokens.ids_of(unit.connection, user)):
        await credentials.erase_personal_data(unit.connection, thing)
    await api_tokens.revoke_all(unit.connection, user, unit.now)


async def erase(unit: Unit, user: UserId) -> None:
    """Erases what is known about the person; the log keeps ids only, and says that and by whom it was erased.

    Raises:
        RefusedError: IN_USE while the account can still sign in, NOT_FOUND, FORBIDDEN.
    """
    await unit.execute(ErasePersonalData(user))
    await erasure.erase(unit.connection, user)


def check_email(email: str) -> str:
    """Returns the address without surrounding blanks. Raises FieldError for what cannot be one."""
    address = email.strip()
    local, at, domain = address.rpartition("@")
    fits = at and local and "." not in (domain[:1], domain[-1:]) and domain and len(address) <= EMAIL_MAX
    if not fits or not address.isprintable() or any(char.isspace() or char in '"<>,;:\\' for char in address):
        raise FieldError("email", "this is not an e-mail address")
    return address


def check_name(name: str) -> str:
    """Returns a display name as it is stored. Raises FieldError."""
    try:
        return clean_name(name)
    except RuleBrokenError as exc:
        raise FieldError("name", exc.refusal.detail) from exc
