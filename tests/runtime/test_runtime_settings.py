"""Settings: precedence, strictness, origins."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.settings import MASK, describe, load


@dataclass(frozen=True, slots=True)
class Settings:
    state_dir: Path = Path("/var/lib/ostiary/sample")
    listen_port: int = field(default=8443, metadata={"min": 1, "max": 65535})
    mode: str = field(default="tun", metadata={"choices": ("tun", "proxy")})
    strict_dns: bool = False
    drain_s: float = 30.0
    resolvers: tuple[str, ...] = ()
    database_url: str | None = field(default=None, metadata={"secret": True}, repr=False)


def read(tmp_path: Path, *, toml: str = "", env: dict[str, str] | None = None, **flags: object) -> Settings:
    path = tmp_path / "sample.toml"
    path.write_text(toml)
    path.chmod(0o600)
    return load(Settings, component="sample", config_file=path, env=env or {}, overrides=flags)


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    toml = 'listen_port = 1\nmode = "proxy"\ndrain_s = 5\n'
    settings = read(tmp_path, toml=toml, env={"OSTIARY_LISTEN_PORT": "2", "OSTIARY_MODE": "tun"}, listen_port=3)
    assert (settings.listen_port, settings.mode, settings.drain_s) == (3, "tun", 5.0)
    origins = {key: origin for key, _, origin in describe(settings)}
    assert origins["listen_port"] == "flag"
    assert origins["mode"] == "OSTIARY_MODE"
    assert origins["drain_s"].endswith("sample.toml")
    assert origins["strict_dns"] == "default"


def test_every_type_is_read_from_the_environment(tmp_path: Path) -> None:
    env = {
        "OSTIARY_STATE_DIR": "/srv/x",
        "OSTIARY_STRICT_DNS": "yes",
        "OSTIARY_DRAIN_S": "1.5",
        "OSTIARY_RESOLVERS": "10.0.0.1, 10.0.0.2",
        "OSTIARY_DATABASE_URL": "",
    }
    settings = read(tmp_path, env=env)
    assert settings == Settings(
        state_dir=Path("/srv/x"), strict_dns=True, drain_s=1.5, resolvers=("10.0.0.1", "10.0.0.2")
    )


def test_a_secret_comes_from_a_file_and_is_masked(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("postgresql://u:p@db/x\n")
    settings = read(tmp_path, env={"OSTIARY_DATABASE_URL_FILE": str(secret)})
    assert settings.database_url == "postgresql://u:p@db/x"
    assert ("database_url", MASK, "OSTIARY_DATABASE_URL_FILE") in describe(settings)
    assert "u:p" not in repr(settings)


@pytest.mark.parametrize(
    ("toml", "env", "says"),
    [
        ("listen_prot = 1", {}, "did you mean listen_port?"),
        ("listen_port = true", {}, "int is wanted, not bool"),
        ('listen_port = "1"', {}, "int is wanted, not str"),
        ("listen_port = 0", {}, "not between 1 and 65535"),
        ("strict_dns = 1", {}, "bool is wanted"),
        ("resolvers = [1]", {}, "a list of strings"),
        ("[nested]\nx = 1", {}, "'nested'"),
        ("listen_port = ", {}, "sample.toml"),
        ("", {"OSTIARY_LISTEN_PROT": "1"}, "did you mean OSTIARY_LISTEN_PORT?"),
        ("", {"OSTIARY_LISTEN_PORT": "many"}, "OSTIARY_LISTEN_PORT: 'many' is not a number"),
        ("", {"OSTIARY_STRICT_DNS": "maybe"}, "not true or false"),
        ("", {"OSTIARY_MODE": "tap"}, "not one of tun, proxy"),
        ("", {"OSTIARY_DATABASE_URL_FILE": "/nowhere/at/all"}, "OSTIARY_DATABASE_URL_FILE"),
    ],
)
def test_every_mistake_names_its_key(tmp_path: Path, toml: str, env: dict[str, str], says: str) -> None:
    with pytest.raises(LocalError) as caught:
        read(tmp_path, toml=toml, env=env)
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert says in caught.value.detail


def test_variables_of_other_components_are_tolerated(tmp_path: Path) -> None:
    assert read(tmp_path, env={"OSTIARY_PUBLIC_URL": "https://x", "OSTIARY_SECRET_KEY_FILE": "/x"}) == Settings()


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="nowhere"):
        load(Settings, component="sample", config_file=tmp_path / "nowhere.toml", env={}, overrides={})
    with pytest.raises(LocalError, match="nowhere"):
        load(Settings, component="sample", env={"OSTIARY_CONFIG": str(tmp_path / "nowhere.toml")})


def test_t11_a_secret_in_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sample.toml"
    path.write_text('database_url = "x"')
    path.chmod(0o644)
    with pytest.raises(LocalError, match="chmod"):
        load(Settings, component="sample", config_file=path, env={})


def test_a_required_setting_is_asked_for() -> None:
    @dataclass(frozen=True)
    class Needy:
        public_url: str

        def __post_init__(self) -> None:
            if not self.public_url.startswith("https"):
                raise ValueError("public_url must be https")

    with pytest.raises(LocalError, match="OSTIARY_PUBLIC_URL"):
        load(Needy, component="needy", env={})
    with pytest.raises(LocalError, match="must be https"):
        load(Needy, component="needy", env={"OSTIARY_PUBLIC_URL": "ftp://x"})
