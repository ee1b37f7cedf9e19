"""Bad input: one clear sentence that names the thing and the next step, a stable exit code, and nothing lost."""

import base64
import json
import subprocess
from pathlib import Path

from lab.hosts import RELAY_NAME
from lab.product import BIN, CONTROLLER_URL, Product


def run(
    product: Product, host: str, state: str, *argv: str, env: dict[str, str] | None = None, deadline: float = 30.0
) -> "subprocess.CompletedProcess[str]":
    program, *rest = argv
    return product.lab[host].run(
        str(BIN / program), *rest, env={**product.env(state), **(env or {})}, check=False, deadline=deadline
    )


def refused(done: "subprocess.CompletedProcess[str]", code: int, *words: str) -> None:
    """The command ended with ``code`` and said, on stderr, something short that holds each of ``words``."""
    text = done.stderr.strip()
    assert done.returncode == code, (done.returncode, text)
    assert "Traceback" not in text
    assert len(text.splitlines()) <= 4, text
    for word in words:
        assert word.lower() in text.lower(), text
    assert "next:" in text.lower(), text


def token_with(token: str, **changes: object) -> str:
    body = token.removeprefix("otk_")
    fields = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    fields.update(changes)
    return "otk_" + base64.urlsafe_b64encode(json.dumps(fields, separators=(",", ":")).encode()).rstrip(b"=").decode()


def test_a_wrong_and_a_reused_enrolment_token(product: Product) -> None:
    made = product.admin("connector", "create", "office-2", "--network", "office")
    wrong = product.secret("wrong", token_with(made["enrolment_token"], secret="A" * 43))
    refused(run(product, "office", "other", "ostiary-connector", "enroll", "--token-file", wrong), 1, "enrolment token")
    right = product.secret("right", made["enrolment_token"])
    done = run(product, "office", "other", "ostiary-connector", "enroll", "--token-file", right)
    assert done.returncode == 0, done.stderr
    refused(
        run(product, "office", "third", "ostiary-connector", "enroll", "--token-file", right),
        1,
        "already used",
        "new one",
    )
    assert not (product.lab.folder / "third" / "connector.json").exists()
    product.admin("connector", "delete", "office-2", "--yes")


def test_a_wrong_ca_pin_names_seen_and_expected(product: Product) -> None:
    made = product.admin("connector", "create", "office-3", "--network", "office")
    wrong = "sha256/" + base64.b64encode(bytes(32)).decode()
    token = product.secret("pin", token_with(made["enrolment_token"], pin=wrong))
    done = run(product, "office", "third", "ostiary-connector", "enroll", "--token-file", token)
    refused(done, 1, wrong, product.ca_pin)
    product.admin("connector", "delete", "office-3", "--yes")


def test_port_in_use(product: Product) -> None:
    done = run(product, "cloud", "relay", "ostiary-relay", "run", env={"OSTIARY_RUNTIME_DIR": "/tmp/ostiary-test-run"})
    refused(done, 1, "in use", "8444")
    done = run(product, "cloud", "controller", "ostiary-controller", "serve")
    refused(done, 1, "in use", "8443")


def test_not_enrolled(product: Product) -> None:
    refused(run(product, "office", "fresh", "ostiary-connector", "run"), 2, "not enrolled", "enroll")
    refused(run(product, "cloud", "fresh", "ostiary-relay", "run"), 2, "not enrolled", "enroll")


def test_an_unreachable_controller(product: Product) -> None:
    made = product.admin("connector", "create", "office-4", "--network", "office")
    token = product.secret("far", token_with(made["enrolment_token"], url=f"https://{RELAY_NAME}:9"))
    done = run(product, "office", "third", "ostiary-connector", "enroll", "--token-file", token)
    refused(done, 3, "controller cannot be reached", f"{RELAY_NAME}:9")
    product.admin("connector", "delete", "office-4", "--yes")


def test_a_malformed_config_key_and_an_unknown_variable(product: Product, tmp_path: Path) -> None:
    config = tmp_path / "connector.toml"
    config.write_text('log_levle = "debug"\n')
    done = run(product, "office", "connector", "ostiary-connector", "check-config", "--config", str(config))
    refused(done, 2, "log_levle", "log_level")
    done = run(product, "office", "connector", "ostiary-connector", "check-config", env={"OSTIARY_STAET_DIR": "/tmp"})
    refused(done, 2, "OSTIARY_STAET_DIR", "OSTIARY_STATE_DIR")


def test_no_root_for_the_tun_daemon(product: Product) -> None:
    done = product.lab["laptop"].run(
        *("/usr/sbin/runuser", "-u", "nobody", "--", "/usr/bin/env"),
        *("OSTIARY_STATE_DIR=/tmp/ostiary-nobody", "OSTIARY_RUNTIME_DIR=/tmp/ostiary-nobody/run", "HOME=/tmp"),
        *("/bin/sh", "-c", f"cd / && exec {BIN / 'ostiaryd'}"),
        check=False,
    )
    if "Permission denied" in done.stderr and "ostiaryd" in done.stderr and done.returncode == 126:
        return  # this checkout lies where `nobody` may not look
    refused(done, 6, "root", "proxy")


def test_a_cidr_with_host_bits_names_the_right_network(product: Product) -> None:
    done = run(
        product, "cloud", "admin", "ostiary", "admin", "resource", "create", "bits", "--network", "office",
        "--address", "10.20.0.5/24", "--tcp", "80",
    )  # fmt: skip
    refused(done, 2, "address", "10.20.0.0/24")


def test_names_that_exist_already(product: Product) -> None:
    done = run(
        product, "cloud", "admin", "ostiary", "admin", "resource", "create", "wiki", "--network", "office",
        "--address", "other.corp.internal", "--tcp", "80",
    )  # fmt: skip
    refused(done, 1, "wiki", "exists")
    done = run(
        product, "cloud", "admin", "ostiary", "admin", "resource", "create", "wiki-again", "--network", "office",
        "--address", "WIKI.corp.internal.", "--tcp", "80",
    )  # fmt: skip
    refused(done, 1, "wiki", "exists")


def test_unknown_things(product: Product) -> None:
    refused(run(product, "cloud", "admin", "ostiary", "admin", "resource", "show", "nothing"), 1, "nothing")
    refused(run(product, "cloud", "admin", "ostiary", "admin", "grant", "revoke", "gra_" + "A" * 22), 1, "gra_")


def test_a_wrong_password(product: Product) -> None:
    wrong = product.secret("wrong-password", "not the one")
    done = run(
        product, "cloud", "elsewhere", "ostiary", "admin", "login", CONTROLLER_URL, "--ca-pin", product.ca_pin,
        "--email", "ada@corp.example", "--password-file", wrong, env={"HOME": "/tmp/ostiary-nohome"},
    )  # fmt: skip
    refused(done, 1, "wrong")


def test_the_client_commands_without_a_daemon(product: Product) -> None:
    done = run(product, "laptop", "nowhere", "ostiary", "status")
    refused(done, 5, "not running")
