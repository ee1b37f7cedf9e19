"""TCP, UDP and ICMP over both IP versions, as unmodified programs see them (C20, C21; F-33)."""

import importlib.util
import json
import subprocess
import sys
from typing import Any

import pytest

from lab import flow_services as at
from lab.processes import wait_for
from lab.product import Product

BENCH = "bench.corp.internal"

ATTEMPTS = """
import concurrent.futures, errno, json, socket, sys
def attempt(kind, host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    # As resolvers and QUIC do: without it Linux does not tell a program that its datagrams cannot arrive.
    sock.setsockopt(*((socket.IPPROTO_IPV6, 25) if family == socket.AF_INET6 else (socket.IPPROTO_IP, 11)), 1)
    sock.settimeout(15)
    try:
        sock.connect((host, port))
        if kind == "udp":
            sock.send(b"hello")
            sock.recv(100)
    except OSError as error:
        return errno.errorcode.get(error.errno, repr(error))
    return "OK"
wanted = json.loads(sys.argv[1])
with concurrent.futures.ThreadPoolExecutor(len(wanted)) as pool:
    print(json.dumps(list(pool.map(lambda each: attempt(*each), wanted))))
"""

CALLS = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(20)
sock.connect((sys.argv[1], int(sys.argv[2])))
sock.send(b"REGISTER")
said = [sock.recv(100).decode(), sock.recv(100).decode()]
sock.send(b"200 ringing")
print(*said, sock.recv(100).decode(), sep=", ")
"""

TCP_ENDS = """
import json, socket, struct, sys
host, last_word, first_end, reset, witness = sys.argv[1], *map(int, sys.argv[2:])
def connect(port):
    return socket.create_connection((host, port), 20)
def all_of(sock):
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data
found = {}
sock = connect(last_word)
sock.sendall(b"x" * 200_000)
sock.shutdown(socket.SHUT_WR)
answer = all_of(sock)
found["half-closed by us"] = [answer[:10].decode(), len(answer)]
sock = connect(first_end)
found["half-closed by them"] = all_of(sock).decode()
sock.sendall(b"y" * 150_000)
sock.close()
sock = connect(reset)
sock.sendall(b"reset me\\n")
try:
    found["reset by them"] = repr(sock.recv(10))
except ConnectionResetError:
    found["reset by them"] = "ECONNRESET"
sock = connect(reset)
sock.sendall(b"stay\\n")
sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
sock.close()
sock = connect(reset)
sock.sendall(b"stay\\na")
sock.send(b"!", socket.MSG_OOB)
sock.sendall(b"b")
sock.shutdown(socket.SHUT_WR)
all_of(sock)
print(json.dumps(found))
"""

QUIC = """
import asyncio, hashlib, os, sys
from aioquic.asyncio import connect
from aioquic.quic.configuration import QuicConfiguration
async def main():
    configuration = QuicConfiguration(alpn_protocols=["echo"])
    configuration.load_verify_locations(sys.argv[3])
    sent = os.urandom(300_000)
    async with connect(sys.argv[1], int(sys.argv[2]), configuration=configuration) as connection:
        reader, writer = await connection.create_stream()
        writer.write(sent)
        writer.write_eof()
        print("equal" if await reader.read() == sent else "different")
