"""Packs the console's build into the wheel as controller/console_dist; without it there is no wheel.

A source distribution carries the build, so that installing from it needs no Node. An editable install serves console/dist.
"""

import importlib.util
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConsoleBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs console/build.py, which builds only what is not fresh."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the build. Raises RuntimeError, which ends the build of the package, when there is none to add."""
        dist = Path(self.root) / "console" / "dist"
        if version == "editable":
            if not (dist / "index.html").is_file():
                self.app.display_warning("The web console is not built yet: make console")
            return
        script = Path(self.root) / "console" / "build.py"
        spec = importlib.util.spec_from_file_location("console_build", script)
        if spec is None or spec.loader is None or not script.is_file():
            raise RuntimeError(f"{script} is missing: the wheel would have no web console")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        try:
            module.build()
        except module.BuildError as error:
            raise RuntimeError(f"the wheel would have no web console: {error}") from error
        if not (dist / "index.html").is_file():
            raise RuntimeError("the wheel would have no web console: console/dist/index.html is missing")
        if self.target_name == "wheel":
            build_data["force_include"][str(dist)] = "controller/console_dist"
