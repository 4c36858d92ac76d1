"""What ``medfl hub account`` and ``medfl hub audit`` show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medfl.console import failing_in_json, print_json, say
from medfl.enrolment import address
from medfl.errors import MissingExtraError, StoreError, UserError

if TYPE_CHECKING:
    from medfl.hub.people.accounts import Account
    from medfl.hub.people.audit import Audit
    from medfl.hub.people.consortium import People
    from medfl.hub.place import HubPlace


def add(
    home: Path | None, called: tuple[str, str], roles: Sequence[str], sites: Sequence[str], *, as_json: bool
) -> None:
    """Make an account."""
    from medfl.hub.people.audit import TERMINAL

    with failing_in_json(as_json):
        hub, people = _people(home)
        spoken = _known(hub, sites)
        token = people.accounts.add(*called, _roles(roles), spoken, by=TERMINAL)
    _linked(hub, called[0], token, as_json=as_json)


def everybody(home: Path | None, *, as_json: bool) -> None:
    """List the accounts."""
    with failing_in_json(as_json):
        _, people = _people(home)
        accounts = people.accounts.every()
    if as_json:
        print_json([_shown(one) for one in accounts])
        return
    if not accounts:
        click.echo("No account yet. Make the first: medfl hub account add NAME --role admin")
        return
    rows = [("name", "roles", "last seen", "second factor", "title")]
    for one in accounts:
        told = _shown(one)
        roles = ", ".join(told["roles"]) + (f" for {', '.join(told['sites'])}" if told["sites"] else "")
        seen = "disabled" if one.disabled else (told["seen"] or "never")[:16].replace("T", " ")
        rows.append((one.name, roles, seen, "set up" if one.has_second else "none", one.title))
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for number, row in enumerate(rows):
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        click.echo(click.style(line, bold=True) if number == 0 else line)


def roles(home: Path | None, name: str, roles: Sequence[str], sites: Sequence[str], *, as_json: bool) -> None:
    """Change what somebody is."""
    from medfl.hub.people.audit import TERMINAL

    with failing_in_json(as_json):
        hub, people = _people(home)
        account = people.accounts.set_roles(name, _roles(roles), _known(hub, sites), by=TERMINAL)
    _told(account, f"is {', '.join(sorted(account.roles))} from now on", as_json=as_json)


def disable(home: Path | None, name: str, *, as_json: bool) -> None:
    """Keep somebody out."""
    from medfl.hub.people.audit import TERMINAL

    with failing_in_json(as_json):
        account = _people(home)[1].accounts.disable(name, by=TERMINAL)
    _told(account, "is disabled: sessions and tokens have ended", as_json=as_json)


def enable(home: Path | None, name: str, *, as_json: bool) -> None:
    """Let somebody in again."""
    from medfl.hub.people.audit import TERMINAL

    with failing_in_json(as_json):
        account = _people(home)[1].accounts.enable(name, by=TERMINAL)
    _told(account, "may sign in again", as_json=as_json)


def reset(home: Path | None, name: str, *, second: bool, as_json: bool) -> None:
    """Void a password."""
    from medfl.hub.people.audit import TERMINAL

    with failing_in_json(as_json):
        hub, people = _people(home)
        token = people.accounts.reset(name, second=second, by=TERMINAL)
    _linked(hub, name, token, as_json=as_json)


def audit(home: Path | None, words: str, last: int, *, as_json: bool) -> None:
    """Show what people did."""
    with failing_in_json(as_json):
        entries = list(reversed(_audit(home).last(last, words)))
    if as_json:
        print_json([asdict(entry) for entry in entries])
        return
    if not entries:
        click.echo("No line has these words." if words else "Nothing yet: what people do at the pages will be here.")
    for one in entries:
        who = one.who or ("the terminal" if one.how == "command" else "nobody")
        parts = (one.at[:19].replace("T", " "), who, one.what, one.on, one.verdict, one.why, one.address)
        click.echo("  ".join(filter(None, parts)))


def verify(home: Path | None, remembered: str | None, *, as_json: bool) -> None:
    """Look through the chain.

    Raises
    ------
    StoreError
        If it is broken.
    """
    with failing_in_json(as_json):
        found = _audit(home).verify(remembered)
        if found.trouble:
            raise StoreError(
                f"the audit log is not as it was written: {found.trouble}",
                received=f"{found.lines} lines before that are whole",
                remedy="compare it with a backup, and with a copy of page /audit; find out who could write there",
            )
    if as_json:
        print_json(asdict(found))
        return
    click.echo(f"{found.lines} lines follow each other as they were written.")
    click.echo(found.hash)
    say("Write this hash down elsewhere: it convicts whoever rewrites the log later.", dim=True)
    if found.note:
        say(found.note, dim=True)


def _linked(hub: HubPlace, name: str, token: str, *, as_json: bool) -> None:
    about = hub.about
    link = f"https://{address(about.host, about.port)}/welcome?token={token}"
    if as_json:
        print_json({"account": name, "link": link})
        return
    say(f"A link for {name}, good once, for three days. Send it by a way that nobody else reads:")
    click.echo(link)


def _told(account: Account, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(_shown(account))
    else:
        click.echo(f"{account.title} ({account.name}) {what}.")


def _shown(account: Account) -> dict[str, Any]:
    from medfl.hub.pages.people.contexts import moment

    words = asdict(account)
    told = {"roles": sorted(account.roles), "sites": sorted(account.sites)}
    return words | told | {key: moment(words[key]) for key in ("made", "seen")}


def _roles(words: Sequence[str]) -> list[Any]:
    from medfl.hub.people.permits import Role

    return [Role(word.replace("-", " ")) for word in words]


def _known(hub: HubPlace, sites: Sequence[str]) -> list[str]:
    """Return the names of sites that the hub knows.

    Raises
    ------
    UserError
        If it knows one of them not.
    """
    known = {record.name for record in hub.register.sites()}
    if missing := sorted(set(sites) - known):
        raise UserError(
            "the hub knows no such site", where="--site", received=missing[0], remedy="see: medfl hub sites"
        )
    return list(sites)


def _audit(home: Path | None) -> Audit:
    from medfl.hub.people.audit import FOLDER, Audit
    from medfl.hub.place import HubPlace

    hub = HubPlace(home)
    hub.about  # noqa: B018 - without a hub, it is said that there is none
    return Audit(hub.folder / FOLDER)


def _people(home: Path | None) -> tuple[HubPlace, People]:
    from medfl.hub.place import HubPlace

    try:
        from medfl.hub.people.consortium import People
    except ImportError as missing:
        raise MissingExtraError(
            "accounts are not installed", received=str(missing), remedy="pip install 'medfl[app]'"
        ) from missing
    hub = HubPlace(home)
    return hub, People.at(hub.folder, name=hub.about.name)
