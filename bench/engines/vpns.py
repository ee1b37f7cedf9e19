"""Packet VPNs between the desk and the office: they carry packets, know no resources and ask nobody for each connection."""

import json
import os
import subprocess
import sys
import time
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from bench.engines.engine import PACKETS, TOOLS, Engine, missing_programs, private, program
from bench.engines.stunnel import make_certificate
from lab.chain import OFFICE_UPLINK
from lab.hosts import IP
from lab.processes import Host, LabError, wait_for


class PacketVpn(Engine):
    """What they share: one address of the servers is routed into the tunnel, on the desk alone."""

    group = PACKETS
    address: ClassVar[str]

    @classmethod
    def missing(cls) -> str:
        return "" if Path("/dev/net/tun").exists() else "needs /dev/net/tun"

    @property
    def target(self) -> str:
        return self.address

    @abstractmethod
    def start_client(self) -> None:
        """Starts the client's end."""

    def stop(self) -> None:
        self.stop_daemons()

    def cold(self) -> float | None:
        """From the start of the client's program to the first byte; key exchange included, as nothing else loses such a tunnel."""
        self.stop_daemons(*self.roles["client"])
        waiting = self.lab[self.host].start(sys.executable, "-m", "bench.load", "until", self.target, pipe=True)
        self.lab.adopt(f"{self.name}-until", waiting)
        assert waiting.stdout is not None
        try:
            if waiting.stdout.readline() != b"begun\n":
                raise LabError(f"{self.name}: the load did not begin")
            began = time.monotonic()
            self.start_client()
            said = waiting.stdout.readline()
        finally:
            self.lab.stop(waiting)
        if not said:
            raise LabError(f"{self.name}: nothing came through a new tunnel")
        # The monotonic clock is one for all processes of a machine.
        return float(json.loads(said)["at"]) - began

    def up(self, host: str, device: str, local: str, peer: str) -> None:
        """Gives a tunnel's end its address and its peer's, and the desk its route."""
        wait_for(f"{self.name}'s device", lambda: self._has(host, device), 10)
        end = self.lab[host]
        end.run(IP, "address", "replace", local, "peer", peer, "dev", device)
        end.run(IP, "link", "set", device, "up")
        if host == self.host:
            end.run(IP, "route", "replace", f"{self.address}/32", "dev", device)

    def _has(self, host: str, device: str) -> bool:
        return self.lab[host].run(IP, "link", "show", "dev", device, check=False).returncode == 0


class OpenVpn(PacketVpn):
    """OpenVPN over UDP, its encryption in user space."""

    name = "openvpn"
    label = "OpenVPN, UDP, AES-128-GCM"
    address = "10.20.0.61"
    roles: ClassVar = {"client": ("openvpn-client",), "connector": ("openvpn-connector",)}

    @classmethod
    def missing(cls) -> str:
        return super().missing() or missing_programs("openvpn")

    @classmethod
    def version(cls) -> str:
        said = subprocess.run([program("openvpn"), "--version"], capture_output=True, text=True, check=False).stdout
        return " ".join(said.split()[:2])

    def start(self) -> None:
        _, certificate = make_certificate(self.folder)
        # OpenVPN wants a chain that ends at --ca; both ends have the one self-signed certificate, pinned by its fingerprint.
        ask = ("x509", "-in", certificate, "-noout", "-fingerprint", "-sha256")
        said = Host("here").run("/usr/bin/openssl", *ask).stdout
        pinned = ("--peer-fingerprint", said.strip().partition("=")[2])
        own = ("--cert", certificate, "--key", str(self.folder / "key.pem"), *pinned)
        kind = ("--dev", "tun9", "--dev-type", "tun", "--proto", "udp")
        cipher = ("--data-ciphers", "AES-128-GCM", "--disable-dco")
        self._common = (*kind, *cipher, *own, "--verb", "3", "--cd", str(self.folder))
        server = ("--tls-server", "--dh", "none", "--local", OFFICE_UPLINK, "--ifconfig", "10.9.1.1", "10.9.1.2")
        self.lab.daemon("office", self.roles["connector"][0], program("openvpn"), *self._common, *server)
        self.start_client()
        self.wait_until_it_carries()

    def start_client(self) -> None:
        outer = ("--tls-client", "--nobind", "--remote", OFFICE_UPLINK, "1194", "--ifconfig", "10.9.1.2", "10.9.1.1")
        route = ("--route", self.address, "255.255.255.255")
        self.lab.daemon(self.host, self.roles["client"][0], program("openvpn"), *self._common, *outer, *route)


