"""What the verbs of ``medfl hub`` show."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medfl.console import failing_in_json, print_json, say
from medfl.errors import EnrolmentError, MissingExtraError, UserError
from medfl.private import keep_private
from medfl.tunnel import reload_command

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from medfl.hub.place import Brought, HubPlace
    from medfl.hub.register import Record
    from medfl.hub.standing import Standing

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
PAGES = ("fastapi", "jinja2", "tomlkit", "argon2")
"""What the pages need beside what the hub's service does."""
LONGEST = 90 * 86400
"""Seconds that an invitation may hold."""


def init(
    home: Path | None, *, name: str, address: tuple[str, int], brought: tuple[Path | None, Path | None], as_json: bool
) -> None:
    """Make a hub."""
    from medfl.hub.place import About

    with failing_in_json(as_json):
        hub = _hub(home)
        taken = _brought(*brought)
        token = hub.make(About(name, *address, own=taken is None), brought=taken)
    if as_json:
        print_json({"hub": name, "home": str(hub.folder), "token": token})
        return
    click.echo(f"Hub {name!r} is made, in {hub.folder}")
    say("Token of its first administrator, shown this once, to read the list of sites over the network:")
    click.echo(token)
    say(f"Keep a copy of {hub.folder} where only you can read it: whoever has it is the hub.", dim=True)
    say("Start it: medfl hub start. Invite a hospital: medfl hub invite --site NAME", dim=True)


def start(home: Path | None, *, bind: str | None, port: int | None) -> None:
    """Serve a hub and run its studies until told to end."""
    hub = _hub(home)
    about = hub.about
    if find_spec("flwr") is None or find_spec("uvicorn") is None:
        raise MissingExtraError("the hub's service is not installed", remedy="pip install 'medfl[hub]'")
    from medfl.enrolment import address
    from medfl.hosting import host
    from medfl.hub.standing import Standing

    where = address(about.host, about.port)

    def ready(port: int) -> None:
        click.echo(f"Hub {about.name!r} listens on port {port}; sites reach it at {where}. Ctrl-C ends it.")
        if pages is None:
            say("It has no pages for a browser here: pip install 'medfl[app]', and start it again.", dim=True)
        else:
            say(f"People open https://{where} in a browser. The first one: medfl hub account add NAME --role admin")

    keep_private()
    with ExitStack() as stack:
        standing = Standing()
        pages = _pages(hub, stack, standing)
        host(hub, bind=bind, port=port, ready=ready, pages=pages, standing=standing)


def _pages(hub: HubPlace, stack: ExitStack, standing: Standing) -> ASGIApp | None:
    """Return the hub's pages; nothing where they are not installed: sites are served all the same."""
    if any(find_spec(name) is None for name in PAGES):
        return None
    from medfl.consortium import pages_of
    from medfl.store.home import Home

    return pages_of(hub, stack.enter_context(Home(hub.folder)), standing)


def submit(home: Path | None, study: Path, *, watch: bool, as_json: bool) -> None:
    """Queue a study."""
    from medfl.hosting import submit as submitted

    with failing_in_json(as_json):
        hub = _hub(home)
        execution, asked = submitted(hub, study)
    if as_json:
        queued = {"execution": execution, "study": asked.study.name, "digest": asked.digest}
        print_json(queued, line=watch)
    else:
        click.echo(f"{asked.study.name} is queued as {execution}; it begins when all its sites are there and let it.")
    if watch:
        from medfl.console_watch import watch_execution

        queue = hub.queue
        watch_execution(hub.folder, execution, over=lambda: execution not in queue.waiting(), as_json=as_json)
    elif not as_json:
        say(f"See how far it is: medfl runs --watch --home {hub.folder}", dim=True)


def certificate(home: Path | None, certificate: Path, key: Path) -> None:
    """Take another certificate for TLS."""
    from medfl.hub.place import Brought

    hub = _hub(home)
    hub.replace(Brought(certificate, key))
    click.echo("The certificate is in its place; start the hub again to show it. Sites find it trusted by themselves.")


