"""What a device says of itself: the ``facts`` of Hello and DeviceReport (SPEC.md section 6.7).

A report, not a measurement: whoever has root on a device can make it say anything. Names that we do not know are ignored; what
is missing could not be found out, and never meets a condition.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

FACT_MAX: Final = 64
"""Characters of one value; what is longer is cut."""
_FLAGS: Final[Mapping[str, bool]] = {"yes": True, "no": False}


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """None and empty texts: it could not be found out."""

    os: str = ""
    """The kernel's name in lower case: ``linux``."""
    distribution: str = ""
    """ID of os-release(5): ``debian``."""
    version: str = ""
    """VERSION_ID of os-release(5): ``12``."""
    kernel: str = ""
    """The kernel's release: ``6.1.0-18-amd64``."""
    client: str = ""
    """The client's version."""
    disk_encrypted: bool | None = None
    """Whether the root file system lies on encrypted devices only."""
    firewall: bool | None = None
    """Whether packet filter rules are loaded."""


def facts_to_wire(facts: DeviceFacts) -> dict[str, str]:
    """Returns what is known, by name; flags are ``yes`` and ``no``."""
    texts = {name: getattr(facts, name) for name in ("os", "distribution", "version", "kernel", "client")}
    flags = {name: getattr(facts, name) for name in ("disk_encrypted", "firewall")}
    said = {name: "yes" if flag else "no" for name, flag in flags.items() if flag is not None}
    return {**{name: text[:FACT_MAX] for name, text in texts.items() if text}, **said}


def facts_from_wire_untrusted(said: Mapping[str, str]) -> DeviceFacts:
    """Reads what a device said. Total: nothing in it is an error, and no text can forge a line where it is shown (T-74)."""
    return DeviceFacts(
        os=_text(said, "os").lower(),
        distribution=_text(said, "distribution").lower(),
        version=_text(said, "version"),
        kernel=_text(said, "kernel"),
        client=_text(said, "client"),
        disk_encrypted=_FLAGS.get(said.get("disk_encrypted", "")),
        firewall=_FLAGS.get(said.get("firewall", "")),
    )


def _text(said: Mapping[str, str], name: str) -> str:
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in said.get(name, "")[:FACT_MAX])
