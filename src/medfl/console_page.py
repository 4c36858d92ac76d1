"""What ``medfl site page`` shows."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from pathlib import Path

import click

from medfl.console import say
from medfl.console_enrol import ended_by_term


def page(home: Path | None, *, port: int, browser: bool) -> None:
    """Serve the site's page until told to end."""
    from medfl.site.enrolled import SiteHome
    from medfl.site_page.serving import Page

    served = Page(SiteHome(home), port=port)
    link = served.link()

    def ready() -> None:
        click.echo(link)
        say("Open this in a browser of this machine; it is good once. Ctrl-C ends the page.", dim=True)
        if browser:
            webbrowser.open(link)

    with ended_by_term(), suppress(KeyboardInterrupt):
        served.run(ready)
