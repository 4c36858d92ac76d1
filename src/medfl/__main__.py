"""``python -m medfl`` is ``medfl``."""

from medfl.cli import entry

entry()
