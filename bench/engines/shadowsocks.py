"""shadowsocks-libev: a symmetric cipher between two ends that share a password; ports led by ss-tunnel."""

import json
import secrets
import subprocess
from typing import ClassVar

from bench.engines.engine import PORTS, PROXIES, Engine, missing_programs, private, program
from lab.chain import OFFICE_UPLINK
from lab.hosts import SERVERS

_PORT = 8388
_LISTENS = "127.0.1.4"


class Shadowsocks(Engine):
    """One ss-tunnel for each port, one ss-server."""

    name = "shadowsocks"
    label = "shadowsocks-libev, aes-128-gcm"
    group = PROXIES
    roles: ClassVar = {
        "client": tuple(f"shadowsocks-client-{port}" for port in PORTS),
        "connector": ("shadowsocks-connector",),
    }

    @classmethod
    def missing(cls) -> str:
        return missing_programs("ss-server", "ss-tunnel")

    @classmethod
    def version(cls) -> str:
        said = subprocess.run([program("ss-server"), "-h"], capture_output=True, text=True, check=False)
        return (said.stdout + said.stderr).strip().splitlines()[0]

    @property
    def target(self) -> str:
        return _LISTENS

    def start(self) -> None:
        shared = {
            "password": secrets.token_urlsafe(24),
            "method": "aes-128-gcm",
            "timeout": 3600,
            "mode": "tcp_and_udp",
        }
        shared |= {"server": OFFICE_UPLINK, "server_port": _PORT, "no_delay": True, "nofile": 20_000}
        inside = private(self.folder / "server.json", json.dumps(shared))
        self.lab.daemon("office", self.roles["connector"][0], program("ss-server"), "-c", str(inside))
        for port, name in zip(PORTS, self.roles["client"], strict=True):
            leads = {"local_address": _LISTENS, "local_port": port, "tunnel_address": f"{SERVERS['bench']}:{port}"}
            path = private(self.folder / f"client-{port}.json", json.dumps(shared | leads))
            self.lab.daemon(self.host, name, program("ss-tunnel"), "-c", str(path))
        self.wait_until_it_carries()

    def stop(self) -> None:
        self.stop_daemons()
