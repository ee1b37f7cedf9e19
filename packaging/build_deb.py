"""Builds dist/ostiary_<version>_<architecture>.deb: every dependency inside, nothing fetched when it is installed.

The package holds a virtual environment of Debian's own python3.11 in /usr/lib/ostiary, filled with the wheels that
requirements-image.lock names by hash, the five commands in /usr/bin, the systemd units (none enabled: a host is not all
four parts), and the group and users. The same commit and lock file give the same bytes: times are the commit's
(SOURCE_DATE_EPOCH), bytecode is checked by nothing but the package manager, owners are root.

    python packaging/build_deb.py [--wheels FOLDER] [--out FOLDER]
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
HERE: Final = Path(__file__).resolve().parent
PREFIX: Final = "usr/lib/ostiary"
PYTHON: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
COMMANDS: Final = {
    "ostiary": "client.cli.main",
    "ostiaryd": "client.cli.daemon",
    "ostiary-connector": "connector.cli",
    "ostiary-relay": "relay.cli",
    "ostiary-controller": "controller.cli.main",
}
BUILD_ONLY: Final = ("hatchling", "pathspec", "pluggy", "trove-classifiers")
"""In the image's lock file because an image builds the package itself."""
_ONLY_HASHED: Final = ("--require-hashes", "--only-binary", ":all:")
LAUNCHER: Final = "#!/{prefix}/bin/python3 -I\nimport sys\n\nfrom {module} import main\n\nsys.exit(main())\n"


