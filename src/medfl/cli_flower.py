"""The verbs for a consortium that runs Flower already: one a line, as in :mod:`medfl.cli`."""

from __future__ import annotations

from pathlib import Path

import click

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output, also of a failure.")
SITE_HOME = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The hospital's home: its keys, policy and ledger.",
)


@click.group()
def flower() -> None:
    """Take part through a Flower that runs already: SuperLink and stock SuperNodes."""


@flower.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False),
              help="Folder to write [default: STUDY-flower].")  # fmt: skip
@click.option("--site", "sites", multiple=True, metavar="NAME",
              help="A hospital that takes part, once for each [default: those of the study].")  # fmt: skip
@JSON
def app(study: Path, output: Path | None, sites: tuple[str, ...], as_json: bool) -> None:
    """Write a study as a Flower app, for flwr run."""
    from medfl import console_flower

    console_flower.app(study, output, sites, as_json=as_json)


@flower.command()
@click.argument("name")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="The hospital's table, CSV or Parquet.")
@SITE_HOME
@JSON
def site(name: str, data: Path, home: Path, as_json: bool) -> None:
    """Make a hospital's home, and say its card and what to type for its SuperNode."""
    from medfl import console_flower

    console_flower.site(name, data, home, as_json=as_json)


@flower.command()
@click.argument("card")
@SITE_HOME
@click.option("--replace", is_flag=True, help="The hospital has a new key, and said so by telephone.")
@JSON
def peer(card: str, home: Path, replace: bool, as_json: bool) -> None:
    """Tell a hospital's home another hospital's key, from its card."""
    from medfl import console_flower

    console_flower.peer(card, home, replace=replace, as_json=as_json)
