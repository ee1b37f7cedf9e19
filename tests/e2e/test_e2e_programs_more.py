"""More unmodified programs through the tunnel. `make host-tools-all` installs those that are too heavy for every machine."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import flow_services as at
from lab.hosts import SERVERS
from lab.processes import wait_for
from lab.product import Product
from lab.servers import DATABASE_PASSWORD, postgres_bin, ssh_command

BENCH = "bench.corp.internal"
SHELL = "shell.corp.internal"
H2_PORT, REDIS_PORT, SMB_PORT, MOSH_PORT = 8480, 6380, 4450, 60_017

TALK = """
import asyncio
from websockets.asyncio.client import connect
async def main():
    async with connect("ws://wiki.corp.internal:8081", proxy=None, max_size=None) as socket:
        for size in (1, 70_000, 1_000_000):
            await socket.send(bytes(size))
            assert await socket.recv() == bytes(size)
        await (await socket.ping())
    print("all came back")
asyncio.run(main())
"""


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skips, and says what is missing."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/lib/git-core"
    missing = [program for program in programs if shutil.which(program, path=path) is None]
    return pytest.mark.skipif(bool(missing), reason=f"missing here: {', '.join(missing)} (make host-tools-all)")


def on_laptop(product: Product, *command: str, check: bool = True, **env: str) -> "subprocess.CompletedProcess[str]":
    return product.lab["laptop"].run(*command, check=check, deadline=90, env=env)


STARTED: "list[subprocess.Popen[bytes]]" = []


@pytest.fixture(scope="module")
def servers(product: Product) -> Iterator[Product]:
    """The product; what a test started on the servers' host ends with the module."""
    yield product
    while STARTED:
        product.lab.stop(STARTED.pop())


def serve(product: Product, name: str, *command: str) -> None:
    (product.lab.folder / f"{name}.log").unlink(missing_ok=True)
    STARTED.append(product.lab.daemon("servers", name, *command))


def ssh_options(product: Product) -> list[str]:
    """Of the lab's keys, as scp, rsync and git take them too."""
    return ssh_command(product.lab, SHELL)[1:-1]


@pytest.fixture(scope="module")
def office_folder(servers: Product) -> Iterator[Path]:
    """A folder that sshd's users see on the servers' host."""
    with tempfile.TemporaryDirectory(prefix="office-", dir=servers.lab.folder) as folder:
        (Path(folder) / "notes").mkdir()
        (Path(folder) / "notes" / "one.txt").write_text("one\n")
        (Path(folder) / "notes" / "big").write_bytes(os.urandom(3_000_000))
        yield Path(folder)


def test_a_websocket_carries_small_and_large_messages(servers: Product) -> None:
    assert on_laptop(servers, sys.executable, "-c", TALK).stdout.strip() == "all came back"


@needs("nghttpd")
def test_curl_over_http2(servers: Product, office_folder: Path, tmp_path: Path) -> None:
    address = f"--address={SERVERS['bench']}"
    serve(servers, "nghttpd", "nghttpd", "--no-tls", address, "-d", str(office_folder), str(H2_PORT))
    curl = (
        "/usr/bin/curl",
        "-sS",
        "--http2-prior-knowledge",
        "--retry",
        "9",
        "--retry-connrefused",
        "-w",
        "%{http_version}",
    )
    url = f"http://{BENCH}:{H2_PORT}/notes/big"
    assert on_laptop(servers, *curl, "-o", str(tmp_path / "big"), url).stdout == "2"
    assert (tmp_path / "big").read_bytes() == (office_folder / "notes" / "big").read_bytes()


def test_scp_copies_both_ways(servers: Product, office_folder: Path, tmp_path: Path) -> None:
    options, there = ssh_options(servers), f"root@{SHELL}:{office_folder}"
    on_laptop(servers, "/usr/bin/scp", "-O", *options, "-q", f"{there}/notes/big", str(tmp_path / "big"))
    on_laptop(servers, "/usr/bin/scp", "-O", *options, "-q", str(tmp_path / "big"), f"{there}/back")
    assert (office_folder / "back").read_bytes() == (office_folder / "notes" / "big").read_bytes()


@needs("rsync")
def test_rsync_sends_only_what_changed(servers: Product, office_folder: Path, tmp_path: Path) -> None:
    ssh = " ".join(["/usr/bin/ssh", *ssh_options(servers)])
    rsync = ("/usr/bin/rsync", "-a", "--stats", "-e", ssh, f"root@{SHELL}:{office_folder}/notes/", f"{tmp_path}/")
    on_laptop(servers, *rsync)
    assert (tmp_path / "big").read_bytes() == (office_folder / "notes" / "big").read_bytes()
    assert "Number of regular files transferred: 0" in on_laptop(servers, *rsync).stdout


