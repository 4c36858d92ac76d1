"""What is wrong with a hub at the moment, for whoever looks at it: its disk, its SuperLink, its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock


@dataclass(slots=True)
class Standing:
    """What stands against a hub's work; nothing while all is well. Whoever finds it says so, and takes it back."""

    _troubles: dict[str, str] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def say(self, about: str, trouble: str) -> None:
        """Say what is wrong with something; nothing where it is well again."""
        with self._lock:
            self._troubles.pop(about, None)
            if trouble:
                self._troubles[about] = trouble

    def __call__(self) -> tuple[str, ...]:
        """Return what is wrong, as sentences."""
        with self._lock:
            return tuple(self._troubles.values())
