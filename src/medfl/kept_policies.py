"""Keeps the policy that an execution was started under, so that it goes on under the same."""

from __future__ import annotations

from pathlib import Path

from medfl.site.rules_reading import parse
from medfl.spec.reading import text_of
from medfl.store.home import Home


def keep_policy(home: Home, execution: str, policy: Path) -> None:
    """Keep a copy of the policy, so that a run that is resumed goes on under the same."""
    text = text_of(policy, "policy")
    parse(text, source=policy.name)
    kept = policy_of(home, execution)
    kept.parent.mkdir(mode=0o700, exist_ok=True)
    kept.write_text(text, encoding="utf-8")


def policy_of(home: Home, execution: str) -> Path:
    """Return where an execution's policy is kept, if it has one."""
    return home.folder / "policies" / f"{execution}.toml"
