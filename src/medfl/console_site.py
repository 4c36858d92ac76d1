"""What the verbs of ``medfl site`` about studies and the log show."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medfl.aligned import aligned, shown
from medfl.console import failing_in_json, home_option, print_json, say, show_spendings

if TYPE_CHECKING:
    from medfl.hospital import Hospital, Known
    from medfl.run.explain import Section
    from medfl.spec.study import Study

SHORT = 12


def studies(home: Path | None, *, as_json: bool) -> None:
    """List the studies."""
    from medfl.hospital import moment

    with failing_in_json(as_json):
        place = _hospital(home)
        known = place.studies()
    if as_json:
        print_json([_as_json(one) for one in known])
        return
    _tell_pause(place, home)
    if not known:
        click.echo("No studies yet: the hub has asked for none. Once it does, they are listed here.")
        return
    rows = [
        (one.name, one.study.digest[:SHORT], moment(one.asked.asked), one.asked.dataset, one.verdict)
        for one in known
        if one.asked is not None
    ]
    click.echo(aligned(("STUDY", "DIGEST", "ASKED (UTC)", "DATA SET", "VERDICT"), rows))
    waiting = next((one for one in known if one.verdict.startswith("waiting")), None)
    if waiting is not None:
        say(f"\nRead one: medfl site show {waiting.study.digest[:SHORT]}{home_option(home)}", dim=True)


def show(words: tuple[str, ...], home: Path | None, *, as_json: bool) -> None:
    """Say what studies want."""
    with failing_in_json(as_json):
        place = _hospital(home)
        meant = [place.meant(word) for word in words]
        told = [(whole, known, place.wanted(whole, known)) for whole, known in meant]
    if as_json:
        print_json([_wants(*one) for one in told])
        return
    for whole, known, wanted in told:
        _show_heads(whole, known)
        for section in wanted:
            click.echo("\n" + click.style(shown(section.title), bold=True))
            for sentence in section.sentences:
                click.echo(click.wrap_text(shown(sentence), 98, initial_indent="  ", subsequent_indent="    "))
        click.echo()
    say(f"To decide: medfl site approve {_typed(words)}{home_option(home)}", dim=True)
    say(f"       or: medfl site refuse {_typed(words)} --reason TEXT{home_option(home)}", dim=True)


def approve(words: tuple[str, ...], dataset: str | None, home: Path | None) -> None:
    """Let studies in."""
    place = _hospital(home)
    for one in (one for word in words for one in place.meant(word)[1]):
        name = place.approve(one, dataset)
        click.echo(f"Approved: {shown(one.name)} ({one.study.digest[:SHORT]}), with the data set {name}.")
    say("It holds for these digests and this data set. To take it back: medfl site refuse DIGEST", dim=True)
    _tell_pause(place, home)


def refuse(words: tuple[str, ...], reason: str, home: Path | None) -> None:
    """Keep studies out."""
    place = _hospital(home)
    for one in (one for word in words for one in place.meant(word)[1]):
        place.refuse(one, reason)
        click.echo(f"Refused: {shown(one.name)} ({one.study.digest[:SHORT]}).")


def pause(home: Path | None) -> None:
    """Answer nobody."""
    is_new = _hospital(home).pause()
    click.echo("The site is paused: it answers nobody." if is_new else "The site was paused already.")
    say(f"To go on: medfl site continue{home_option(home)}", dim=True)


def go_on(home: Path | None) -> None:
    """Answer again."""
    was = _hospital(home).go_on()
    click.echo("The site answers again." if was else "The site was not paused.")


def log(home: Path | None, *, study: str | None, last: int, as_json: bool) -> None:
    """Show the newest lines of the log."""
    from medfl.hospital_tables import LOG, log_rows

    with failing_in_json(as_json):
        about = (line for line in _hospital(home).log.read() if study is None or _is_about(line, study))
        lines = list(deque(about, maxlen=last))
    if as_json:
        print_json(lines)
        return
    if not lines:
        about_it = f" about {shown(study)}" if study is not None else ""
        click.echo(f"Nothing in the log{about_it} yet: whatever the site is asked will be there.")
        return
    click.echo(aligned(LOG, log_rows(lines)))


def verify(home: Path | None, remembered: str | None, *, as_json: bool) -> None:
    """Look through the chain."""
    from medfl.errors import StoreError

    place = _hospital(home)
    with failing_in_json(as_json):
        found = place.log.verify(remembered)
        if found.trouble:
            raise StoreError(
                f"the audit log is not as it was written: {found.trouble}",
                where=str(place.place.log),
                received=f"{found.lines} lines that follow each other",
                remedy="compare with a backup; keep the folder as evidence and move it aside, and a new log is begun",
            )
    if as_json:
        print_json({"ok": True, "lines": found.lines, "hash": found.hash, "note": found.note})
        return
    if not found.lines:
        click.echo("The log is empty.")
        return
    click.echo(f"The log is whole: {found.lines} lines, none changed, taken out or put in. Hash: {found.hash[:16]}")
    if found.note:
        click.echo(f"Note: {found.note}.")
    say(
        "Write the hash down elsewhere; that it is still in the log is seen by: medfl site log --remembered "
        f"{found.hash[:16]}{home_option(home)}",
        dim=True,
    )


def budget(home: Path | None, delta: float, *, as_json: bool) -> None:
    """Show what the site's ledger says."""
    with failing_in_json(as_json):
        found = _hospital(home).spent(delta)
    show_spendings(found, as_json=as_json)


def _hospital(home: Path | None) -> Hospital:
    from medfl.hospital import Hospital
    from medfl.site.place import Place

    return Hospital(Place(home))


def _tell_pause(hospital: Hospital, home: Path | None) -> None:
    if hospital.place.pause.exists():
        say(f"The site is paused and answers nobody; to go on: medfl site continue{home_option(home)}", fg="yellow")


def _show_heads(whole: Study, known: Sequence[Known]) -> None:
    """Show the name of a study, and under which digests a site is asked for it."""
    if len(known) == 1:
        click.echo(click.style(shown(known[0].name), bold=True) + f"  ({whole.digest[:SHORT]})  {known[0].verdict}")
        return
    click.echo(click.style(whole.study.name, bold=True) + "  asked for as:\n")
    rows = [(one.name, one.study.digest[:SHORT], one.verdict) for one in known]
    click.echo(aligned(("STUDY", "DIGEST", "VERDICT"), rows))


def _wants(whole: Study, known: Sequence[Known], wanted: Sequence[Section]) -> dict[str, Any]:
    wants = {section.title: list(section.sentences) for section in wanted}
    return {"name": whole.study.name, "asked": [_as_json(one) for one in known], "wants": wants}


def _typed(words: Sequence[str]) -> str:
    return " ".join(words)


def _as_json(known: Known) -> dict[str, Any]:
    decided = {} if known.asked is None else known.asked.model_dump(mode="json", exclude={"text", "verdict", "read"})
    return {"name": known.name, "digest": known.study.digest, "verdict": known.verdict, **decided}


def _is_about(line: Mapping[str, Any], study: str) -> bool:
    return line.get("study") == study or (len(study) >= 4 and str(line.get("digest", "")).startswith(study))
