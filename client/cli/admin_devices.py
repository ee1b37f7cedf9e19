"""`ostiary admin device`: installations of the client, what they say of themselves, and trust in them."""

from client.cli.admin_common import (
    DEVICE,
    SERVICE_ACCOUNT,
    USER,
    JsonOption,
    OutputOption,
    YesOption,
    administrator,
    by_id,
    chosen,
    confirm,
    find,
    names_of,
    resolve,
)
from client.cli.admin_output import Columns, Output, expiry, online, show_list, show_one, yes
from client.cli.admin_session import escape
from runtime.command_line import command_group

_TRUSTED = yes("trusted")

device = command_group("Devices: installations of the client.")


@device.command("list")
def device_list(as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """List the devices: whose, online since when, signed in until when.

    \b
    Example:
      ostiary admin device list
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        names = names_of(api, USER, SERVICE_ACCOUNT) if output is Output.TABLE else {}
        columns: Columns = [
            ("NAME", "name"),
            ("OWNER", by_id(names, "owner")),
            ("STATE", online),
            ("TRUSTED", _TRUSTED),
            ("SIGN-IN ENDS", expiry("session_expires_at")),
            ("REVISION", "enforced_revision"),
            ("VERSION", "software"),
            ("ID", "id"),
        ]
        show_list(api.items("devices"), columns, output, empty="No device is registered yet.")


@device.command("revoke")
def device_revoke(
    name: str, yes: YesOption = False, as_json: JsonOption = False, output: OutputOption = Output.TABLE
) -> None:
    """Revoke a device: it loses its standing at once and its connections are reset.

    \b
    Example:
      ostiary admin device revoke grace-laptop
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        target = resolve(api, DEVICE, name)
        confirm(f"Revoke the device {name}?", yes=yes)
        api.delete(f"devices/{escape(target)}")
        show_one({"id": target, "revoked": True}, output, sentence=f"device {name} revoked")


@device.command("trust")
def device_trust(name: str, as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """Trust a device: policies may ask for that. Look at what it says of itself first (`device show`).

    \b
    Example:
      ostiary admin device trust grace-laptop
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        target = resolve(api, DEVICE, name)
        api.put(f"devices/{escape(target)}/trust", None)
        show_one({"id": target, "trusted": True}, output, sentence=f"device {name} is trusted")


@device.command("untrust")
def device_untrust(name: str, as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """Trust a device no longer; connections that need a trusted one are reset within a second.

    \b
    Example:
      ostiary admin device untrust grace-laptop
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        target = resolve(api, DEVICE, name)
        api.delete(f"devices/{escape(target)}/trust")
        show_one({"id": target, "trusted": False}, output, sentence=f"device {name} is not trusted any more")


@device.command("show")
def device_show(name: str, as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """Show a device with what it last said of itself.

    \b
    Example:
      ostiary admin device show grace-laptop
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        item = find(api, DEVICE, name)
        facts = item.pop("facts", None) or {} if output is Output.TABLE else {}
        show_one({**item, **{f"reported {member}": value for member, value in facts.items()}}, output)
