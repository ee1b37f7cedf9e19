"""`ostiary admin service-account`: principals without a person."""

from client.cli.admin_common import (
    SERVICE_ACCOUNT,
    JsonOption,
    OutputOption,
    TokenOutOption,
    YesOption,
    administrator,
    chosen,
    confirm,
    delete,
    find,
    resolve,
    show_enrolment,
)
from client.cli.admin_output import Columns, Output, age, show_list, show_one, yes
from runtime.command_line import command_group

service_account = command_group("Service accounts: servers and jobs without a person.")


@service_account.command("create")
def service_account_create(
    name: str,
    token_out: TokenOutOption = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Create a service account and print an enrolment token for its first host.

    \b
    Example:
      ostiary admin service-account create ci --token-out ci.token
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        made = api.post("service-accounts", {"name": name})
        sentence = f"service account {made['name']} created ({made['id']})"
        show_enrolment(made, output, sentence=sentence, command="sudo ostiary up", token_out=token_out)


@service_account.command("list")
def service_account_list(as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """List the service accounts.

    \b
    Example:
      ostiary admin service-account list
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        columns: Columns = [
            ("NAME", "name"),
            ("STATE", yes("disabled", yes="disabled", no="enabled")),
            ("HOSTS", "devices"),
            ("CREATED", age("created_at")),
            ("ID", "id"),
        ]
        empty = "next: ostiary admin service-account create NAME"
        show_list(api.items("service-accounts"), columns, output, empty=empty)


@service_account.command("token")
def service_account_token(
    name: str,
    token_out: TokenOutOption = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make an enrolment token for a further host; an unused earlier one is void.

    \b
    Example:
      ostiary admin service-account token ci
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        made = api.post(f"service-accounts/{resolve(api, SERVICE_ACCOUNT, name)}/enrolment")
        sentence = f"new token for the service account {name}"
        show_enrolment(made, output, sentence=sentence, command="sudo ostiary up", token_out=token_out)


@service_account.command("disable")
def service_account_disable(name: str, as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """Disable a service account: everything it reaches ends at once.

    \b
    Example:
      ostiary admin service-account disable ci
    """
    _change_service_account(name, "disabled", chosen(output, as_json=as_json), disabled=True)


@service_account.command("enable")
def service_account_enable(name: str, as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """Enable a disabled service account.

    \b
    Example:
      ostiary admin service-account enable ci
    """
    _change_service_account(name, "enabled", chosen(output, as_json=as_json), disabled=False)


def _change_service_account(name: str, what: str, output: Output, *, disabled: bool) -> None:
    with administrator(output) as api:
        target = find(api, SERVICE_ACCOUNT, name)
        changed = api.patch(f"service-accounts/{target['id']}", {"disabled": disabled})
        show_one(changed, output, sentence=f"service account {changed['name']} {what}")


@service_account.command("delete")
def service_account_delete(
    name: str, yes: YesOption = False, as_json: JsonOption = False, output: OutputOption = Output.TABLE
) -> None:
    """Delete a service account with its hosts and grants.

    \b
    Example:
      ostiary admin service-account delete ci
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        target = resolve(api, SERVICE_ACCOUNT, name)
        confirm(f"Delete the service account {name} with its hosts and grants?", yes=yes)
        delete(api, "service-accounts", target, output, f"service account {name} deleted")
