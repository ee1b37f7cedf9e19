"""The whole TCP trick on a real device, seen by unmodified programs (C10, C20; T-35, T-52, T-53, T-58)."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from client_netns import Namespace, TunWorld, tun_world

SERVERS = {4: "10.99.0.5", 6: "fd99::5"}
VERSIONS = [4, 6]

CONNECT = """
import json, socket, sys, time
host, port = sys.argv[1], int(sys.argv[2])
try:
    with socket.create_connection((host, port), timeout=20) as sock:
        file = sock.makefile("rwb")
        greeting = file.readline().decode()
        file.write(b"ping\\n"); file.flush()
        print(json.dumps({"greeting": greeting, "echo": file.readline().decode(), "at": time.monotonic()}))
except OSError as exc:
    print(json.dumps({"error": type(exc).__name__, "errno": exc.errno, "at": time.monotonic()}))
"""


def connecting(inside: Namespace, version: int, port: int) -> subprocess.Popen[str]:
    """An unmodified program begins to connect."""
    return inside.start([sys.executable, "-c", CONNECT, SERVERS[version], str(port)])


def outcome(process: subprocess.Popen[str]) -> dict[str, object]:
    said, _ = process.communicate(timeout=30)
    result: dict[str, object] = json.loads(said)
    return result


@pytest.mark.parametrize("version", VERSIONS)
def test_c10_held_until_released(inside: Namespace, tmp_path: Path, version: int) -> None:
    with tun_world(inside, tmp_path) as world:
        program = connecting(inside, version, 80)
        held = world.wait_for("held")
        assert held["destination"] == SERVERS[version]
        assert SERVERS[version] in inside.run("ss", "-tn", "state", "syn-sent")
        assert program.poll() is None
        world.tell(do="release", port=80)
        result = outcome(program)
        assert result["greeting"] == f"hello from [{SERVERS[version]}]:80\n"
        assert result["echo"] == "ping\n"
        world.stop()


@pytest.mark.parametrize(
    ("version", "reason", "error"),
    [
        (4, "connection_refused", "ConnectionRefusedError"),
        (6, "connection_refused", "ConnectionRefusedError"),
        (4, "host_unreachable", 113),
        (6, "connect_timeout", 113),
        (4, "network_unreachable", 101),
        (4, "access_revoked", 113),
        (6, "access_revoked", "PermissionError"),
    ],
)
def test_c20_refusal_is_truthful_and_at_once(
    inside: Namespace, tmp_path: Path, version: int, reason: str, error: str | int
) -> None:
    with tun_world(inside, tmp_path) as world:
        program = connecting(inside, version, 81)
        world.wait_for("held")
        told = time.monotonic()
        world.tell(do="refuse", port=81, reason=reason)
        result = outcome(program)
        assert error in (result["error"], result["errno"])
        at = result["at"]
        assert isinstance(at, float)
        assert at - told < 1.0
        world.stop()


@pytest.mark.parametrize("version", VERSIONS)
def test_retransmitted_syn_is_still_one_connection(inside: Namespace, tmp_path: Path, version: int) -> None:
    with tun_world(inside, tmp_path) as world:
        program = connecting(inside, version, 80)
        world.wait_for("held")
        # The kernel retransmits after 1 s; waiting for the counter is waiting for the event.
        deadline = time.monotonic() + 10
        while "TcpRetransSegs                  0" in inside.run("nstat", "-az", "TcpRetransSegs"):
            assert time.monotonic() < deadline
        world.tell(do="release", port=80)
        assert outcome(program)["echo"] == "ping\n"
        world.stop()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("host", ["10.99.7.8", "[fd99::7]"])
def test_curl_gets_bytes_from_our_listener(inside: Namespace, tmp_path: Path, host: str) -> None:
    with tun_world(inside, tmp_path) as world:
        said = inside.run(
            "curl", "--silent", "--http0.9", "--max-time", "1", "--no-buffer", f"http://{host}:8080/", check=False
        )
        assert said.startswith(f"hello from [{host.strip('[]')}]:8080\n")
        assert "GET / HTTP/1.1" in said
        world.stop()


@pytest.mark.parametrize("mtu", [1500, 65535])
@pytest.mark.parametrize("version", VERSIONS)
def test_bulk_arrives_whole_both_ways(inside: Namespace, tmp_path: Path, version: int, mtu: int) -> None:
    code = """
