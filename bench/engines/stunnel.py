"""TLS in C: stunnel alone, and in the places of client and connector with haproxy as a relay that moves bytes and reads none.

The chain is the yardstick for bulk: two ends that encrypt, one relay that does not. What it leaves out: it authenticates
nobody, decides nothing, its relay dials inwards, and every connection makes a TLS session of its own.
"""

import resource
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from bench.engines.engine import PORTS, PROXIES, YARDSTICK, Engine, missing_programs, private, program
from lab.chain import OFFICE_UPLINK
from lab.hosts import CLOUD, SERVERS
from lab.processes import Host, wait_for

_COMMON = """
foreground = yes
syslog = no
debug = 4
sslVersion = TLSv1.3
ciphersuites = TLS_AES_128_GCM_SHA256
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
"""


def stunnel_configuration(
    folder: Path, name: str, services: Mapping[str, str], *, client: bool, certificate: str
) -> str:
    """A configuration of stunnel that leads ``services``, from ``address:port`` to ``address:port``."""
    lines = [f"pid = {folder / name}.pid", _COMMON]
    lines.append(
        f"client = yes\nverifyPeer = yes\nCAfile = {certificate}" if client else f"cert = {certificate}\nclient = no"
    )
    for number, (accept, connect) in enumerate(services.items()):
        lines.append(f"[{name}-{number}]\naccept = {accept}\nconnect = {connect}")
    return "\n".join(lines) + "\n"


def make_certificate(folder: Path) -> tuple[str, str]:
    """Makes a P-256 key with a certificate; returns the file with both and the one with the certificate."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    if not certificate.exists():
        key.touch(mode=0o600)
        made = (*("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"), "-days", "2")
        Host("here").run("/usr/bin/openssl", *made, "-subj", "/CN=bench", "-keyout", str(key), "-out", str(certificate))
    both = private(folder / "both.pem", key.read_text() + certificate.read_text())
    return str(both), str(certificate)


class Stunnel(Engine):
    """stunnel at both ends, one TLS session for each connection."""

    name = "stunnel"
    label = "stunnel4"
    group = PROXIES
    carries = frozenset({"tcp"})
    roles: ClassVar = {"client": ("stunnel-client",), "connector": ("stunnel-connector",)}
    listens: ClassVar[str] = "127.0.1.3"
    far_ports: ClassVar[int] = 20_000
    """The connector's end of a port is this many above it."""

    @classmethod
    def missing(cls) -> str:
        return missing_programs("stunnel4")

    @classmethod
    def version(cls) -> str:
        said = subprocess.run([program("stunnel4"), "-version"], capture_output=True, text=True, check=False).stderr
        return next((line.split(" on ")[0] for line in said.splitlines() if line.startswith("stunnel ")), "?")

    @property
    def target(self) -> str:
        return self.listens

    @property
    def peer(self) -> str:
        """Where the client's end dials."""
        return OFFICE_UPLINK

    def start(self) -> None:
        both, certificate = make_certificate(self.folder)
        far = {port: port + self.far_ports for port in PORTS}
        inner = {f"{OFFICE_UPLINK}:{far[port]}": f"{SERVERS['bench']}:{port}" for port in PORTS}
        outer = {f"{self.listens}:{port}": f"{self.peer}:{far[port]}" for port in PORTS}
        for role, host, services in (("connector", "office", inner), ("client", self.host, outer)):
            path = self.folder / f"{role}.conf"
            client = role == "client"
            path.write_text(
                stunnel_configuration(
                    self.folder, role, services, client=client, certificate=certificate if client else both
                )
            )
            name = f"{self.name}-{role}"
            self.lab.daemon(host, name, program("stunnel4"), str(path))
        self.wait_until_it_carries()

    def stop(self) -> None:
        self.stop_daemons()


class StunnelHaproxy(Stunnel):
    """stunnel, haproxy as the relay, stunnel."""

    name = "stunnel-haproxy"
    label = "stunnel4, haproxy, stunnel4"
    group = YARDSTICK
    roles: ClassVar = {
        "client": ("stunnel-haproxy-client",),
        "relay": ("stunnel-haproxy-relay",),
        "connector": ("stunnel-haproxy-connector",),
    }
    listens = "127.0.1.2"
    far_ports = 30_000

    @classmethod
    def missing(cls) -> str:
        return missing_programs("stunnel4", "haproxy")

    @classmethod
    def version(cls) -> str:
        said = subprocess.run([program("haproxy"), "-v"], capture_output=True, text=True, check=False).stdout
        return f"{super().version()}; {' '.join(said.split()[:3]) or '?'}"

    @property
    def peer(self) -> str:
        return CLOUD

    def start(self) -> None:
        path = self.folder / "haproxy.cfg"
        path.write_text(haproxy_configuration({port: port + self.far_ports for port in PORTS}))
        self.lab.daemon("cloud", f"{self.name}-relay", program("haproxy"), "-db", "-f", str(path))
        wait_for("haproxy", self._relay_listens, 10)
        super().start()

    def _relay_listens(self) -> bool:
        port = PORTS[0] + self.far_ports
        return bool(self.lab["cloud"].run("/usr/bin/ss", "-Htln", f"sport = :{port}").stdout.strip())


def haproxy_configuration(ports: Mapping[int, int]) -> str:
    """TCP, spliced in the kernel where haproxy can; one frontend and backend for each of the servers' ports."""
    # Two sockets for each connection, and a pipe for each fourth: haproxy does not start when that is more than it may have.
    most = min(20_000, int((resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 200) / 2.5))
    lines = [f"global\n  maxconn {most}\n", "defaults\n  mode tcp\n  option splice-auto\n  timeout connect 5s"]
    lines.append("  timeout client 1h\n  timeout server 1h\n")
    for port, far in ports.items():
        lines.append(f"frontend in{port}\n  bind {CLOUD}:{far}\n  default_backend out{port}")
        lines.append(f"backend out{port}\n  server office {OFFICE_UPLINK}:{far}")
    return "\n".join(lines) + "\n"
