"""Reads how this host is set up (``client.core.device_facts`` understands it). Blocks: call it from a thread.

Nothing here raises for what a host lacks or forbids: what cannot be found out is left open, and meets no condition.
"""

import os
import struct
from collections import Counter
from pathlib import Path
from typing import Any, Final

import structlog

from client.core.device_facts import Chain, filters_input, is_encrypted, parse_os_release, parse_root_mount
from protocol.device_facts import DeviceFacts
from protocol.errors import LocalError
from protocol.version import SOFTWARE
from runtime.files import read_limited

OS_RELEASE: Final = ("etc/os-release", "usr/lib/os-release")
MOUNTS: Final = "proc/self/mountinfo"
BLOCK_DEVICES: Final = "sys/dev/block"
_LIMIT: Final = 1024 * 1024
_FAMILIES: Final = (1, 2, 10)
"""inet, IPv4, IPv6 (NFPROTO_*)."""
_POLICY_DROP: Final = 0

_log = structlog.get_logger(__name__)


def read_device_facts(root: Path = Path("/")) -> DeviceFacts:
    """Returns what can be found out now; ``root`` is where the host's files are."""
    system = os.uname()
    distribution, version = parse_os_release(_first_text(root, OS_RELEASE))
    return DeviceFacts(
        os=system.sysname.lower(),
        distribution=distribution.lower(),
        version=version,
        kernel=system.release,
        client=SOFTWARE,
        disk_encrypted=disk_encrypted(root),
        firewall=firewall(),
    )


def disk_encrypted(root: Path = Path("/")) -> bool | None:
    """Whether the root file system lies on encrypted devices only; None for one that lies on no device that we see."""
    mount = parse_root_mount(_first_text(root, (MOUNTS,)))
    if mount is None:
        return None
    blocks = root / BLOCK_DEVICES
    device = _device_of(mount.source) if mount.anonymous else mount.device
    if device is None or not (blocks / device).exists():
        return None
    return is_encrypted(
        device,
        lambda number: _text(blocks / number / "dm" / "uuid"),
        lambda number: [_text(path / "dev").strip() for path in _slaves(blocks / number)],
    )


def firewall() -> bool | None:
    """Whether nftables guards what comes in, which is also where iptables writes its rules today; None: not to be told."""
    # Imported here: the library takes a tenth of a second, and the proxy mode may never need it.
    from pyroute2.netlink.exceptions import NetlinkError
    from pyroute2.nftables.main import NFTables

    try:
        for family in _FAMILIES:
            with NFTables(nfgen_family=family) as tables:
                chains = [_chain(item) for item in tables.get_chains()]
                if filters_input(chains, lambda tables=tables: _count(tables.get_rules())):  # type: ignore[misc]
                    return True
    except (NetlinkError, OSError, KeyError, TypeError, ValueError, struct.error) as exc:
        _log.info("firewall.unknown", cause=f"{type(exc).__name__}: {exc}")
        return None
    return False


def _chain(item: Any) -> Chain:
    hook = item.get_attr("NFTA_CHAIN_HOOK")
    return Chain(
        table=str(item.get_attr("NFTA_CHAIN_TABLE")),
        name=str(item.get_attr("NFTA_CHAIN_NAME")),
        type=str(item.get_attr("NFTA_CHAIN_TYPE") or ""),
        hook=None if hook is None else int(hook.get_attr("NFTA_HOOK_HOOKNUM")),
        drops=hook is not None and item.get_attr("NFTA_CHAIN_POLICY") == _POLICY_DROP,
    )


def _count(rules: Any) -> Counter[tuple[str, str]]:
    return Counter((str(item.get_attr("NFTA_RULE_TABLE")), str(item.get_attr("NFTA_RULE_CHAIN"))) for item in rules)


def _slaves(device: Path) -> list[Path]:
    try:
        return sorted((device / "slaves").iterdir())
    except OSError:
        return []


def _device_of(source: str) -> str | None:
    """The number of a block device by its name."""
    try:
        number = Path(source).stat().st_rdev if source.startswith("/dev/") else 0
    except OSError:
        return None
    return f"{os.major(number)}:{os.minor(number)}" if number else None


def _first_text(root: Path, names: tuple[str, ...]) -> str:
    return next((text for name in names if (text := _text(root / name))), "")


def _text(path: Path) -> str:
    try:
        return read_limited(path, _LIMIT).decode("utf-8", "replace")
    except LocalError:
        return ""