import hashlib, os, socket, sys, threading
data = os.urandom(1 << 20) * 32
with socket.create_connection((sys.argv[1], 8080), timeout=20) as sock:
    file = sock.makefile("rb")
    file.readline()
    sender = threading.Thread(target=sock.sendall, args=(data,))
    sender.start()
    same = file.read(len(data)) == data
    sender.join()
print(same)
"""
    with tun_world(inside, tmp_path, mtu=mtu) as world:
        assert inside.python(code, SERVERS[version]) == "True\n"
        world.stop()


@pytest.mark.parametrize("version", VERSIONS)
def test_udp_and_echo(inside: Namespace, tmp_path: Path, version: int) -> None:
    code = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as sock:
    sock.settimeout(10)
    sock.connect((sys.argv[1], 53))
    for size in (0, 1, 1400, 65000, 65507 if family == socket.AF_INET else 65487):
        sock.send(b"x" * size)
        assert len(sock.recv(70000)) == size, size
    sock.setsockopt(socket.IPPROTO_UDP, 103, 1200)  # UDP_SEGMENT
    sock.send(bytes(12000) + b"short")
    assert [len(sock.recv(70000)) for _ in range(11)] == [1200] * 10 + [5]
with socket.socket(family, socket.SOCK_DGRAM) as sock:
    sock.settimeout(10)
    sock.connect((sys.argv[1], 666))
    sock.send(b"x")
    try:
        sock.recv(1)
    except ConnectionRefusedError:
        print("refused")
"""
    with tun_world(inside, tmp_path) as world:
        assert inside.python(code, SERVERS[version]) == "refused\n"
        ping = inside.run("ping", "-c", "2", "-i", "0.2", "-W", "5", SERVERS[version])
        assert " 0% packet loss" in ping
        assert world.stop()["bursts"] == 1, "what came together went back together"


FLOOD = """
import random, socket, sys
frames = [bytes.fromhex(each) for each in sys.argv[1:]]
choose = random.Random(7)
with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as sock:
    for number in range(20000):
        packet = bytearray(choose.choice(frames)) if number % 2 else bytearray(choose.randbytes(choose.randrange(1, 120)))
        for _ in range(choose.randrange(4)):
            packet[choose.randrange(len(packet))] = choose.randrange(256)
        version = 0x86DD if packet[0] >> 4 == 6 else 0x0800
        try:
            sock.sendto(packet, ("ostiary0", version))
        except OSError:
            pass
"""


def test_t58_random_packets_do_not_disturb(inside: Namespace, tmp_path: Path) -> None:
    v4 = "4500002c00010000400600006460000 10a630005c35000500000000100000002501020000000000061626364".replace(" ", "")
    v6 = "6000000000180640" + "fd6f7374696100000000000000000001" + "fd990000000000000000000000000005"
    v6 += "c350005000000001000000025010200000000000" + "61626364"
    with tun_world(inside, tmp_path) as world:
        inside.python(FLOOD, v4, v6)
        for version in VERSIONS:
            assert outcome(connecting(inside, version, 8080))["echo"] == "ping\n"
        world.tell(do="stop")
        for line in iter(world.process.stdout.readline, ""):  # type: ignore[union-attr]
            said = json.loads(line)
            if said["event"] == "stopped":
                break
        assert {"fragment", "truncated", "extension_header"} <= set(said["dropped"])


def test_t35_fragments_never_reach_a_resource(inside: Namespace, tmp_path: Path) -> None:
    code = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(0.2)
    sock.connect(("10.99.0.5", 53))
    sock.send(b"x" * 4000)
    try:
        sock.recv(1)
    except TimeoutError:
        print("nothing")
