"""`ostiary admin user|group`: who there is."""

from typing import Annotated

import typer

from client.cli.admin_common import (
    GROUP,
    USER,
    JsonOption,
    OutputOption,
    PasswordOption,
    YesOption,
    administrator,
    chosen,
    confirm,
    delete,
    read_secret,
    resolve,
)
from client.cli.admin_output import Columns, Output, age, show_list, show_one, yes
from client.cli.admin_session import Json, escape
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.command_line import command_group
from runtime.console import say

user = command_group("People: accounts, roles, passwords.")
user_group = command_group("Groups of users: what grants are usually given to.")

ROLES = ("owner", "admin", "network-admin", "access-approver", "auditor", "member")
_ROLES = f"{', '.join(ROLES[:-1])} or {ROLES[-1]}"
RoleOption = Annotated[str, typer.Option("--role", metavar="ROLE", help=f"{_ROLES}.")]


# --- users -----------------------------------------------------------------------------------------------------------


@user.command("create")
def user_create(
    email: str,
    name: Annotated[
        str | None, typer.Option("--name", help="How the person is called; default: from the address.")
    ] = None,
    role: RoleOption = "member",
    password_file: PasswordOption = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Create an account. Without --password-file a password is made up and shown this once; an API token sets none.

    \b
    Example:
      ostiary admin user create grace@corp.example --name Grace
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        body: Json = {"email": email, "name": name or email.partition("@")[0], "role": _role(role)}
        if password_file is not None:
            body["password"] = read_secret(password_file, "Password")
        made = api.post("users", body)
        show_one(made, output, sentence=f"user {made['email']} created ({made['id']}), role {made['role']}")
        if output is Output.TABLE and made.get("initial_password"):
            say(f"first password, shown this once: {made['initial_password']}")


@user.command("list")
def user_list(as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """List the accounts.

    \b
    Example:
      ostiary admin user list
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        columns: Columns = [
            ("EMAIL", "email"),
            ("NAME", "name"),
            ("ROLE", "role"),
            ("STATE", yes("disabled", yes="disabled", no="enabled")),
            ("CREATED", age("created_at")),
            ("ID", "id"),
        ]
        show_list(api.items("users"), columns, output, empty="next: ostiary admin user create EMAIL")


@user.command("disable")
def user_disable(email: str, as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """Disable an account: everything it reaches ends at once.

    \b
    Example:
      ostiary admin user disable grace@corp.example
    """
    _change_user(email, {"disabled": True}, "disabled", chosen(output, as_json=as_json))


@user.command("enable")
def user_enable(email: str, as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """Enable a disabled account.

    \b
    Example:
      ostiary admin user enable grace@corp.example
    """
    _change_user(email, {"disabled": False}, "enabled", chosen(output, as_json=as_json))


@user.command("role")
def user_role(email: str, role: str, as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """Give an account another role: owner, admin, network-admin, access-approver, auditor or member.

    Nobody gives a role that is not below his own, but owners.

    \b
    Example:
      ostiary admin user role grace@corp.example admin
    """
    _change_user(email, {"role": role}, f"now has the role {role}", chosen(output, as_json=as_json))


def _change_user(email: str, body: Json, what: str, output: Output) -> None:
    with administrator(output) as api:
        if "role" in body:
            _role(str(body["role"]))
        changed = api.patch(f"users/{resolve(api, USER, email)}", body)
        show_one(changed, output, sentence=f"user {changed.get('email') or changed['id']} {what}")


@user.command("password")
def user_password(
    email: str,
    password_file: PasswordOption = None,
    current_password_file: Annotated[
        str | None,
        typer.Option(
            "--current-password-file", metavar="FILE", help="Your present password, when it is your own account."
        ),
    ] = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Set a password and end the account's sign-ins. For your own account the present one is asked too.

    \b
    Example:
      ostiary admin user password grace@corp.example
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        target = resolve(api, USER, email)
        body: Json = {}
        if target == api.get("me")["id"]:
            body["current_password"] = read_secret(current_password_file, "Present password")
        body["password"] = read_secret(password_file, "New password", twice=True)
        api.put(f"users/{escape(target)}/password", body)
        show_one({"id": target, "password_set": True}, output, sentence=f"password of {email} set")


@user.command("delete")
def user_delete(
    email: str, yes: YesOption = False, as_json: JsonOption = False, output: OutputOption = Output.TABLE
) -> None:
    """Delete an account with its devices, memberships and grants.

    \b
    Example:
      ostiary admin user delete grace@corp.example
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        target = resolve(api, USER, email)
        confirm(f"Delete the account {email} with its devices and grants?", yes=yes)
        delete(api, "users", target, output, f"user {email} deleted")


@user.command("erase")
def user_erase(
    email: str, yes: YesOption = False, as_json: JsonOption = False, output: OutputOption = Output.TABLE
) -> None:
    """Erase name and e-mail address of a disabled or deleted account, also from the audit trail. By id once deleted.

    \b
    Example:
      ostiary admin user erase usr_q1w2e3r4t5y6u7i8o9p0aA
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        target = resolve(api, USER, email)
        confirm(f"Erase the personal data of {email}? It cannot be undone.", yes=yes)
        api.delete(f"users/{escape(target)}/personal-data")
        show_one({"id": target, "erased": True}, output, sentence=f"personal data of {target} erased")


def _role(text: str) -> str:
    if text not in ROLES:
        raise LocalError(Reason.INVALID_INPUT, f"{text!r} is not a role; choose {_ROLES}")
    return text


# --- groups ----------------------------------------------------------------------------------------------------------


@user_group.command("create")
def group_create(name: str, as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """Create a group without members.

    \b
    Example:
      ostiary admin group create engineers
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        made = api.post("groups", {"name": name})
        show_one(made, output, sentence=f"group {made['name']} created ({made['id']})")


@user_group.command("list")
def group_list(as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """List the groups.

    \b
    Example:
      ostiary admin group list
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        columns: Columns = [("NAME", "name"), ("MEMBERS", "members"), ("CREATED", age("created_at")), ("ID", "id")]
        show_list(api.items("groups"), columns, output, empty="next: ostiary admin group create NAME")


@user_group.command("members")
def group_members(name: str, as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """List who is in a group.

    \b
    Example:
      ostiary admin group members engineers
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        columns: Columns = [("EMAIL", "email"), ("NAME", "name"), ("ROLE", "role"), ("ID", "id")]
        members = api.items(f"groups/{resolve(api, GROUP, name)}/members")
        show_list(members, columns, output, empty=f"next: ostiary admin group add-member {name} EMAIL")


@user_group.command("rename")
def group_rename(name: str, new_name: str, as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """Give a group another name; its grants stay.

    \b
    Example:
      ostiary admin group rename engineers developers
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        changed = api.patch(f"groups/{resolve(api, GROUP, name)}", {"name": new_name})
        show_one(changed, output, sentence=f"the group is now called {changed['name']}")


@user_group.command("delete")
def group_delete(
    name: str, yes: YesOption = False, as_json: JsonOption = False, output: OutputOption = Output.TABLE
) -> None:
    """Delete a group and its grants; what its members reached through it only ends at once.

    \b
    Example:
      ostiary admin group delete engineers
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        confirm(f"Delete the group {name} with its grants?", yes=yes)
        delete(api, "groups", resolve(api, GROUP, name), output, f"group {name} deleted")


@user_group.command("add-member")
def group_add_member(name: str, email: str, as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """Put a user into a group.

    \b
    Example:
      ostiary admin group add-member engineers grace@corp.example
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        target, member = resolve(api, GROUP, name), resolve(api, USER, email)
        api.put(f"groups/{escape(target)}/members/{escape(member)}")
        show_one({"group": target, "user": member, "member": True}, output, sentence=f"{email} is in {name}")


@user_group.command("remove-member")
def group_remove_member(
    name: str, email: str, as_json: JsonOption = False, output: OutputOption = Output.TABLE
) -> None:
    """Take a user out of a group; what was reached through it only ends at once.

    \b
    Example:
      ostiary admin group remove-member engineers grace@corp.example
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        target, member = resolve(api, GROUP, name), resolve(api, USER, email)
        api.delete(f"groups/{escape(target)}/members/{escape(member)}")
        show_one({"group": target, "user": member, "member": False}, output, sentence=f"{email} is out of {name}")
