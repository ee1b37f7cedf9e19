"""A bad wire between two network namespaces: delay, jitter, loss, reordering, a rate, and a path MTU without a word.

Two TUN devices, one at each end, and one process that carries every packet from one to the other, late, not at all, or out
of turn, as it is told. It stands where the kernel's ``netem`` would, which not every kernel has. What is too large for the
wire is lost without an ICMP message: a black hole, as misconfigured networks make it.

The same seed and the same packets give the same fate to each of them. ``Wire.replace`` puts one in the place of a veth link of
a lab, with the same device names, addresses and routes; ``set`` changes it while it works.
"""

import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import struct
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from lab.hosts import IP, Lab, NamespaceHost
from lab.processes import LabError

_TUNSETIFF: Final = 0x400454CA
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000
_CLONE_NEWNET: Final = 0x40000000
_PACKET_MAX: Final = 65_536
_PACKETS_PER_TURN: Final = 64
_DEVICE_MTU: Final = 1500
_NAMESPACES: Final = Path("/run/netns")


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the wire does to packets, in each direction alike.

    Attributes:
        delay_ms: one way.
        jitter_ms: on top of it, evenly from nothing to this; packets stay in order.
        loss: part of the packets that never arrive, 0 to 1.
        reorder: part of the packets that come ``late_ms`` later than they should, behind those that follow.
        late_ms: see there.
        rate_mbit: what fits through; None is no bound.
        queue_ms: with a rate: what has to wait longer than this is dropped.
        mtu: larger packets vanish; None lets all through.
        cut: nothing passes at all.
    """

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    reorder: float = 0.0
    late_ms: float = 10.0
    rate_mbit: float | None = None
    queue_ms: float = 200.0
    mtu: int | None = None
    cut: bool = False


@dataclass(slots=True)
class Counters:
    """What happened to the packets of one direction."""

    carried: int = 0
    lost: int = 0
    too_large: int = 0
    queue_full: int = 0
    late: int = 0


@dataclass(slots=True, eq=False)
class Direction:
    """One direction of the wire; pure: the time is an argument, chance comes from the seed."""

    conditions: Conditions
    seed: int
    counters: Counters = field(default_factory=Counters)
    _chance: random.Random = field(init=False)
    _waiting: list[tuple[float, int, bytes]] = field(default_factory=list, init=False)
    _number: int = field(default=0, init=False)
    _free_at: float = field(default=0.0, init=False)
    _last_due: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def push(self, packet: bytes, now: float) -> None:
        """Takes a packet at ``now`` (seconds)."""
        what = self.conditions
        # Three draws for each packet, whatever is set, so that one condition does not change the fate under another.
        lost, late, jitter = self._chance.random(), self._chance.random(), self._chance.random()
        if what.cut or lost < what.loss:
            self.counters.lost += 1
            return
        if what.mtu is not None and len(packet) > what.mtu:
            self.counters.too_large += 1
            return
        leaves = now
        if what.rate_mbit is not None:
            starts = max(now, self._free_at)
            if starts - now > what.queue_ms / 1000:
                self.counters.queue_full += 1
                return
            leaves = self._free_at = starts + len(packet) * 8 / (what.rate_mbit * 1e6)
        due = leaves + (what.delay_ms + jitter * what.jitter_ms) / 1000
        if late < what.reorder:
            self.counters.late += 1
            due += what.late_ms / 1000
        else:
            due = self._last_due = max(due, self._last_due)
        self._number += 1
        heapq.heappush(self._waiting, (due, self._number, packet))

    def pop(self, now: float) -> bytes | None:
        """Returns the next packet that is due; None when none is."""
        if not self._waiting or self._waiting[0][0] > now:
            return None
        self.counters.carried += 1
        return heapq.heappop(self._waiting)[2]

    def due(self) -> float | None:
        """When ``pop`` has something next."""
        return self._waiting[0][0] if self._waiting else None


class Wire:
    """A wire that is in place; its process is ended by ``take_away``, or by the lab."""

    def __init__(
        self, lab: Lab, ends: tuple[tuple[NamespaceHost, str], ...], process: "subprocess.Popen[bytes]"
    ) -> None:
        self._lab = lab
        self._ends = ends
        self._process = process
        self._conditions = Conditions()

    @classmethod
    def replace(
        cls, lab: Lab, left: str, right: str = "internet", *, device: str = "uplink", other: str = "", seed: int = 1
    ) -> "Wire":
        """Takes the place of the veth link between two hosts of a lab.

        Args:
            lab: with the hosts.
            left: the host whose ``device`` is one end.
            right: the host with the other end.
            device: its name on ``left``.
            other: its name on ``right``; ``to-<left>`` by default.
            seed: of chance.

        Raises:
            LabError: the devices could not be made.
        """
        one, two = lab[left], lab[right]
        ends = ((one, device), (two, other or f"to-{left}"))
        before = [_settings(host, name) for host, name in ends]
        one.run(IP, "link", "delete", device)
        process = one_wire(lab, (one.namespace, ends[0][1]), (two.namespace, ends[1][1]), seed)
        for (host, name), settings in zip(ends, before, strict=True):
            _restore(host, name, settings)
        return cls(lab, ends, process)

    def take_away(self) -> None:
        """Puts a veth link back in its place, with the addresses and routes that are there now."""
        before = [_settings(host, name) for host, name in self._ends]
        self._lab.stop(self._process)
        (one, name), (two, other) = self._ends
        one.run(IP, "link", "add", name, "type", "veth", "peer", "name", other, "netns", two.namespace)
        for (host, device), settings in zip(self._ends, before, strict=True):
            _restore(host, device, settings)

    @property
    def conditions(self) -> Conditions:
        """What is set."""
        return self._conditions

    def set(self, **changes: Any) -> Conditions:
        """Changes some of the conditions for the packets that come from here on; returns them all."""
        self._conditions = replace(self._conditions, **changes)
        self._say(asdict(self._conditions))
        return self._conditions

    def clear(self) -> None:
        """A perfect wire again."""
        self._conditions = Conditions()
        self._say(asdict(self._conditions))

    def counters(self) -> dict[str, Counters]:
        """What happened so far, by direction: ``out`` is from the left host to the right one."""
        answer = self._say({})
        return {name: Counters(**answer[name]) for name in ("out", "back")}

    def _say(self, body: dict[str, Any]) -> Any:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(body).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError as exc:
            raise LabError(f"the wire is gone: {exc}") from exc
        if not line:
            raise LabError(f"the wire ended with {process.poll()}")
        return json.loads(line)


def one_wire(lab: Lab, left: tuple[str, str], right: tuple[str, str], seed: int) -> "subprocess.Popen[bytes]":
    """Starts the process of a wire between two (namespace, device) and waits for its devices. Raises LabError."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lab.wire", *left, *right, str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
        start_new_session=True,
    )
    lab.adopt("wire", process)
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        raise LabError(f"no wire between {left} and {right}")
    return process