"""
    with tun_world(inside, tmp_path, mtu=1500) as world:
        assert inside.python(code) == "nothing\n"
        assert world.stop()["dropped"]["fragment"] >= 2


def _wire(inside: Namespace) -> None:
    """Another network interface inside the namespace."""
    inside.run("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
    inside.run("ip", "link", "set", "lan1", "up")
    inside.run("ip", "link", "set", "lan0", "up")


def test_t52_more_specific_routes_do_not_pull_traffic_out(inside: Namespace, tmp_path: Path) -> None:
    _wire(inside)
    inside.run("ip", "addr", "add", "192.0.2.1/24", "dev", "lan0")
    with tun_world(inside, tmp_path) as world:
        for route in ("10.99.0.5/32", "0.0.0.0/1", "128.0.0.0/1"):
            inside.run("ip", "route", "add", route, "dev", "lan0")
        assert "dev ostiary0" in inside.run("ip", "route", "get", "10.99.0.5")
        assert "dev lan0" in inside.run("ip", "route", "get", "10.99.0.5", "mark", "0x6f73")
        assert "dev lan0" in inside.run("ip", "route", "get", "10.98.0.5")
        assert outcome(connecting(inside, 4, 8080))["echo"] == "ping\n"
        world.stop()


def test_t53_resource_beats_the_local_network(inside: Namespace, tmp_path: Path) -> None:
    _wire(inside)
    inside.run("ip", "addr", "add", "10.99.0.1/16", "dev", "lan0")
    inside.run("ip", "addr", "add", "fd99::1/64", "dev", "lan0", "nodad")
    with tun_world(inside, tmp_path) as world:
        for version in VERSIONS:
            assert outcome(connecting(inside, version, 8080))["echo"] == "ping\n"
        world.stop()


def test_program_bound_to_another_address_is_served(inside: Namespace, tmp_path: Path) -> None:
    _wire(inside)
    inside.run("ip", "addr", "add", "192.0.2.1/24", "dev", "lan0")
    code = """
import socket
with socket.create_connection(("10.99.0.5", 8080), timeout=10, source_address=("192.0.2.1", 0)) as sock:
    print(sock.makefile().readline(), end="")
"""
    with tun_world(inside, tmp_path) as world:
        assert inside.python(code) == "hello from [10.99.0.5]:8080\n"
        world.stop()


def test_program_that_finds_the_listener_is_not_served(inside: Namespace, tmp_path: Path) -> None:
    code = """
import socket, subprocess
listening = subprocess.run(["ss", "-Htln"], capture_output=True, text=True).stdout
port = next(line.split()[3].rsplit(":", 1)[1] for line in listening.splitlines() if "100.96.0.1" in line)
try:
    with socket.create_connection(("100.96.0.1", int(port)), timeout=10) as sock:
        print(sock.recv(100))
except ConnectionResetError:
    print(b"")
"""
    with tun_world(inside, tmp_path) as world:
        assert inside.python(code) == "b''\n"
        world.stop()


def test_lost_device_is_noticed(inside: Namespace, tmp_path: Path) -> None:
    with tun_world(inside, tmp_path) as world:
        inside.run("ip", "link", "del", "ostiary0")
        world.wait_for("lost")


def test_f16_second_client_is_refused(inside: Namespace, tmp_path: Path) -> None:
    code = """
from client.host.tun import TunDevice
from protocol.errors import LocalError
try:
    TunDevice.open()
except LocalError as exc:
    print(exc.reason)
"""
    with tun_world(inside, tmp_path) as world:
        process = inside.start([sys.executable, "-c", code])
        assert process.communicate(timeout=30)[0] == "already_running\n"
        world.stop()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("iperf3") is None, reason="needs iperf3")
@pytest.mark.parametrize("mtu", [1500, 65535])
@pytest.mark.parametrize("version", VERSIONS)
def test_throughput_of_the_loop(inside: Namespace, tmp_path: Path, version: int, mtu: int) -> None:
    """The listener is an iperf3 server. The floor is far below what an idle machine does (9 to 17 Gbit/s)."""
    own = "100.96.0.1" if version == 4 else "fd6f:7374:6961::1"
    with tun_world(inside, tmp_path, mtu=mtu, foreign_listener=5201) as world:
        server = inside.start(["iperf3", "-s", "-1", "-B", own, "--forceflush"])
        try:
            _wait_for_line(server, "Server listening")
            said = json.loads(inside.run("iperf3", "-c", SERVERS[version], "-t", "2", "-J"))
        finally:
            server.kill()
            server.communicate()
        rate = said["end"]["sum_received"]["bits_per_second"] / 1e9
        print(f"IPv{version}, MTU {mtu}: {rate:.1f} Gbit/s")
        assert rate > 1.0
        world.stop()


def _wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"{text!r} was never said")


def test_world_says_what_it_has(inside: Namespace, tmp_path: Path) -> None:
    with tun_world(inside, tmp_path, first="") as world:
        assert isinstance(world, TunWorld)
        ready = world.wait_for("ready")
        assert ready["offloads"] & 0x07 == 0x07
        assert world.stop()["pending"] == 0
