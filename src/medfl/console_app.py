"""What ``medfl app`` does."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from pathlib import Path

import click

from medfl.console import say


def serve(home: Path | None, *, port: int, browser: bool) -> None:
    """Serve the pages until Ctrl-C, and open them."""
    from medfl.store.home import Home
    from medfl.workbench import Workbench

    with Home(home) as place, Workbench(place, Path.cwd(), port=port) as bench:
        link = bench.link()

        def ready() -> None:
            click.echo(link)
            say("Open this address in a browser; it is good once. Ctrl-C ends it, and every finished round stays.")
            if browser:
                webbrowser.open(link)

        # Ctrl-C is how it is ended, and no interruption.
        with suppress(KeyboardInterrupt):
            bench.run(ready)


def show(home: Path | None, *, port: int) -> None:
    """Serve the pages to a window of their own, until it is closed or Ctrl-C."""
    from medfl.store.home import Home
    from medfl.window import Window
    from medfl.workbench import Workbench

    with Home(home) as place, Workbench(place, Path.cwd(), port=port) as bench:
        window = Window()
        link = bench.link()

        def ready() -> None:
            say("The window opens. Closing it ends MEDfl, and every finished round stays.")
            window.open(link, bench.stop)

        try:
            with suppress(KeyboardInterrupt):
                bench.run(ready)
        finally:
            window.close()