class Nebula(PacketVpn):
    """nebula, AES, one host behind the office's end."""

    name = "nebula"
    label = "nebula, AES-256-GCM"
    address = "10.20.0.62"
    roles: ClassVar = {"client": ("nebula-client",), "connector": ("nebula-connector",)}

    @classmethod
    def missing(cls) -> str:
        return super().missing() or missing_programs("nebula", "nebula-cert")

    @classmethod
    def version(cls) -> str:
        said = subprocess.run([program("nebula"), "-version"], capture_output=True, text=True, check=False).stdout
        return f"nebula {said.strip().removeprefix('Version: ')}"

    def start(self) -> None:
        self._make_certificates()
        self._start("connector", "office")
        self.start_client()
        self.wait_until_it_carries()

    def start_client(self) -> None:
        self._start("client", self.host)

    def _start(self, role: str, host: str) -> None:
        path = self.folder / f"{role}.yaml"
        path.write_text(self._configuration(role))
        self.lab.daemon(host, f"nebula-{role}", program("nebula"), "-config", str(path))

    def _make_certificates(self) -> None:
        if (self.folder / "client.crt").exists():
            return
        certify, here = program("nebula-cert"), Host("here")
        authority = {name: str(self.folder / f"ca.{name}") for name in ("crt", "key")}
        here.run(certify, "ca", "-name", "bench", "-out-crt", authority["crt"], "-out-key", authority["key"])
        for role, ip, more in (
            ("connector", "10.9.2.1/24", ("-subnets", f"{self.address}/32")),
            ("client", "10.9.2.2/24", ()),
        ):
            by = ("-ca-crt", authority["crt"], "-ca-key", authority["key"])
            out = ("-out-crt", str(self.folder / f"{role}.crt"), "-out-key", str(self.folder / f"{role}.key"))
            here.run(certify, "sign", "-name", role, "-ip", ip, *more, *by, *out)

    def _configuration(self, role: str) -> str:
        office = role == "connector"
        port, host = (4242, OFFICE_UPLINK) if office else (0, "0.0.0.0")
        beacon = "am_lighthouse: true" if office else 'am_lighthouse: false\n  hosts: ["10.9.2.1"]'
        routes = "" if office else f"  unsafe_routes: [{{route: {self.address}/32, via: 10.9.2.1}}]\n"
        return (
            f"pki:\n  ca: {self.folder}/ca.crt\n  cert: {self.folder}/{role}.crt\n  key: {self.folder}/{role}.key\n"
            f'static_host_map: {{"10.9.2.1": ["{OFFICE_UPLINK}:4242"]}}\n'
            f"lighthouse:\n  {beacon}\nlisten: {{host: {host}, port: {port}}}\ncipher: aes\n"
            f"tun:\n  dev: neb9\n{routes}"
            "firewall:\n  default_local_cidr_any: true\n  outbound: [{port: any, proto: any, host: any}]\n"
            "  inbound: [{port: any, proto: any, host: any}]\nlogging: {level: warning}\n"
        )


class WireGuardGo(PacketVpn):
    """WireGuard in user space, in Go, with the kernel's segmentation and coalescing."""

    name = "wireguard-go"
    label = "wireguard-go, ChaCha20-Poly1305"
    address = "10.20.0.63"
    roles: ClassVar = {"client": ("wireguard-go-client",), "connector": ("wireguard-go-connector",)}
    _port: ClassVar[int] = 51820

    @classmethod
    def missing(cls) -> str:
        return (
            super().missing() or missing_programs("wg") or ("" if cls._program() else missing_programs("wireguard-go"))
        )

    @classmethod
    def _program(cls) -> str:
        """The current one by its Go name; else the distribution's, which may be years older."""
        return program("wireguard") or program("wireguard-go")

    @classmethod
    def version(cls) -> str:
        if cls._program() == str(TOOLS / "bin" / "wireguard"):
            recorded = TOOLS / "wireguard.version"
            return f"wireguard-go {recorded.read_text().strip() if recorded.exists() else '(built here)'}"
        said = subprocess.run([cls._program(), "--version"], capture_output=True, text=True, check=False).stdout
        return " ".join(said.split()[:2])

    def start(self) -> None:
        wg, here = program("wg"), Host("here")
        self._public = {}
        for role in ("connector", "client"):
            secret = here.run(wg, "genkey").stdout.strip()
            private(self.folder / f"{role}.key", secret + "\n")
            self._public[role] = here.run(wg, "pubkey", stdin=secret).stdout.strip()
        allowed = ("allowed-ips", "10.9.3.2/32")
        self._start("connector", "office", "listen-port", str(self._port), "peer", self._public["client"], *allowed)
        self.up("office", self._device("connector"), "10.9.3.1", "10.9.3.2")
        self.start_client()
        self.wait_until_it_carries()

    def start_client(self) -> None:
        allowed = ("endpoint", f"{OFFICE_UPLINK}:{self._port}", "allowed-ips", f"10.9.3.1/32,{self.address}/32")
        self._start("client", self.host, "peer", self._public["connector"], *allowed)
        self.up(self.host, self._device("client"), "10.9.3.2", "10.9.3.1")

    def _device(self, role: str) -> str:
        """The control socket's name is the device's, and one for all namespaces."""
        return f"wg{os.getpid() % 100_000}{role[1]}"

    def _start(self, role: str, host: str, *settings: str) -> None:
        device, end = self._device(role), self.lab[host]
        self.lab.daemon(host, f"wireguard-go-{role}", self._program(), "-f", device, env={"WG_PROCESS_FOREGROUND": "1"})
        control = Path(f"/var/run/wireguard/{device}.sock")
        wait_for("wireguard-go's control socket", lambda: self._has(host, device) and control.exists(), 10)
        end.run(program("wg"), "set", device, "private-key", str(self.folder / f"{role}.key"), *settings)
        end.run(IP, "link", "set", device, "mtu", "1420")