@needs("git")
def test_git_clones_and_pushes(servers: Product, office_folder: Path, tmp_path: Path) -> None:
    env = {"GIT_SSH_COMMAND": " ".join(["/usr/bin/ssh", *ssh_options(servers)])}
    env |= {
        f"GIT_{role}_{what}": "grace@corp.example" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    repository = office_folder / "code.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(repository)], check=True)
    work = str(tmp_path / "code")
    on_laptop(servers, "git", "clone", "-q", f"root@{SHELL}:{repository}", work, **env)
    (tmp_path / "code" / "README").write_text("hello\n")
    on_laptop(servers, "git", "-C", work, "add", "README")
    on_laptop(servers, "git", "-C", work, "commit", "-qm", "begin", **env)
    on_laptop(servers, "git", "-C", work, "push", "-q", "origin", "HEAD:main", **env)
    log = subprocess.run(["git", "-C", str(repository), "log", "--format=%s", "main"], check=True, capture_output=True)
    assert log.stdout == b"begin\n"


def test_pgbench(servers: Product) -> None:
    pgbench = (str(postgres_bin() / "pgbench"), "-h", "db.corp.internal", "-U", "postgres")
    on_laptop(servers, *pgbench, "-i", "-q", "-s", "1", "postgres", PGPASSWORD=DATABASE_PASSWORD)
    out = on_laptop(servers, *pgbench, "-c", "2", "-t", "10", "-C", "postgres", PGPASSWORD=DATABASE_PASSWORD).stdout
    assert "number of transactions actually processed: 20/20" in out


@needs("redis-server", "redis-cli")
def test_redis(servers: Product) -> None:
    serve(servers, "redis", "redis-server", "--bind", SERVERS["bench"], "--port", str(REDIS_PORT), "--protected-mode", "no",
          "--save", "", "--dir", str(servers.lab.folder))  # fmt: skip
    wait_for("redis", lambda: "Ready to accept connections" in servers.lab.log("redis"), 20)
    redis = ("/usr/bin/redis-cli", "-h", BENCH, "-p", str(REDIS_PORT))
    assert on_laptop(servers, *redis, "set", "colour", "blue").stdout == "OK\n"
    assert on_laptop(servers, *redis, "get", "colour").stdout == "blue\n"


@needs("kdig")
def test_kdig_over_udp_and_tcp(servers: Product) -> None:
    serve(servers, "more-services", sys.executable, "-m", "lab.flow_services", str(servers.lab.folder))
    wait_for("the servers", lambda: "listening" in servers.lab.log("more-services"), 20)
    for options in ((), ("+tcp",), ("+edns", "+bufsize=1232")):
        out = on_laptop(
            servers, "kdig", "+short", f"@{BENCH}", "-p", str(at.DNS_PORT), *options, "wiki.corp.internal", "TXT"
        )
        assert "company wiki" in out.stdout


@needs("mosh-server", "mosh-client", "script")
def test_mosh(servers: Product) -> None:
    env = {"LC_ALL": "C.UTF-8", "TERM": "xterm"}
    server = (
        "mosh-server",
        "new",
        "-i",
        SERVERS["bench"],
        "-p",
        str(MOSH_PORT),
        "--",
        "/bin/sh",
        "-c",
        "read x; echo got-$x",
    )
    said = servers.lab["servers"].run(*server, env=env).stdout
    key = re.search(r"MOSH CONNECT \d+ (\S+)", said)
    assert key is not None, said
    address = on_laptop(servers, "/usr/bin/dig", "+short", BENCH, "A").stdout.strip()
    client = f"(sleep 1; echo lantern; sleep 2) | script -qec 'stty rows 24 cols 80; exec mosh-client {address} {MOSH_PORT}' /dev/null"
    shown = on_laptop(servers, "/bin/sh", "-c", client, check=False, MOSH_KEY=key[1], **env).stdout
    assert "got-lantern" in shown


@needs("smbd", "smbclient")
def test_smbclient(servers: Product, office_folder: Path, tmp_path: Path) -> None:
    folder = servers.lab.folder / "samba"
    folder.mkdir(exist_ok=True)
    for name in ("lock", "state", "cache", "pid", "private", "ncalrpc"):
        (folder / name).mkdir(exist_ok=True)
    config = folder / "smb.conf"
    config.write_text(
        f"[global]\nsmb ports = {SMB_PORT}\ninterfaces = {SERVERS['bench']}/24\nbind interfaces only = yes\n"
        f"lock directory = {folder}/lock\nstate directory = {folder}/state\ncache directory = {folder}/cache\n"
        f"pid directory = {folder}/pid\nprivate dir = {folder}/private\nncalrpc dir = {folder}/ncalrpc\n"
        "map to guest = Bad User\nguest account = root\nload printers = no\ndisable spoolss = yes\n"
        f"[notes]\npath = {office_folder}/notes\nguest ok = yes\nread only = yes\n"
    )
    serve(servers, "smbd", "smbd", "-F", "--no-process-group", "-s", str(config), "--debug-stdout")
    command = (
        "smbclient",
        f"//{BENCH}/notes",
        "-N",
        "-p",
        str(SMB_PORT),
        "-s",
        str(config),
        "-c",
        f"get big {tmp_path}/big",
    )

    def copied() -> bool:
        return on_laptop(servers, *command, check=False).returncode == 0

    wait_for("smbd", copied, 60)
    assert (tmp_path / "big").read_bytes() == (office_folder / "notes" / "big").read_bytes()


@needs("chromium")
def test_a_browser_loads_an_internal_page_by_name(servers: Product, tmp_path: Path) -> None:
    # fmt: off
    options = (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", f"--user-data-dir={tmp_path}",
    )
    # fmt: on
    page = on_laptop(servers, "chromium", *options, "--dump-dom", "http://wiki.corp.internal/page", HOME=str(tmp_path))
    assert "company wiki: /page" in page.stdout


def test_iperf3_over_udp(servers: Product) -> None:
    out = on_laptop(servers, "/usr/bin/iperf3", "-c", BENCH, "-u", "-b", "20M", "-t", "1", "-l", "1200").stdout
    assert "iperf Done" in out
