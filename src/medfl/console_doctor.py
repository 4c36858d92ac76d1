"""What ``medfl doctor`` shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from medfl.console import failing_in_json, print_json
from medfl.doctor.finding import Finding
from medfl.errors import BlockedError, NotFoundError

_MARKS = {"clear": ("ok", "green"), "caution": ("!!", "yellow"), "blocked": ("NO", "red")}


def doctor(address: str | None, *, site: Path | None, hub: Path | None, as_json: bool) -> None:
    """Look at each hop, say what was found as it is found, and fail where one is blocked."""
    found: list[Finding] = []
    with failing_in_json(as_json):
        for finding in _examined(address, site, hub):
            found.append(finding)
            if not as_json:
                _show(finding)
    stops = [one for one in found if one.state == "blocked"]
    if as_json:
        print_json({"ok": not stops, "findings": [one.to_json() for one in found]})
    elif not stops:
        click.echo(click.style("Nothing is blocked.", fg="green"))
    if stops:
        raise BlockedError(
            "something is in the way",
            where=", ".join(dict.fromkeys(one.hop for one in stops)),
            remedy=stops[0].remedy,
        )


def _examined(address: str | None, site: Path | None, hub: Path | None) -> Iterator[Finding]:
    from medfl.doctoring import address_of, is_hub, is_site, of_address, of_hub, of_site

    if address is not None:
        yield from of_address(*address_of(address))
        return
    here = (hub is not None or (site is None and is_hub(None)), site is not None or (hub is None and is_site(None)))
    if not any(here):
        raise NotFoundError(
            "there is neither a hub nor a site here",
            remedy="say where with --site DIR or --hub DIR, or try the way to a hub: medfl doctor HOST:PORT",
        )
    if here[0]:
        yield from of_hub(hub)
    if here[1]:
        yield from of_site(site)


def _show(finding: Finding) -> None:
    word, colour = _MARKS[finding.state]
    mark = click.style(word, fg=colour, bold=True)
    lines = click.wrap_text(finding.said, 82, preserve_paragraphs=False).splitlines()
    click.echo(f"{mark}  {finding.hop:<11} {lines[0]}")
    for line in lines[1:]:
        click.echo(" " * 16 + line)
    if finding.remedy:
        click.echo(click.wrap_text(f"→ {finding.remedy}", 98, initial_indent=" " * 16, subsequent_indent=" " * 18))