def main() -> int:
    """Builds the package and prints its path."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, help="folder with the wheels; by default they come from the index")
    parser.add_argument("--cache", type=Path, help="folder that keeps the installed dependencies for the next build")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where the package goes")
    options = parser.parse_args()
    os.umask(0o022)
    if "SOURCE_DATE_EPOCH" not in os.environ:
        os.environ["SOURCE_DATE_EPOCH"] = _output("git", "-C", str(ROOT), "log", "-1", "--format=%ct")
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    with tempfile.TemporaryDirectory(prefix="ostiary-deb-") as folder:
        stage = Path(folder) / "stage"
        site = stage / PREFIX / "lib" / PYTHON / "site-packages"
        _add_dependencies(stage, site, options.wheels, options.cache)
        _add_own(stage, site, Path(folder))
        _add_commands(stage)
        _add_files(stage)
        architecture = _output("dpkg", "--print-architecture")
        _add_control(stage, architecture)
        for path in _all(stage):
            os.utime(path, (epoch, epoch), follow_symlinks=False)
        options.out.mkdir(parents=True, exist_ok=True)
        package = options.out / f"ostiary_{_version()}_{architecture}.deb"
        _run("dpkg-deb", "--root-owner-group", "-Zzstd", "-z6", "--build", str(stage), str(package))
    sys.stdout.write(f"{package}\n")
    return 0


def _add_dependencies(stage: Path, site: Path, wheels: Path | None, cache: Path | None) -> None:
    """What requirements-image.lock names, compiled; from the cache when it was made for the same lock file."""
    lock = _lock_without(BUILD_ONLY)
    name = hashlib.sha256(f"{PYTHON}\n{lock}".encode()).hexdigest()[:16]
    kept = None if cache is None else cache / f"deb-{name}"
    if kept is not None and kept.exists():
        shutil.copytree(kept, site, symlinks=True)
        return
    site.mkdir(parents=True)
    with tempfile.NamedTemporaryFile("w", suffix=".lock") as file:
        file.write(lock)
        file.flush()
        offline = () if wheels is None else ("--no-index", "--find-links", str(wheels))
        _pip("install", "--target", str(site), "--no-compile", "--no-deps", *offline, *_ONLY_HASHED, "-r", file.name)
    _forget_traces(site)
    _compile(stage, site)
    if kept is not None:
        shutil.copytree(site, kept.with_suffix(f".{os.getpid()}"), symlinks=True)
        kept.with_suffix(f".{os.getpid()}").rename(kept)


def _add_own(stage: Path, site: Path, work: Path) -> None:
    """Our own wheel."""
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(work / "own"), str(ROOT))
    [wheel] = (work / "own").glob("ostiary-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
        folders = {name.split("/")[0] for name in archive.namelist()}
    _forget_traces(site)
    for folder in sorted(folders):
        _compile(stage, site / folder)


def _forget_traces(site: Path) -> None:
    """Scripts and records tell where and when it was built, and nobody needs them."""
    shutil.rmtree(site / "bin", ignore_errors=True)
    for pattern in ("*.dist-info/RECORD", "*.dist-info/direct_url.json", "*.dist-info/REQUESTED"):
        for path in site.glob(pattern):
            path.unlink()


def _compile(stage: Path, folder: Path) -> None:
    """Bytecode for every module, so that a start writes nothing and compiles nothing."""
    python = f"/usr/bin/{PYTHON}" if Path(f"/usr/bin/{PYTHON}").exists() else sys.executable
    never_checked = ("--invalidation-mode", "unchecked-hash")
    _run(python, "-I", "-m", "compileall", "-q", "-o", "0", *never_checked, "-s", str(stage), "-p", "/", str(folder))


def _add_commands(stage: Path) -> None:
    """The environment around the packages, and a launcher for each command."""
    (stage / PREFIX / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {PYTHON.removeprefix('python')}\n"
    )
    programs = stage / PREFIX / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to(f"/usr/bin/{PYTHON}")
    (stage / "usr/bin").mkdir(parents=True)
    for name, module in COMMANDS.items():
        (programs / name).write_text(LAUNCHER.format(prefix=PREFIX, module=module))
        (programs / name).chmod(0o755)
        (stage / "usr/bin" / name).symlink_to(f"../lib/ostiary/bin/{name}")


def _add_files(stage: Path) -> None:
    units = stage / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    for unit in sorted((ROOT / "runtime/units").glob("*.service")):
        (units / unit.name).write_text(unit.read_text().replace("@bin@", "/usr/bin"))
    users = stage / "usr/lib/sysusers.d"
    users.mkdir(parents=True)
    shutil.copy(HERE / "sysusers.conf", users / "ostiary.conf")
    shared = stage / "usr/share/doc/ostiary"
    shared.mkdir(parents=True)
    shutil.copy(ROOT / "LICENSE", shared / "copyright")
    shutil.copy(ROOT / "CHANGELOG.md", shared / "CHANGELOG.md")


def _add_control(stage: Path, architecture: str) -> None:
    control = stage / "DEBIAN"
    control.mkdir()
    size = sum(path.lstat().st_size for path in _all(stage) if path.is_file() and not path.is_symlink()) // 1024
    text = (HERE / "control").read_text()
    filled = text.format(version=_version(), architecture=architecture, size=size, python=PYTHON)
    (control / "control").write_text(filled)
    for script in ("postinst", "prerm", "postrm"):
        shutil.copy(HERE / script, control / script)
        (control / script).chmod(0o755)


def _lock_without(names: tuple[str, ...]) -> str:
    kept, keep = [], True
    for line in (ROOT / "requirements-image.lock").read_text().splitlines(keepends=True):
        if not line[0].isspace():
            keep = line.split("==")[0] not in names
        if keep:
            kept.append(line)
    return "".join(kept)


def _version() -> str:
    found = re.search(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert found is not None, "pyproject.toml names no version"
    return found[1]


def _all(folder: Path) -> Iterator[Path]:
    """Everything below, the deepest first, so that a folder's time is set after its content."""
    for root, folders, files in os.walk(folder, topdown=False):
        for name in (*folders, *files):
            yield Path(root) / name


def _pip(*arguments: str) -> None:
    _run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONHASHSEED": "0"})


if __name__ == "__main__":
    sys.exit(main())
