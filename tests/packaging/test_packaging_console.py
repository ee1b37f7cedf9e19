"""The wheel has the web console inside, and serves it where there is neither Node nor a source tree (T-73)."""

import os
import subprocess
import sys
import sysconfig
import urllib.request
import zipfile
from pathlib import Path

import pytest
from console_world import BUILD, ROOT, running, unverified

pytestmark = [
    pytest.mark.skipif(not (BUILD / "index.html").is_file(), reason="needs the console: make console"),
    pytest.mark.xdist_group("wheel"),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make wheel` does, from the console's build that is there."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(ROOT)], check=True, timeout=300)
    [built] = folder.glob("ostiary-*.whl")
    return built


def installed(wheel: Path, folder: Path) -> Path:
    """A new environment with the wheel; its dependencies are those of this environment, whose editable install it does not see."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    python = folder / "bin/python"
    site = next((folder / "lib").glob("python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, str(wheel)], check=True, timeout=120)
    return folder


def test_t73_a_clean_environment_without_node_serves_the_console(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = installed(wheel, tmp_path / "environment")
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    program = (str(environment / "bin/ostiary-controller"),)
    with running(tmp_path, program=program, run_in=empty) as world:
        request = urllib.request.Request(world.url + "/", headers={"Accept": "text/html"})
        with urllib.request.urlopen(request, timeout=10, context=unverified()) as answer:
            page = answer.read().decode()
            assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        script = page.split('src="')[1].split('"')[0]
        assert script.startswith("/assets/")
        with urllib.request.urlopen(world.url + script, timeout=10, context=unverified()) as answer:
            assert "immutable" in answer.headers["Cache-Control"]
            assert len(answer.read()) > 100_000


def test_t73_there_is_no_wheel_without_the_console(tmp_path: Path) -> None:
    """A tree whose build is empty, and that has nothing to build from."""
    for name in ("pyproject.toml", "README.md", "LICENSE", "hatch_build.py"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "protocol").mkdir()
    (tmp_path / "protocol/__init__.py").touch()
    (tmp_path / "console/dist").mkdir(parents=True)
    (tmp_path / "console/build.py").write_bytes((ROOT / "console/build.py").read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "out", "."]
    done = subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "the wheel would have no web console" in done.stdout + done.stderr
    assert not list(tmp_path.glob("out/*.whl"))


def test_the_wheel_carries_compressed_forms_and_no_sources(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "controller/console_dist/index.html" in names
    assert any(name.startswith("controller/console_dist/assets/") and name.endswith(".js.br") for name in names)
    assert not [name for name in names if name.startswith("console/") or "node_modules" in name]