def _settings(host: NamespaceHost, device: str) -> tuple[list[str], list[str]]:
    """Returns a device's addresses, and the routes over gateways, as ``ip`` takes them."""
    addresses = []
    for item in json.loads(host.run(IP, "-j", "address", "show", "dev", device).stdout):
        for each in item.get("addr_info", ()):
            if each["scope"] == "global":
                addresses.append(f"{each['local']}/{each['prefixlen']}")
    routes = []
    for family in ("-4", "-6"):
        for item in json.loads(host.run(IP, "-j", family, "route", "show", "dev", device).stdout or "[]"):
            if "gateway" in item:
                routes.append(f"{item['dst']} {item['gateway']}")
    return addresses, routes


def _restore(host: NamespaceHost, device: str, settings: tuple[list[str], list[str]]) -> None:
    addresses, routes = settings
    host.run(IP, "link", "set", device, "mtu", str(_DEVICE_MTU), "txqueuelen", "2000", "up")
    for address in addresses:
        host.run(IP, "address", "add", address, "dev", device, *(("nodad",) if ":" in address else ()))
    for route in routes:
        destination, gateway = route.split()
        host.run(IP, "-6" if ":" in gateway else "-4", "route", "add", destination, "via", gateway, "dev", device)


# --- the process --------------------------------------------------------------------------------------------------------


def _enter(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _open_tun(namespace: str, name: str) -> int:
    """Makes a TUN device in a namespace and returns its descriptor."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(_NAMESPACES / namespace, os.O_RDONLY)
    try:
        _enter(there)
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    finally:
        _enter(home)
        os.close(home)
        os.close(there)
    return fd


def _carry(left: int, right: int, out: Direction, back: Direction) -> None:
    """Until standard input ends."""
    ends = ((left, out, right), (right, back, left))
    commands = bytearray()
    while True:
        now = time.monotonic()
        dues = [due for due in (out.due(), back.due()) if due is not None]
        # Not epoll: its timeout counts in milliseconds.
        ready, _, _ = select.select([left, right, 0], [], [], max(0.0, min(dues) - now) if dues else None)
        now = time.monotonic()
        for source, direction, _target in ends:
            if source in ready:
                _drain(source, direction, now)
        for _source, direction, target in ends:
            while (packet := direction.pop(now)) is not None:
                _deliver(target, packet)
        if 0 in ready:
            data = os.read(0, 65_536)
            if not data:
                return
            commands += data
            while b"\n" in commands:
                line, _, rest = bytes(commands).partition(b"\n")
                commands = bytearray(rest)
                _obey(json.loads(line), out, back)


def _drain(source: int, direction: Direction, now: float) -> None:
    for _ in range(_PACKETS_PER_TURN):
        try:
            direction.push(os.read(source, _PACKET_MAX), now)
        except BlockingIOError:
            return


def _deliver(target: int, packet: bytes) -> None:
    try:
        os.write(target, packet)
    except OSError:
        return  # the device is down, as a cable is out: lost


def _obey(body: dict[str, Any], out: Direction, back: Direction) -> None:
    if body:
        known = {each.name for each in fields(Conditions)}
        out.conditions = back.conditions = Conditions(**{key: value for key, value in body.items() if key in known})
    print(json.dumps({"out": asdict(out.counters), "back": asdict(back.counters)}), flush=True)


def main() -> None:
    """``python -m lab.wire NAMESPACE DEVICE NAMESPACE DEVICE SEED``; conditions come in by standard input."""
    left, left_device, right, right_device, seed = sys.argv[1:]
    one, two = _open_tun(left, left_device), _open_tun(right, right_device)
    print("ready", flush=True)
    _carry(one, two, Direction(Conditions(), int(seed)), Direction(Conditions(), int(seed) + 1))


if __name__ == "__main__":
    main()
