"""sshuttle: connections redirected by nft, and multiplexed in Python through one ssh session."""

import subprocess
from pathlib import Path
from typing import ClassVar, Final

from bench.engines.engine import PROXIES, TOOLS, Engine, missing_programs
from lab.chain import OFFICE_UPLINK
from lab.processes import Host, wait_for

ADDRESS: Final = "10.20.0.64"
_PROGRAM: Final = TOOLS / "sshuttle" / "bin" / "sshuttle"
_PORT: Final = 2222


class Sshuttle(Engine):
    """sshuttle's client on the desk, sshd in the office."""

    name = "sshuttle"
    label = "sshuttle, --no-latency-control"
    group = PROXIES
    carries = frozenset({"tcp"})
    roles: ClassVar = {"client": ("sshuttle-client",), "connector": ("sshuttle-connector",)}

    @classmethod
    def missing(cls) -> str:
        if not _PROGRAM.exists():
            return "sshuttle: not installed (make bench-tools)"
        return missing_programs("sshd", "ssh", "nft")

    @classmethod
    def version(cls) -> str:
        said = subprocess.run([str(_PROGRAM), "--version"], capture_output=True, text=True, check=False).stdout
        return f"sshuttle {said.strip()}"

    @property
    def target(self) -> str:
        return ADDRESS

    def start(self) -> None:
        keys = {name: self.folder / name for name in ("host", "user")}
        for path in keys.values():
            if not path.exists():
                Host("here").run("/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path))
        allowed = self.folder / "authorized_keys"
        allowed.write_text(keys["user"].with_suffix(".pub").read_text())
        known = self.folder / "known_hosts"
        known.write_text(f"[{OFFICE_UPLINK}]:{_PORT} {keys['host'].with_suffix('.pub').read_text()}")
        config = self.folder / "sshd.conf"
        config.write_text(
            f"ListenAddress {OFFICE_UPLINK}:{_PORT}\nHostKey {keys['host']}\nPidFile none\nUsePAM no\nStrictModes no\n"
            f"AuthorizedKeysFile {allowed}\nPasswordAuthentication no\nPermitRootLogin yes\nUseDNS no\n"
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        connector, client = self.roles["connector"][0], self.roles["client"][0]
        self.lab.daemon("office", connector, "/usr/sbin/sshd", "-D", "-e", "-f", str(config))
        wait_for("sshd", lambda: "Server listening" in self.lab.log(connector))
        ssh = f"/usr/bin/ssh -F none -i {keys['user']} -o UserKnownHostsFile={known} -o BatchMode=yes -c aes128-gcm@openssh.com"
        how = ("--method", "nft", "--no-latency-control", "--python", "/usr/bin/python3", "-e", ssh)
        where = ("-r", f"root@{OFFICE_UPLINK}:{_PORT}", f"{ADDRESS}/32")
        self.lab.daemon(self.host, client, str(_PROGRAM), *how, *where)
        self.wait_until_it_carries(30)

    def stop(self) -> None:
        # The client takes its own rules back when it ends.
        self.stop_daemons("sshuttle-client", "sshuttle-connector")