def deadline(home: Path | None, duration: str | None, *, as_json: bool) -> None:
    """Show how long sites may take for one answer, or set it."""
    from medfl.hub.deadline import set_deadline

    with failing_in_json(as_json):
        hub = _hub(home)
        hub.about  # noqa: B018 - without a hub, it is said that there is none
        if duration is not None:
            set_deadline(hub.folder, _duration(duration, of="DURATION"))
        seconds = hub.deadline
    if as_json:
        print_json({"deadline": seconds})
        return
    click.echo(
        f"Sites have {seconds:g} s for one answer; who takes longer is late, and is asked again in the next round."
    )


def behind(home: Path | None, address: str | None, *, as_json: bool) -> None:
    """Show which web server stands before a hub, or set it."""
    from medfl.hub.behind import set_proxy

    with failing_in_json(as_json):
        hub = _hub(home)
        hub.about  # noqa: B018 - without a hub, it is said that there is none
        if address is not None:
            set_proxy(hub.folder, address)
        proxy = hub.behind
    if as_json:
        print_json({"behind": proxy})
        return
    none = "Nothing stands before the hub; headers that name another address do not count."
    click.echo(f"From {proxy} the last address in X-Forwarded-For counts." if proxy else none)
    if address is not None:
        say("A hub that runs takes it up when it is started again.", dim=True)


def invite(home: Path | None, *, site: str, expires: str, as_json: bool) -> None:
    """Invite a hospital."""
    with failing_in_json(as_json):
        hub = _hub(home)
        invitation = hub.register.invite(site, hub.invitation, seconds=_seconds(expires))
    if as_json:
        print_json({"site": invitation.site, "invitation": str(invitation), "expires": _moment(invitation.expires)})
        return
    say(f"Invitation of {site!r}, good once, until {_moment(invitation.expires)}. Studies name it {invitation.site}.")
    say("Send it by a way that nobody else reads. The hospital types: medfl site enrol INVITATION", dim=True)
    click.echo(str(invitation))


def sites(home: Path | None, *, as_json: bool) -> None:
    """List the sites."""
    from medfl.hub.shown import everything

    with failing_in_json(as_json):
        records = everything(_hub(home))
    if as_json:
        print_json(records)
        return
    if not records:
        click.echo("No site yet. Invite one: medfl hub invite --site NAME")
        return
    heads = ("name", "status", "since", "last seen", "doing", "version", "fingerprint", "title")
    told = [one | {"last seen": "connected" if one["connected"] else one["seen"] or "never"} for one in records]
    rows = [heads, *(tuple(str(one[head]) for head in heads) for one in told)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(heads))]
    for number, row in enumerate(rows):
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        click.echo(click.style(line, bold=True) if number == 0 else line)
    for one in records:
        if one["trouble"]:
            say(f"{one['name']}: {one['trouble']}", fg="yellow")


def catalogue(home: Path | None, *, site: str | None, as_json: bool) -> None:
    """Show what sites tell of their data sets."""
    with failing_in_json(as_json):
        hub = _hub(home)
        told = {name: one for name, one in hub.told().items() if site is None or name == hub.register.named(site).name}
    if as_json:
        print_json({name: one.datasets if one.known else None for name, one in told.items()})
        return
    for name, one in told.items():
        if one.hardware is not None:
            click.echo(f"{name} works on a machine with {one.hardware}.")
        if not one.datasets:
            why = "it has none" if one.known else "its policy does not say so, or it has not been heard yet"
            click.echo(f"{name} tells of no data set: {why}.")
        for dataset, entry in one.datasets.items():
            _show_entry(f"{name}: {dataset}", entry)
    if not told:
        click.echo("No site is enrolled yet.")


def log(home: Path | None, *, site: str | None, last: int, as_json: bool) -> None:
    """Show what sites tell of what they do."""
    with failing_in_json(as_json):
        hub = _hub(home)
        meant = None if site is None else hub.register.named(site).name
        told = hub.told().items()
        lines = [{"site": name, **line} for name, one in told if meant in (None, name) for line in one.lines]
        lines = sorted(lines, key=lambda line: float(line["at"]))[-last:]
    if as_json:
        print_json(lines)
        return
    if not lines:
        click.echo("Nothing yet: what sites do for studies will be here.")
    for line in lines:
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(line["at"]))
        click.echo(f"{moment}  {line['site']}  {line['text']}")


