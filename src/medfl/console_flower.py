"""What the verbs of ``medfl flower`` show."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from medfl.console import failing_in_json, print_json, say


def app(study: Path, folder: Path | None, sites: tuple[str, ...], *, as_json: bool) -> None:
    """Write a study as a Flower app."""
    from medfl.flower_app import write

    with failing_in_json(as_json):
        target = folder or Path(f"{study.stem}-flower")
        written = write(study, target, sites=sites)
    if as_json:
        print_json({"app": str(target), "study": written.study, "digest": written.digest, "sites": list(written.sites)})
        return
    click.echo(f"Flower app: {target}  ({written.study}, {written.digest[:12]}; sites {', '.join(written.sites)})")
    say(f"Start it: flwr run {shlex.quote(str(target))} SUPERLINK --stream", dim=True)


def site(name: str, data: Path, home: Path, *, as_json: bool) -> None:
    """Make a hospital's home, and say what others and Flower must be told."""
    from medfl.flower_home import enough, settle
    from medfl.site.supernode import POLICY

    with failing_in_json(as_json):
        made = settle(name, data, home)
    if as_json:
        print_json(
            _said(made.me) | {"home": str(made.place.home), "node_config": made.node_config, "known": len(made.others)}
        )
        return
    click.echo(f"Site: {name}, at home in {made.place.home}")
    click.echo(f"Card: {made.me.card}")
    click.echo(f"Fingerprint: {made.me.fingerprint}")
    click.echo(f"SuperNode: flower-supernode --superlink HOST:PORT --node-config {made.node_config}")
    say(f"What it allows is in {made.place.home / POLICY}: name the studies there.", dim=True)
    if not enough(len(made.others)):
        say("Give the card to the other hospitals, and add theirs: medfl flower peer CARD --home HOME", dim=True)


def peer(card: str, home: Path, *, replace: bool, as_json: bool) -> None:
    """Keep another hospital's key."""
    from medfl.flower_home import enough, introduce

    with failing_in_json(as_json):
        member, others = introduce(card, home, replace=replace)
    if as_json:
        print_json(_said(member) | {"known": len(others)})
        return
    click.echo(f"{member.site}: {member.fingerprint}")
    click.echo(f"Known now: {', '.join(one.site for one in others)}")
    say("Compare the fingerprint with that hospital by telephone, at a number that you knew before.", dim=True)
    if not enough(len(others)):
        say("Sums hide a hospital from three on: add the others too.", dim=True)


def _said(member: Any) -> dict[str, Any]:
    return {"site": member.site, "card": member.card, "fingerprint": member.fingerprint}
