"""What the files of a Linux host say about how it is set up. Pure: the files' texts come in."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

DEPTH_MAX: Final = 8
"""Layers of block devices: a partition, a RAID, an encrypted volume, a logical volume."""
_CRYPT: Final = "CRYPT-"
"""How the UUID of a device begins that dm-crypt made (LUKS and plain)."""
_ASSIGNMENT: Final = re.compile(r"([A-Z_]+)=(.*)\Z")
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


def parse_os_release(text: str) -> tuple[str, str]:
    """Returns ID and VERSION_ID of os-release(5); empty where it does not say."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _ASSIGNMENT.match(line.strip())
        if match is not None:
            value = match[2].strip()
            quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
            found[match[1]] = value[1:-1] if quoted else value
    return found.get("ID", ""), found.get("VERSION_ID", "")


@dataclass(frozen=True, slots=True)
class RootMount:
    """What is mounted on ``/``: the device's ``major:minor``, and the source as mount(8) was told."""

    device: str
    source: str

    @property
    def anonymous(self) -> bool:
        """Whether the number is of no block device (btrfs, overlay, tmpfs, NFS): only the source can tell then."""
        return self.device.startswith("0:")


def parse_root_mount(text: str) -> RootMount | None:
    """Returns the mount on ``/`` of a mountinfo file (proc(5)); the last one counts, as it lies on top."""
    found: RootMount | None = None
    for line in text.splitlines():
        before, dash, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if dash and len(fields) >= 5 and fields[4] == "/" and len(rest) >= 2:
            found = RootMount(fields[2], _ESCAPE.sub(lambda match: chr(int(match[1], 8)), rest[1]))
    return found


def is_encrypted(device: str, uuid_of: Callable[[str], str], below: Callable[[str], Collection[str]]) -> bool:
    """Whether whatever is written to ``device`` (``major:minor``) is encrypted on its way down.

    ``uuid_of`` gives the UUID that device-mapper knows (empty for others), ``below`` the devices that it is made of.
    """
    return _is_encrypted(device, uuid_of, below, DEPTH_MAX)


def _is_encrypted(
    device: str, uuid_of: Callable[[str], str], below: Callable[[str], Collection[str]], depth: int
) -> bool:
    if uuid_of(device).startswith(_CRYPT):
        return True
    parts = below(device)
    return bool(parts) and depth > 0 and all(_is_encrypted(part, uuid_of, below, depth - 1) for part in parts)


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of the packet filter: ``hook`` is its netfilter hook's number, None when the kernel never enters it itself."""

    table: str
    name: str
    type: str
    hook: int | None
    drops: bool
    """Its policy drops what no rule accepts."""


HOOK_INPUT: Final = 1
"""NF_INET_LOCAL_IN: what is meant for this host."""


def filters_input(chains: Iterable[Chain], rules: Callable[[], Mapping[tuple[str, str], int]]) -> bool:
    """Whether something guards what comes in: a filter chain on the way in that drops by default, or holds a rule.

    ``rules`` counts the rules by (table, chain); it is asked only when the chains alone do not tell.
    """
    guards = [chain for chain in chains if chain.type == "filter" and chain.hook == HOOK_INPUT]
    if any(chain.drops for chain in guards):
        return True
    if not guards:
        return False
    counts = rules()
    return any(counts.get((chain.table, chain.name), 0) > 0 for chain in guards)