def fits(home: Path | None, study: Path, *, as_json: bool) -> None:
    """Say whether a study fits what its sites have told, and queue nothing."""
    from medfl.hosting import fitting

    with failing_in_json(as_json):
        asked, untold, doubts = fitting(_hub(home), study)
    if as_json:
        told = {"ok": True, "study": asked.study.name, "digest": asked.digest, "not_told": untold}
        print_json(told | {"doubts": [gap.says for gap in doubts]})
        return
    for gap in doubts:
        say(f"{gap.complaint}")
    click.echo(f"{asked.study.name} fits what its sites have told of their data sets; nothing was queued.")
    if untold:
        say(f"Not told, and so not checked: {', '.join(untold)} (their policies say: catalogue = false)", dim=True)


def _show_entry(title: str, entry: dict[str, Any]) -> None:
    from medfl.hospital_tables import told_balance

    if "withheld" in entry:
        click.echo(f"{title}  not told: {entry['withheld']}")
        return
    rows = f"{entry['rows']} rows, " if "rows" in entry else ""
    click.echo(click.style(title, bold=True) + f"  {rows}target {entry['target']}")
    for column in entry["columns"]:
        between = f"{column['minimum']:g} to {column['maximum']:g}" if {"minimum", "maximum"} <= column.keys() else ""
        values = between or ", ".join(column["categories"][:6])
        words = (column["name"], column["kind"], column.get("unit", ""), values)
        click.echo("  " + "  ".join(word for word in words if word))
    if shares := told_balance(entry):
        click.echo(f"  balance of {entry['target']}: {shares}")
    if left := entry.get("left_out"):
        click.echo(f"  and {left} columns more")


def approve(home: Path | None, *, site: str, sure: bool, as_json: bool) -> None:
    """Enrol a site that waits, once somebody has compared the fingerprint."""
    with failing_in_json(as_json):
        hub = _hub(home)
        record = hub.register.named(site)
        if record.status == "waiting" and not sure:
            say(f"{record.title} ({record.name}) has the fingerprint")
            say(f"    {record.fingerprint}", bold=True)
            click.confirm("Has the hospital read the same digits to you?", abort=True, err=True)
        record = hub.register.approve(record.name, hub.authority)
    _told(record, "is enrolled", as_json=as_json)


def revoke(home: Path | None, *, site: str, as_json: bool) -> None:
    """Put a site out."""
    with failing_in_json(as_json):
        hub = _hub(home)
        record, offer = hub.revoke(site), hub.vpn.offer
    _told(record, "is revoked: its keys are never accepted again", as_json=as_json)
    if offer is not None and offer.kind == "wireguard" and not as_json:
        say(f"It left {hub.vpn.configuration}. Tell WireGuard: {reload_command(hub.vpn.configuration)}", dim=True)


def _told(record: Record, what: str, *, as_json: bool) -> None:
    from medfl.hub.shown import shown

    if as_json:
        print_json(shown(record))
    else:
        click.echo(f"{record.title} ({record.name}) {what}.")


def _hub(home: Path | None) -> HubPlace:
    from medfl.hub.place import HubPlace

    return HubPlace(home)


def _brought(certificate: Path | None, key: Path | None) -> Brought | None:
    from medfl.hub.place import Brought

    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise EnrolmentError(
            "a certificate and its key come together",
            where="--certificate, --key",
            remedy="give both, or neither: then the hub makes its own",
        )
    return Brought(certificate, key)


def _duration(text: str, *, of: str) -> float:
    """Read a duration such as ``90s``."""
    found = re.fullmatch(r"(\d{1,7})([smhd])", text.strip())
    if found is None:
        raise UserError(
            "this is no duration",
            where=of,
            received=repr(text[:20]),
            remedy="give a number and s, m, h or d, as in 90s, 30m, 12h or 7d",
        )
    return float(int(found[1]) * _UNITS[found[2]])


def _seconds(text: str) -> float:
    """Read a duration such as ``7d``."""
    seconds = _duration(text, of="--expires")
    if not 60 <= seconds <= LONGEST:
        raise UserError(
            "an invitation cannot hold that long",
            where="--expires",
            received=repr(text[:20]),
            remedy="give minutes, hours or days, up to 90 days, as in 30m, 12h or 7d",
        )
    return seconds


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
