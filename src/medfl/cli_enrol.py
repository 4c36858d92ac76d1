"""``medfl site enrol`` and what follows from it, as it is typed."""

from __future__ import annotations

from pathlib import Path

import click

from medfl.cli_site import HOME, JSON


@click.command("enrol")
@click.argument("invitation", required=False)
@click.option("--no-wait", is_flag=True, help="Do not wait for approval; go on later without INVITATION.")
@click.option("--trust", multiple=True, metavar="SITE", help="Take up a peer's new key, compared by telephone.")
@HOME
@JSON
def enrol_site(invitation: str | None, no_wait: bool, trust: tuple[str, ...], home: Path | None, as_json: bool) -> None:
    """Enrol at the hub that an invitation names: make keys, apply, wait for approval."""
    from medfl import console_enrol

    console_enrol.enrol(home, invitation=invitation, waiting=not no_wait, trusted=trust, as_json=as_json)


@click.command("status")
@HOME
@JSON
def status_of_site(home: Path | None, as_json: bool) -> None:
    """Say how the enrolment stands, and who the peers are."""
    from medfl import console_enrol

    console_enrol.status(home, as_json=as_json)


@click.command("start")
@click.option(
    "--memory",
    metavar="AMOUNT",
    envvar="MEDFL_SITE_MEMORY",
    help="Memory that training may use, as in 4GB [default: $MEDFL_SITE_MEMORY or three quarters of the machine's].",
)
@click.option(
    "--cores",
    type=click.IntRange(min=1),
    envvar="MEDFL_SITE_CORES",
    help="Processors that training may be on [default: $MEDFL_SITE_CORES or all].",
)
@HOME
def start_site(memory: str | None, cores: int | None, home: Path | None) -> None:
    """Answer the hub's requests until Ctrl-C or TERM; whatever is approved, from the data set it was approved for."""
    from medfl import console_enrol

    console_enrol.start(home, memory=memory, cores=cores)


@click.command("page")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of 127.0.0.1 [default: a free one].")
@click.option("--browser", is_flag=True, help="Open a browser, too.")
@HOME
def page_of_site(port: int, browser: bool, home: Path | None) -> None:
    """Serve a page for this machine's browser that does what "medfl site" does; prints a link that is good once."""
    from medfl import console_page

    console_page.page(home, port=port, browser=browser)


ENROLMENT: tuple[click.Command, ...] = (enrol_site, status_of_site, start_site, page_of_site)
"""What belongs to the group ``medfl site`` and is about the hub."""
