"""``medfl site …``: what a hospital's people type at their site. One verb a line; what it does lives elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

HOME = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the site [default: $MEDFL_SITE_HOME or ~/.medfl-site].",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output, also of a failure.")
NAME = click.argument("name")


@click.group()
def dataset() -> None:
    """Say where the hospital's tables are; nothing of them is copied."""


@dataset.command()
@NAME
@click.argument("source")
@click.option("--target", required=True, metavar="COLUMN", help="The column that studies predict.")
@click.option("--query", metavar="SQL", help="What to read, where SOURCE is the URL of a database.")
@click.option("--password", is_flag=True, help="Ask for the database's password; it is kept for the owner only.")
@click.option("--sheet", metavar="NAME", help="The sheet of an Excel workbook.")
@click.option("--columns", metavar="A,B,…", help="Column names, for a file without a header line.")
@click.option("--missing", multiple=True, metavar="TEXT", help="A further spelling of a missing value, such as '?'.")
@click.option("--decimal", type=click.Choice([".", ","]), help="What stands before decimals in a CSV file.")
@click.option(
    "--dictionary",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Data dictionary, CSV or TOML: descriptions, units and codes of columns.",
)
@HOME
def add(name: str, source: str, home: Path | None, **how: object) -> None:
    """Register a table under a name: a CSV, Parquet or Excel file, or a query over a database."""
    from medfl import console_datasets

    console_datasets.add(name, source, home, how)


@dataset.command("list")
@HOME
@JSON
def list_(home: Path | None, as_json: bool) -> None:
    """List the data sets."""
    from medfl import console_datasets

    console_datasets.listed(home, as_json=as_json)


@dataset.command()
@NAME
@HOME
@click.option("--as-hub", is_flag=True, help="Show what the hub may see of it by the site's policy.")
@JSON
def show(name: str, home: Path | None, as_hub: bool, as_json: bool) -> None:
    """Show the columns of a data set: kinds, units, codes, missing values."""
    from medfl import console_datasets

    console_datasets.show(name, home, as_hub=as_hub, as_json=as_json)


@dataset.command()
@click.argument("name", required=False)
@HOME
@JSON
def check(name: str | None, home: Path | None, as_json: bool) -> None:
    """Read the data sets, or one, and say what is wrong with them."""
    from medfl import console_datasets

    console_datasets.check(name, home, as_json=as_json)


@dataset.command()
@NAME
@HOME
def remove(name: str, home: Path | None) -> None:
    """Take a data set out of the register; its table stays where it is."""
    from medfl import console_datasets

    console_datasets.remove(name, home)


DIGESTS = click.argument("studies", nargs=-1, required=True, metavar="DIGEST|STUDY.toml…")


@click.command("studies")
@HOME
@JSON
def studies_(home: Path | None, as_json: bool) -> None:
    """List the studies that the hub has asked for, and what became of them."""
    from medfl import console_site

    console_site.studies(home, as_json=as_json)


@click.command("show")
@DIGESTS
@HOME
@JSON
def show_study(studies: tuple[str, ...], home: Path | None, as_json: bool) -> None:
    """Say in plain words what a study wants, and what differs from the last one of its name that was approved."""
    from medfl import console_site

    console_site.show(studies, home, as_json=as_json)


@click.command()
@DIGESTS
@click.option("--dataset", metavar="NAME", help="The data set that it may use, where that is not clear.")
@HOME
def approve(studies: tuple[str, ...], dataset: str | None, home: Path | None) -> None:
    """Let studies use a data set: these digests, and the data set as it is registered now."""
    from medfl import console_site

    console_site.approve(studies, dataset, home)


@click.command()
@DIGESTS
@click.option("--reason", default="", help="Why; whoever runs the study reads it.")
@HOME
def refuse(studies: tuple[str, ...], reason: str, home: Path | None) -> None:
    """Refuse studies; an approval that they had is gone."""
    from medfl import console_site

    console_site.refuse(studies, reason, home)


@click.command()
@HOME
def pause(home: Path | None) -> None:
    """Answer nobody until "medfl site continue"; runs go on without this site, or wait."""
    from medfl import console_site

    console_site.pause(home)


@click.command("continue")
@HOME
def continue_(home: Path | None) -> None:
    """Answer again after a pause."""
    from medfl import console_site

    console_site.go_on(home)


@click.command("log")
@click.option("--study", metavar="NAME|DIGEST", help="Only what is about this study.")
@click.option("--last", type=click.IntRange(min=1), default=20, show_default=True, help="How many lines.")
@click.option("--verify", is_flag=True, help="Look through the whole chain, and say where it breaks.")
@click.option("--remembered", metavar="HASH", help="With --verify: a hash of the log that was written down elsewhere.")
@HOME
@JSON
def log(study: str | None, last: int, verify: bool, remembered: str | None, home: Path | None, as_json: bool) -> None:
    """Show what the site was asked and what it answered, newest last."""
    from medfl import console_site

    if verify or remembered is not None:
        console_site.verify(home, remembered, as_json=as_json)
    else:
        console_site.log(home, study=study, last=last, as_json=as_json)


@click.command()
@click.option("--delta", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=1e-5, show_default=True,
              help="The δ that ε is told at.")  # fmt: skip
@HOME
@JSON
def budget(delta: float, home: Path | None, as_json: bool) -> None:
    """Tell what each data set has spent of its patients' privacy, over all runs."""
    from medfl import console_site

    console_site.budget(home, delta, as_json=as_json)


VERBS: tuple[click.Command, ...] = (dataset, studies_, show_study, approve, refuse, pause, continue_, log, budget)
"""What belongs to the group ``medfl site``."""
