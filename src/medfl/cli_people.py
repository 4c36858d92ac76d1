"""``medfl hub account …`` and ``medfl hub audit``, as they are typed."""

from __future__ import annotations

from pathlib import Path

import click

from medfl.cli_hub import HUB_HOME, JSON, hub

ROLES = ("admin", "coordinator", "researcher", "data-owner", "auditor")
ROLE = click.option("--role", "roles", type=click.Choice(ROLES), multiple=True, help="What they are; may be repeated.")
SITE = click.option("--site", "sites", multiple=True, help="A site that a data owner speaks for; may be repeated.")


@hub.group("account")
def account() -> None:
    """Who may sign in at the hub's pages, and what they may do there."""


@account.command("add")
@click.argument("name")
@click.option("--title", default="", help="What people read [default: the name].")
@ROLE
@SITE
@HUB_HOME
@JSON
def add_account(
    name: str, title: str, roles: tuple[str, ...], sites: tuple[str, ...], home: Path | None, as_json: bool
) -> None:
    """Make an account, and print a link that is good once, to choose a password."""
    from medfl import console_people

    console_people.add(home, (name, title), roles, sites, as_json=as_json)


@account.command("list")
@HUB_HOME
@JSON
def list_accounts(home: Path | None, as_json: bool) -> None:
    """List the accounts: roles, sites, last seen, second factor."""
    from medfl import console_people

    console_people.everybody(home, as_json=as_json)


@account.command("roles")
@click.argument("name")
@ROLE
@SITE
@HUB_HOME
@JSON
def change_roles(name: str, roles: tuple[str, ...], sites: tuple[str, ...], home: Path | None, as_json: bool) -> None:
    """Give an account these roles and sites instead of its own; it is held to them at once."""
    from medfl import console_people

    console_people.roles(home, name, roles, sites, as_json=as_json)


@account.command("disable")
@click.argument("name")
@HUB_HOME
@JSON
def disable_account(name: str, home: Path | None, as_json: bool) -> None:
    """Keep somebody out: sessions and tokens end at once."""
    from medfl import console_people

    console_people.disable(home, name, as_json=as_json)


@account.command("enable")
@click.argument("name")
@HUB_HOME
@JSON
def enable_account(name: str, home: Path | None, as_json: bool) -> None:
    """Let somebody in again."""
    from medfl import console_people

    console_people.enable(home, name, as_json=as_json)


@account.command("reset")
@click.argument("name")
@click.option("--second-factor", "second", is_flag=True, help="Forget the second factor, too.")
@HUB_HOME
@JSON
def reset_account(name: str, second: bool, home: Path | None, as_json: bool) -> None:
    """Void a password, and print a link to choose another."""
    from medfl import console_people

    console_people.reset(home, name, second=second, as_json=as_json)


@hub.command("audit")
@click.option("--verify", is_flag=True, help="Look through the whole chain.")
@click.option("--hash", "remembered", metavar="HASH", help="A hash that was written down elsewhere; some line has it.")
@click.option("--find", "words", default="", metavar="WORDS", help="Only lines with these words.")
@click.option("--last", type=click.IntRange(min=1), default=40, show_default=True, help="How many lines.")
@HUB_HOME
@JSON
def audit_of_hub(verify: bool, remembered: str | None, words: str, last: int, home: Path | None, as_json: bool) -> None:
    """Show what people did at the hub's pages, newest last; or whether the log is as it was written."""
    from medfl import console_people

    if verify or remembered is not None:
        console_people.verify(home, remembered, as_json=as_json)
    else:
        console_people.audit(home, words, last, as_json=as_json)
