"""``medfl app``, as it is typed."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the journal and the artefacts [default: $MEDFL_HOME or ~/.medfl].",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1 [default: a free one].")
@click.option("--browser/--no-browser", default=True, help="Open the page in the browser.")
@click.option("--window", is_flag=True, help="Open it in a window of its own; closing the window ends it.")
def app(home: Path | None, port: int, browser: bool, window: bool) -> None:
    """Design and run studies in the browser, on this machine."""
    from medfl import console_app

    if window:
        console_app.show(home, port=port)
    else:
        console_app.serve(home, port=port, browser=browser)
