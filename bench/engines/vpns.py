"""Packet VPNs between the desk and the office: they carry packets, know no resources and ask nobody for each connection."""

import os
import subprocess
from pathlib import Path
from typing import ClassVar

from bench.engines.engine import PACKETS, TOOLS, Engine, missing_programs, private, program
from bench.engines.stunnel import make_certificate
from lab.chain import OFFICE_UPLINK
from lab.hosts import IP
from lab.processes import Host, wait_for


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

    def stop(self) -> None:
        self.stop_daemons()

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
        said = (
            Host("here").run("/usr/bin/openssl", "x509", "-in", certificate, "-noout", "-fingerprint", "-sha256").stdout
        )
        own = ("--cert", certificate, "--key", str(self.folder / "key.pem"))
        pinned = ("--peer-fingerprint", said.strip().partition("=")[2])
        common = (
            "--dev",
            "tun9",
            "--dev-type",
            "tun",
            "--proto",
            "udp",
            "--data-ciphers",
            "AES-128-GCM",
            *own,
            *pinned,
        )
        common = (*common, "--disable-dco", "--verb", "3", "--cd", str(self.folder))
        connector, client = self.roles["connector"][0], self.roles["client"][0]
        server = ("--tls-server", "--dh", "none", "--local", OFFICE_UPLINK, "--ifconfig", "10.9.1.1", "10.9.1.2")
        self.lab.daemon("office", connector, program("openvpn"), *common, *server)
        outer = ("--tls-client", "--nobind", "--remote", OFFICE_UPLINK, "1194", "--ifconfig", "10.9.1.2", "10.9.1.1")
        route = ("--route", self.address, "255.255.255.255")
        self.lab.daemon(self.host, client, program("openvpn"), *common, *outer, *route)
        self.wait_until_it_carries()


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
        for role, host in (("connector", "office"), ("client", self.host)):
            path = self.folder / f"{role}.yaml"
            path.write_text(self._configuration(role))
            self.lab.daemon(host, f"nebula-{role}", program("nebula"), "-config", str(path))
        self.wait_until_it_carries()

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
            signed = (
                "-ca-crt",
                authority["crt"],
                "-ca-key",
                authority["key"],
                "-out-crt",
                str(self.folder / f"{role}.crt"),
            )
            here.run(
                *(
                    certify,
                    "sign",
                    "-name",
                    role,
                    "-ip",
                    ip,
                    *more,
                    *signed,
                    "-out-key",
                    str(self.folder / f"{role}.key"),
                )
            )

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
        keys, public = {}, {}
        for role in ("connector", "client"):
            secret = here.run(wg, "genkey").stdout.strip()
            keys[role] = private(self.folder / f"{role}.key", secret + "\n")
            public[role] = here.run(wg, "pubkey", stdin=secret).stdout.strip()
        for role, host, other, local, peer in (
            ("connector", "office", "client", "10.9.3.1", "10.9.3.2"),
            ("client", self.host, "connector", "10.9.3.2", "10.9.3.1"),
        ):
            # The control socket's name is the device's, and one for all namespaces.
            device = f"wg{os.getpid() % 100_000}{role[1]}"
            self.lab.daemon(
                host, f"wireguard-go-{role}", self._program(), "-f", device, env={"WG_PROCESS_FOREGROUND": "1"}
            )
            wait_for("wireguard-go's device", lambda host=host, device=device: self._has(host, device), 10)
            what = [
                "peer",
                public[other],
                "allowed-ips",
                f"{peer}/32" + ("" if role == "connector" else f",{self.address}/32"),
            ]
            if role == "client":
                what += ["endpoint", f"{OFFICE_UPLINK}:{self._port}"]
            listen = ["listen-port", str(self._port)] if role == "connector" else []
            self.lab[host].run(wg, "set", device, "private-key", str(keys[role]), *listen, *what)
            self.lab[host].run(IP, "link", "set", device, "mtu", "1420")
            self.up(host, device, local, peer)
        self.wait_until_it_carries()
