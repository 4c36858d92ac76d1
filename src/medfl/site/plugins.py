"""Loads the user's own Python files, which register models by name: in this process, and in every worker process."""

from __future__ import annotations

import runpy
from collections.abc import Iterable
from pathlib import Path

from medfl.errors import MissingExtraError, PlanError

OPTION = "--plugin"


def load(plugins: Iterable[Path]) -> None:
    """Execute these files, in their order.

    What else goes wrong in a plugin is shown as Python shows it: its author needs the trace.

    Raises
    ------
    PlanError
        If a file cannot be read or is not Python.
    MissingExtraError
        If it imports what is not installed.
    """
    for plugin in plugins:
        try:
            runpy.run_path(str(plugin))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise PlanError(
                "the plugin cannot be read", where=str(plugin), received=reason, remedy=f"check {OPTION}"
            ) from error
        except SyntaxError as error:
            place = f"{error.filename}:{error.lineno}"
            raise PlanError(f"the plugin is not Python: {error.msg}", where=place, remedy="mend that line") from error
        except ImportError as error:
            raise MissingExtraError(
                f"the plugin imports what is not there: {error}",
                where=str(plugin),
                remedy=f"pip install {error.name or 'what it needs'}, in MEDfl's own environment",
            ) from error