asyncio.run(asyncio.wait_for(main(), 30))
"""


def on_laptop(product: Product, *command: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    return product.lab["laptop"].run(*command, check=check, deadline=60)


def python(product: Product, script: str, *args: object) -> Any:
    return on_laptop(product, sys.executable, "-c", script, *map(str, args)).stdout


def test_f33_each_transport_is_refused_truthfully_over_both_ip_versions(product: Product) -> None:
    expected = {
        # the policy does not permit the port
        ("tcp", "10.20.0.10", 8080): "EHOSTUNREACH",
        ("tcp", "fd00:20::10", 8080): "EACCES",
        ("udp", "10.20.0.10", 8): "EHOSTUNREACH",
        ("udp", "fd00:20::40", 9): "EACCES",
        # nobody listens
        ("tcp", "10.20.0.40", 22): "ECONNREFUSED",
        ("tcp", "fd00:20::40", 80): "ECONNREFUSED",
        ("udp", "10.20.0.10", 7): "ECONNREFUSED",
        ("udp", "fd00:20::10", 7): "ECONNREFUSED",
        # there is no such host
        ("tcp", "10.20.0.99", 22): "EHOSTUNREACH",
        ("tcp", "fd00:20::99", 80): "EHOSTUNREACH",
        ("udp", "10.20.0.99", 7): "EHOSTUNREACH",
        ("udp", "fd00:20::99", 7): "EHOSTUNREACH",
        # and where all is well
        ("tcp", "fd00:20::40", 7): "OK",
        ("udp", "10.20.0.40", 7): "OK",
        ("udp", "fd00:20::40", 7): "OK",
    }
    found = json.loads(python(product, ATTEMPTS, json.dumps(list(expected))))
    assert dict(zip(expected, found, strict=True)) == expected


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("fd00:20::10", "Administratively prohibited"),
        ("db.corp.internal", "Administratively prohibited"),
    ],
)
def test_f33_ping_is_refused_truthfully(product: Product, target: str, says: str) -> None:
    done = on_laptop(product, "/usr/bin/ping", "-c", "1", "-W", "15", target, check=False)
    assert done.returncode == 1
    assert says in done.stdout


@pytest.mark.parametrize(
    ("version", "hop", "says"),
    [("-4", "100.96.0.2", "Time to live exceeded"), ("-6", "fd6f:7374:6961::2", "Time exceeded: Hop limit")],
)
def test_the_client_is_the_first_hop_and_the_resource_the_second(
    product: Product, version: str, hop: str, says: str
) -> None:
    ping = ("/usr/bin/ping", version, "-n", "-c", "1", "-W", "15")
    first = on_laptop(product, *ping, "-t", "1", "echo.corp.internal", check=False)
    assert first.returncode == 1
    assert f"From {hop}" in first.stdout
    assert says in first.stdout
    assert " 0% packet loss" in on_laptop(product, *ping, "-t", "2", "echo.corp.internal").stdout


def test_c21_half_closes_resets_and_urgent_bytes_cross_both_ways(bench: Product) -> None:
    ports = (at.LAST_WORD_PORT, at.FIRST_END_PORT, at.RESET_PORT, at.WITNESS_PORT)
    assert json.loads(python(bench, TCP_ENDS, BENCH, *ports)) == {
        "half-closed by us": ["got 200000", 300_010],
        "half-closed by them": "that is all from me",
        "reset by them": "ECONNRESET",
    }
    heard: set[str] = set()

    def everything() -> bool:
        script = "import socket, sys; print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 20).recv(9999).decode())"
        heard.update(python(bench, script, BENCH, at.WITNESS_PORT).split("\n"))
        return {"after my end 150000", "was reset", "ended with a!b"} <= heard

    wait_for(f"the server's half of it: {heard}", everything, 60)


def test_c21_a_udp_server_calls_later_on_the_same_association(bench: Product) -> None:
    assert python(bench, CALLS, BENCH, at.CALLS_PORT).strip() == "200 registered, INVITE, ACK"


def test_dns_of_a_resource_over_udp_and_tcp(bench: Product) -> None:
    dig = ("/usr/bin/dig", f"@{BENCH}", "-p", str(at.DNS_PORT), "+timeout=10", "+short")
    assert "company wiki" in on_laptop(bench, *dig, "wiki.corp.internal", "TXT").stdout
    assert on_laptop(bench, *dig, "+tcp", "db.corp.internal", "A").stdout.strip() == "10.20.0.20"


@pytest.mark.skipif(importlib.util.find_spec("aioquic") is None, reason="aioquic is not installed")
def test_quic(bench: Product) -> None:
    certificate = bench.lab.folder / "bench.pem"
    assert python(bench, QUIC, BENCH, at.QUIC_PORT, certificate).strip() == "equal"
