"""The office's real servers: PostgreSQL, sshd, iperf3. Unmodified programs, private folders, nothing of the host's."""

import os
import pwd
import subprocess
from pathlib import Path

from lab.hosts import SERVERS, Lab
from lab.processes import LabError, wait_for

RUNUSER = "/usr/sbin/runuser"
DATABASE_PASSWORD = "lab-only-password"


def postgres_bin() -> Path:
    """The newest PostgreSQL's program folder (Debian keeps it off the PATH). Raises LabError."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parent.parent.name))
    if not found:
        raise LabError("PostgreSQL is not installed: apt-get install postgresql")
    return found[-1].parent


def start_postgres(lab: Lab) -> None:
    """A PostgreSQL server on the database host, run as user ``postgres``."""
    programs = postgres_bin()
    owner = pwd.getpwnam("postgres")
    data = lab.folder / "postgres"
    data.mkdir()
    os.chown(data, owner.pw_uid, owner.pw_gid)
    as_postgres = (RUNUSER, "-u", "postgres", "--")
    password = data / "password"
    password.write_text(DATABASE_PASSWORD)
    os.chown(password, owner.pw_uid, owner.pw_gid)
    servers = lab["servers"]
    # fmt: off
    servers.run(*as_postgres, str(programs / "initdb"), "-D", str(data / "cluster"), "-A", "scram-sha-256", "-U", "postgres",
                "--pwfile", str(password), "--no-sync", "-E", "UTF8", "--locale", "C.UTF-8", deadline=60)
    # fmt: on
    (data / "cluster" / "pg_hba.conf").write_text("host all all 10.20.0.0/24 scram-sha-256\n")
    lab.daemon(
        "servers",
        "postgres",
        *as_postgres,
        str(programs / "postgres"),
        "-D",
        str(data / "cluster"),
        *("-c", f"listen_addresses={SERVERS['db']}", "-c", "unix_socket_directories=", "-c", "fsync=off"),
    )
    wait_for("PostgreSQL", lambda: "ready to accept connections" in lab.log("postgres"), 30)


def start_sshd(lab: Lab) -> Path:
    """An OpenSSH server on the shell host that lets root in with a key; returns the private key's path."""
    folder = lab.folder / "sshd"
    folder.mkdir()
    for name in ("host", "user"):
        subprocess.run(
            ["/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)],
            check=True,
            capture_output=True,
        )
    (folder / "authorized_keys").write_text((folder / "user.pub").read_text())
    (folder / "known_hosts").write_text(
        f"shell.corp.internal,{SERVERS['shell']} {(folder / 'host.pub').read_text()}",
    )
    (folder / "config").write_text(
        f"ListenAddress {SERVERS['shell']}:22\nHostKey {folder / 'host'}\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {folder / 'authorized_keys'}\nPasswordAuthentication no\nPermitRootLogin yes\n"
        "StrictModes no\nAcceptEnv LANG\nPrintMotd no\nUseDNS no\nPerSourcePenalties no\n"
    )
    config = folder / "config"
    sshd = "/usr/sbin/sshd"
    # sshd older than 9.8 does not know the last option; it says so and nothing else depends on it.
    if lab["servers"].run(sshd, "-t", "-f", str(config), check=False).returncode != 0:
        config.write_text(config.read_text().replace("PerSourcePenalties no\n", ""))
    Path("/run/sshd").mkdir(exist_ok=True)
    lab.daemon("servers", "sshd", sshd, "-D", "-e", "-f", str(config))
    wait_for("sshd", lambda: "Server listening" in lab.log("sshd"))
    return folder / "user"


def ssh_command(lab: Lab, target: str) -> list[str]:
    """The arguments of an unmodified ssh to ``target`` as root with the lab's keys."""
    folder = lab.folder / "sshd"
    return [
        "/usr/bin/ssh",
        *("-i", str(folder / "user"), "-o", f"UserKnownHostsFile={folder / 'known_hosts'}"),
        *("-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-F", "none"),
        f"root@{target}",
    ]


def start_iperf(lab: Lab) -> None:
    """An iperf3 server on the bench host."""
    lab.daemon("servers", "iperf3", "/usr/bin/iperf3", "-s", "-B", SERVERS["bench"], "--forceflush")
    wait_for("iperf3", lambda: "Server listening" in lab.log("iperf3"))
