"""What the verbs of ``medfl policy`` show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medfl.console import failing_in_json, print_json, say

if TYPE_CHECKING:
    from medfl.policing import Ruling


def init(path: Path) -> None:
    """Write a policy to start from."""
    from medfl.policing import write

    write(path)
    click.echo(f"Policy: {path}  (it accepts no study yet: name some in [accepts])")
    say(f"What it means: medfl policy explain {path}", dim=True)


def check(path: Path, study: Path | None, *, as_json: bool) -> None:
    """Say whether a policy is well written, and what it would say to a study."""
    from medfl.policing import require, rulings
    from medfl.site.rules_reading import read

    with failing_in_json(as_json):
        rules = read(path)
        found = () if study is None else rulings(rules, study)
    refused = any(ruling.complaints for ruling in found)
    if as_json:
        print_json({"ok": not refused, "policy": str(path), "study": [_as_json(ruling) for ruling in found]})
    else:
        click.echo(click.style(f"{path} is a policy.", fg="green"))
        for ruling in found:
            _show(ruling)
    require(found)


def explain(path: Path, *, as_json: bool) -> None:
    """Say what leaves the site, and what never does."""
    from medfl.site.rules_in_words import explained
    from medfl.site.rules_reading import read

    with failing_in_json(as_json):
        sections = explained(read(path))
    if as_json:
        print_json({"policy": str(path), "explained": {one.title: list(one.sentences) for one in sections}})
        return
    for section in sections:
        click.echo(click.style(section.title, bold=True))
        for sentence in section.sentences:
            click.echo(click.wrap_text(sentence, 98, initial_indent="  ", subsequent_indent="    "))
        click.echo()


def _show(ruling: Ruling) -> None:
    click.echo("\n" + click.style(ruling.name, bold=True) + f"  ({ruling.digest[:12]})")
    for verdict in ruling.verdicts:
        mark = click.style("yes", fg="green") if verdict.allowed else click.style("no ", fg="red")
        click.echo(f"  {mark}  {verdict.rule}: {verdict.reason}")


def _as_json(ruling: Ruling) -> dict[str, Any]:
    verdicts = [
        {
            "allowed": one.allowed,
            "rule": one.rule,
            "reason": one.reason,
            "remedy": one.remedy if not one.allowed else "",
        }
        for one in ruling.verdicts
    ]
    return {"name": ruling.name, "digest": ruling.digest, "verdicts": verdicts}
