"""The story that the demo tells and that the end-to-end tests check: each step observes a fact and returns a sentence.

A step raises LabError when the fact is not so. Steps use unmodified programs on the laptop and the admin's commands on the
controller's host.
"""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lab.hosts import IP, OFFICE, PUBLIC_WEB, SERVERS, Lab
from lab.processes import Host, LabError, wait_for
from lab.product import RELAY_PORT, Product
from lab.servers import DATABASE_PASSWORD, ssh_command

CURL = ("/usr/bin/curl", "-sS", "--max-time", "20")


@dataclass
class Capture:
    """A packet capture of everything that enters or leaves the relay."""

    path: Path
    process: "subprocess.Popen[bytes]"


class Story:
    """The steps, in the order in which they are told."""

    def __init__(self, product: Product, lab: Lab) -> None:
        self.product = product
        self.lab = lab
        self._capture: Capture | None = None
        self._captures = 0

    @property
    def laptop(self) -> Host:
        return self.lab["laptop"]

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Title and function of each step."""
        return [
            ("public internet bypasses", self.public_bypass),
            ("dig", self.dig),
            ("curl by name", self.curl_by_name),
            ("curl over IPv6", self.curl_over_ipv6),
            ("psql by name", lambda: self.psql("db.corp.internal")),
            ("psql to an address in a CIDR resource", lambda: self.psql(SERVERS["db"])),
            ("ssh by name", lambda: self.ssh("shell.corp.internal")),
            ("ssh to an address in a CIDR resource", lambda: self.ssh(SERVERS["shell"])),
            ("a UDP service", self.udp_echo),
            ("ping", self.ping),
            ("an address that is not allowed", self.refused_address),
            ("a name that is not on the list", self.invisible_name),
            ("a resource whose host is down", self.dead_host),
            ("revocation cuts a running download", self.revocation),
            ("what the relay saw", self.relay_capture),
        ]

    # --- bypass ------------------------------------------------------------------------------------------------------

    def public_bypass(self) -> str:
        self.start_capture()
        body = self.laptop.run(*CURL, "http://public.example/").stdout
        _expect("public web" in body, f"the public page came back as {body!r}")
        route = self.laptop.run(IP, "route", "get", PUBLIC_WEB).stdout.split("\n")[0].strip()
        _expect("dev uplink" in route, f"the public address is routed as {route!r}")
        return f"http://public.example answered directly; its route is still `{route}`"

    # --- names -------------------------------------------------------------------------------------------------------

    def dig(self) -> str:
        address = self._dig("wiki.corp.internal", "A")
        _expect(address.startswith("100.96."), f"wiki.corp.internal resolved to {address!r}")
        service = self._dig("_http._tcp.app.dev.corp.internal", "SRV", short=False)
        _expect("NXDOMAIN" in service or "NOERROR" in service, service)
        text = self._dig("wiki.corp.internal", "TXT")
        _expect("company wiki" in text, f"the TXT record came back as {text!r}")
        return (
            f"wiki.corp.internal is {address}, a synthetic address; its TXT record came from the office's own resolver"
        )

    def _dig(self, name: str, kind: str, *, short: bool = True) -> str:
        return self.laptop.run("/usr/bin/dig", "+timeout=5", *(["+short"] if short else []), name, kind).stdout.strip()

    # --- programs ----------------------------------------------------------------------------------------------------

    def curl_by_name(self) -> str:
        began = time.monotonic()
        body = self.laptop.run(*CURL, "http://wiki.corp.internal/").stdout.strip()
        took = (time.monotonic() - began) * 1000
        _expect(body == f"company wiki: / for {OFFICE}" or "fd00:20::2" in body, f"the wiki answered {body!r}")
        return f"`curl http://wiki.corp.internal` printed {body!r} in {took:.0f} ms"

    def curl_over_ipv6(self) -> str:
        body = self.laptop.run(*CURL, "-6", "http://wiki.corp.internal/").stdout.strip()
        _expect("company wiki" in body, f"the wiki answered {body!r}")
        literal = self.laptop.run(*CURL, "http://[fd00:20::10]/").stdout.strip()
        _expect("company wiki" in literal, f"the address answered {literal!r}")
        return "the wiki answers over IPv6 too, by name and as http://[fd00:20::10]/"

    def psql(self, host: str) -> str:
        began = time.monotonic()
        out = self.laptop.run(
            "/usr/bin/psql",
            f"host={host} user=postgres dbname=postgres connect_timeout=10",
            *("-At", "-c", "select 'rows: ' || count(*) from generate_series(1, 1000)"),
            env={"PGPASSWORD": DATABASE_PASSWORD},
        ).stdout.strip()
        _expect(out == "rows: 1000", f"psql printed {out!r}")
        return f"`psql host={host}` printed {out!r} in {(time.monotonic() - began) * 1000:.0f} ms"

    def ssh(self, host: str) -> str:
        out = self.laptop.run(*ssh_command(self.lab, host), "echo from $SSH_CONNECTION").stdout.strip()
        _expect(out.startswith(f"from {OFFICE} "), f"ssh printed {out!r}")
        return f"`ssh root@{host}` ran a command there; the server saw the connector's address {OFFICE}"

    def udp_echo(self) -> str:
        began = time.monotonic()
        out = self.laptop.run("/usr/bin/env", "python3", "-c", _UDP_CLIENT, "echo.corp.internal", "7").stdout.strip()
        _expect(out == "20 of 20 datagrams came back", f"the UDP client printed {out!r}")
        return f"UDP echo at echo.corp.internal:7: {out} in {(time.monotonic() - began) * 1000:.0f} ms"

    def ping(self) -> str:
        out = self.laptop.run("/usr/bin/ping", "-c", "2", "-i", "0.2", "-W", "5", "echo.corp.internal").stdout
        _expect(" 0% packet loss" in out, f"ping printed {out!r}")
        found = re.search(r"min/avg/max/mdev = [\d.]+/([\d.]+)", out)
        return f"`ping echo.corp.internal` lost nothing, {found[1] if found else '?'} ms on average"

    # --- refusals ----------------------------------------------------------------------------------------------------

    def refused_address(self) -> str:
        address = SERVERS["wiki"]
        began = time.monotonic()
        done = self.laptop.run(*CURL, f"http://{address}:8080/", check=False)
        took = (time.monotonic() - began) * 1000
        _expect(done.returncode == 7, f"curl ended with {done.returncode}: {done.stderr}")
        _expect(took < 1000, f"the refusal took {took:.0f} ms")
        told = self.product.client("explain", f"{address}:8080", check=False)
        _expect(told.get("reason") == "port_not_allowed", f"explain said {told}")
        return f"{address}:8080 was refused at once ({took:.0f} ms); `ostiary explain` says: {told['sentence']}"

    def invisible_name(self) -> str:
        out = self._dig("vault.corp.internal", "A", short=False)
        _expect("NXDOMAIN" in out, "vault.corp.internal did not come back as NXDOMAIN from the public resolver")
        return "vault.corp.internal, which the user was never granted, does not exist as far as the laptop can see"

    def dead_host(self) -> str:
        began = time.monotonic()
        done = self.laptop.run(*CURL, "http://dead.corp.internal/", check=False)
        took = time.monotonic() - began
        _expect(done.returncode == 7, f"curl ended with {done.returncode}: {done.stderr}")
        return f"dead.corp.internal failed truthfully after {took:.1f} s, when the connector's own dial had failed"

    # --- revocation --------------------------------------------------------------------------------------------------

    def revocation(self) -> str:
        took = self.cut_download("wiki", "http://wiki.corp.internal/blob?bytes=1000000000000")
        after = self.laptop.run(*CURL, "http://wiki.corp.internal/", check=False)
        _expect(after.returncode in (6, 7, 56), f"after the revocation curl ended with {after.returncode}")
        self.restore("wiki")
        return f"the admin revoked the wiki's grant while a download ran: curl was cut {took * 1000:.0f} ms after the event"

    def cut_download(self, resource: str, url: str) -> float:
        """Starts a download, revokes the resource's grant; returns the seconds from the event's time to curl's end."""
        sink = self.lab.folder / "download"
        sink.unlink(missing_ok=True)
        curl = self.laptop.start("/usr/bin/curl", "-sS", "-o", str(sink), "--limit-rate", "50M", url)
        self.lab.adopt("download", curl)
        wait_for("the download to run", lambda: sink.exists() and sink.stat().st_size > 1_000_000)
        took = cut_by_revocation(self.product, curl, self.product.ids[f"grant:{resource}"])
        sink.unlink(missing_ok=True)
        return took

    def restore(self, resource: str) -> None:
        """Grants the resource again and waits until the client knows."""
        made = self.product.admin("grant", "create", "--to", "group:engineers", "--resource", resource)
        self.product.ids[f"grant:{resource}"] = made["id"]
        wait_for(f"{resource} to be back", lambda: resource in self.resource_names())

    def resource_names(self) -> list[str]:
        """What `ostiary resources` lists."""
        return [item["name"] for item in self.product.client("resources")["resources"]]

    # --- the relay ---------------------------------------------------------------------------------------------------

    def start_capture(self) -> None:
        self._captures += 1
        name = f"capture-{self._captures}"
        path = self.lab.folder / f"{name}.pcap"
        # fmt: off
        process = self.lab.daemon("cloud", name, "/usr/bin/tcpdump", "--immediate-mode", "-i", "uplink", "-U", "-s", "2000", "-c", "60000",
                                  "-Z", "root", "-w", str(path), f"tcp port {RELAY_PORT}")
        # fmt: on
        wait_for("the capture", lambda: "listening on" in self.lab.log(name))
        self._capture = Capture(path, process)

    def relay_capture(self) -> str:
        assert self._capture is not None
        # It may have its packets, and have ended, already.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._capture.process.pid, signal.SIGINT)
        # The last packets are written as it ends.
        self._capture.process.wait(10)
        data = self._capture.path.read_bytes()
        # Super-packets are cut at 2,000 bytes each, so that a fast download does not fill the disk.
        _expect(len(data) > 10_000, f"the capture holds only {len(data)} bytes")
        secrets = [b"company wiki", b"corp.internal", b"SSH-2.0", b"grace", b"engineers", b"GET /", b"rows: 1000"]
        found = [secret.decode() for secret in secrets if secret in data]
        _expect(not found, f"the relay's traffic holds {found}")
        return f"{len(data) / 1e6:.1f} MB of the relay's packets hold none of: {', '.join(s.decode() for s in secrets)}"


def cut_by_revocation(product: Product, curl: "subprocess.Popen[bytes]", grant: str) -> float:
    """Revokes ``grant`` under a running download; returns the seconds from the event in the log to curl's end."""
    command = product.start_admin("grant", "revoke", grant)
    wait_for("the download to be cut", lambda: curl.poll() is not None, 20)
    ended = time.time()
    _expect(curl.returncode in (18, 56), f"the download ended with {curl.returncode}")
    _expect(command.wait(20) == 0, "the revocation failed")
    # Every host of the lab has the same clock.
    for event in product.admin("event", "list", "--limit", "10")["items"]:
        if event["type"] == "grant.revoked/1" and event["data"]["grant"] == grant:
            return ended - datetime.fromisoformat(event["at"]).timestamp()
    raise LabError(f"the log holds no revocation of {grant}")


def _expect(fact: bool, otherwise: str) -> None:
    if not fact:
        raise LabError(otherwise)


_UDP_CLIENT = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.connect((sys.argv[1], int(sys.argv[2])))
back = 0
for number in range(20):
    message = b"datagram %d " % number + bytes(1000)
    s.send(message)
    back += s.recv(2000) == message
print(f"{back} of 20 datagrams came back")
"""
