"""``make demo``: the whole product on this machine, told on the terminal as it really happens.

Each line is a fact that was just observed, with the time since the start. Exit status 0 only if every step held.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path

from lab.hosts import IP, Lab
from lab.processes import LabError
from lab.product import ADMIN, Product
from lab.story import Story

INTERRUPTED = 130
ROOT = Path(__file__).resolve().parent.parent


class Narrator:
    """Prints one line per fact."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.failed: list[str] = []
        self.held = 0
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def say(self, text: str, mark: str = " ") -> None:
        shown = mark
        if self._colour:
            shown = {"✓": "\033[32m✓\033[0m", "✗": "\033[31m✗\033[0m"}.get(mark, mark)
        print(f"{time.monotonic() - self._began:7.2f} s {shown} {text}", flush=True)

    def step(self, title: str, text: str) -> None:
        self.held += 1
        self.say(f"{title}: {text}", "✓")

    def failure(self, title: str, text: str) -> None:
        self.failed.append(title)
        self.say(f"{title}: {text}", "✗")

    def summary(self, folder: Path) -> int:
        """Prints how many steps held; returns the exit status."""
        total = self.held + len(self.failed)
        print(f"\n{self.held} of {total} steps held." + (f" Failed: {', '.join(self.failed)}." if self.failed else ""))
        print(f"Logs and state are kept in {folder}; delete it when you like.")
        return 1 if self.failed else 0


def missing_for_tun() -> str:
    """Why the story cannot be told through a TUN device here; empty when it can."""
    if os.geteuid() != 0:
        return "this is not root"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    return ""


def run(lab: Lab, narrator: Narrator) -> None:
    """Builds everything and tells the story."""
    narrator.say("lab: laptop, internet, cloud, office gateway, office and servers are up (network namespaces)")
    product = Product(lab)
    product.start_world(lab)
    narrator.say(
        "office: wiki, PostgreSQL, sshd, echo and its own DNS are running; nothing can connect in from outside"
    )
    product.start_controller()
    narrator.say(f"controller: serving, CA pin {product.ca_pin}")
    product.start_relay()
    narrator.say("relay: enrolled and listening")
    product.start_connector()
    narrator.say("connector: enrolled from inside the office, attached to the relay, outbound connections only")
    product.create_policy()
    narrator.say("admin: made resources, the group engineers with one user, and its grants")
    product.start_client()
    product.sign_in()
    narrator.say("laptop: signed in; the browser page was approved for the shown code")
    story = Story(product, lab)
    for title, step in story.steps():
        try:
            narrator.step(title, step())
        except (LabError, OSError, KeyError, subprocess.SubprocessError) as exc:
            narrator.failure(title, str(exc))


def keep(lab: Lab) -> None:
    """Tells how to be the user and the administrator and how to enter each host, and waits."""
    folder = lab.folder
    path = f"PATH={Path(sys.executable).parent}:$PATH"
    print("\nThe lab stays up. To be the user on the laptop, in another terminal:")
    print(f"  {IP} netns exec {lab['laptop'].namespace} env {path} OSTIARY_RUNTIME_DIR={folder}/run/client bash")
    print("and there `ostiary status`, `ostiary resources`, `curl http://wiki.corp.internal`.")
    print(f"To be the administrator, signed in as the owner {ADMIN}:")
    print(f"  {IP} netns exec {lab['cloud'].namespace} env {path} HOME={folder}/home bash")
    print("and there `ostiary admin connection list`, `ostiary admin event list`. The other hosts:")
    for name, host in lab.hosts.items():
        if name not in ("laptop", "cloud"):
            print(f"  {name:10} {IP} netns exec {host.namespace} bash")
    print("Press Enter (or Ctrl-C) to remove the lab.", flush=True)
    try:
        input()
    except KeyboardInterrupt:
        return
    except EOFError:
        if sys.stdin.isatty():
            return
        # Nobody can press Enter; a signal ends it.
        with suppress(KeyboardInterrupt):
            while True:
                signal.pause()


def end_like_ctrl_c() -> None:
    """Makes SIGTERM remove the lab as Ctrl-C does; a second one does not stop the removal."""

    def interrupt(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def main() -> int:
    """Runs the demo; returns the exit status."""
    parser = argparse.ArgumentParser(description="The whole product on this machine, told as it happens.")
    parser.add_argument("--keep", action="store_true", help="leave everything up and print how to enter each host")
    parser.add_argument(
        "--proxy", action="store_true", help="tell the shorter story of the proxy mode, as without root"
    )
    options = parser.parse_args()
    end_like_ctrl_c()
    try:
        return tell_story(Narrator(), keeping=options.keep, by_proxy=options.proxy)
    except KeyboardInterrupt:
        print("\nInterrupted; the lab is removed.")
        return INTERRUPTED


def tell_story(narrator: Narrator, *, keeping: bool, by_proxy: bool) -> int:
    """Tells the story that this machine admits; returns the exit status."""
    if why := "asked for the proxy mode" if by_proxy else missing_for_tun():
        from lab.rootless import tell

        narrator.say(f"{why}: telling the story through the client's proxy mode, on loopback")
        return tell(narrator)
    subprocess.run([str(ROOT / "lab" / "ensure-tools")], check=True)
    folder = Path(tempfile.mkdtemp(prefix="ostiary-demo-"))
    try:
        with Lab(folder, f"ost{os.getpid() % 10000}") as lab:
            run(lab, narrator)
            if keeping:
                status = narrator.summary(folder)
                keep(lab)
                return status
    except LabError as exc:
        narrator.failure("the lab", str(exc))
    except Exception:  # noqa: BLE001 - told like any other failed step, with what is needed to look into it
        narrator.failure("the lab", traceback.format_exc())
    return narrator.summary(folder)


if __name__ == "__main__":
    sys.exit(main())
