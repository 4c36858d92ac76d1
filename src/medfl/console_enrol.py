"""What the verbs of ``medfl site`` that are about enrolment show."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medfl.console import failing_in_json, print_json, say
from medfl.errors import EnrolmentError, MedflError, MissingExtraError
from medfl.private import keep_private

if TYPE_CHECKING:
    from medfl.site.enrolled import Enrolment


def enrol(home: Path | None, *, invitation: str | None, waiting: bool, trusted: tuple[str, ...], as_json: bool) -> None:
    """Enrol a site, or go on with it."""
    from medfl.site.enrolled import SiteHome
    from medfl.site.enrolling import enrol as enrolled
    from medfl.site.enrolling import refresh, wait

    with failing_in_json(as_json):
        place = SiteHome(home)
        found = enrolled(place, invitation)
        found, sentence = refresh(place, found, trust=trusted)
        if found.status == "waiting" and waiting:
            _show(found, sentence, as_json=False)
            say("Waiting for the hub's approval; Ctrl-C, and later 'medfl site enrol', is fine too.", dim=True)
            found = wait(place, found, told=lambda text: say(text, dim=True))
    _show(found, sentence, as_json=as_json)
    _require_not_revoked(found)


def status(home: Path | None, *, as_json: bool) -> None:
    """Say how a site stands, and who its peers are."""
    from medfl.site.enrolled import SiteHome
    from medfl.site.enrolling import enrol as enrolled
    from medfl.site.enrolling import refresh

    with failing_in_json(as_json):
        place = SiteHome(home)
        before = place.enrolment()
        try:
            found, sentence = refresh(place, enrolled(place, None))
        except MedflError:
            if before is not None and not as_json:
                _show(before, "", as_json=False)
            raise
    _show(found, sentence, as_json=as_json)


def start(home: Path | None, *, memory: str | None, cores: int | None) -> None:
    """Answer the hub's requests until told to end."""
    from medfl.site.enrolled import SiteHome
    from medfl.site.limits import Limits, bytes_in

    limits = Limits.usual(None if memory is None else bytes_in(memory), cores)
    place = SiteHome(home)
    found = place.enrolled()
    if find_spec("flwr") is None:
        raise MissingExtraError("Flower is not installed", remedy="pip install 'medfl[flower]'")
    from medfl.site.agent import serve

    with ended_by_term():
        click.echo(f"{found.site} answers {found.hub} ({found.way}:{found.port}). Ctrl-C ends it.")
        keep_private()
        serve(place, limits)


@contextmanager
def ended_by_term() -> Iterator[None]:
    """End with code 0 on TERM: all that has to be kept is on the disk at any moment."""

    class Ended(BaseException):
        """TERM came."""

    def end(*_: object) -> None:
        raise Ended

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except Ended:
        say("Ended.", dim=True)
    finally:
        signal.signal(signal.SIGTERM, before)


def _show(found: Enrolment, sentence: str, *, as_json: bool) -> None:
    peers = {name: peer for name, peer in sorted(found.peers.items()) if name != found.site}
    if as_json:
        told: dict[str, Any] = {"site": found.site, "status": found.status, "fingerprint": found.fingerprint}
        told |= {"hub": found.hub, "address": f"{found.way}:{found.port}", "clock": sentence}
        print_json(told | {"peers": {name: peer.fingerprint for name, peer in peers.items()}})
        return
    hub = f"{found.hub or 'the hub'} ({found.way}:{found.port})"
    words = {
        "applying": f"{found.site} is about to apply at {hub}.",
        "waiting": f"{found.site} waits for the approval of {hub}.",
        "approved": f"{found.site} is enrolled at {hub}.",
        "revoked": f"{found.site} was revoked by {hub}.",
    }
    click.echo(words[found.status])
    if found.fingerprint:
        click.echo(f"  fingerprint    {found.fingerprint}")
    if found.status == "waiting":
        say("Read these digits by telephone to whoever runs the hub, who sees the same and then approves.")
    if peers:
        click.echo("Its peers, whose fingerprints can be compared with theirs by telephone:")
    for name, peer in peers.items():
        click.echo(f"  {name.ljust(max(map(len, peers)))}  {peer.fingerprint}")
    if sentence:
        say(sentence, fg="yellow")


def _require_not_revoked(found: Enrolment) -> None:
    if found.status == "revoked":
        raise EnrolmentError(
            "the hub has revoked this site",
            where=found.site,
            remedy="ask whoever runs the hub; with a new invitation: medfl site enrol INVITATION",
        )
