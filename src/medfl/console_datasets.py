"""What the verbs of ``medfl site dataset`` show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medfl.aligned import aligned, shown
from medfl.console import failing_in_json, home_option, print_json, say

if TYPE_CHECKING:
    from medfl.errors import Complaint, MedflError
    from medfl.learn.data.schema import Schema
    from medfl.site.datasets import DataSet
    from medfl.site.dictionary import Meaning


def add(name: str, source: str, home: Path | None, how: Mapping[str, Any]) -> None:
    """Register a table, once it could be read."""
    from medfl.site.datasets import Datasets
    from medfl.site.place import Place

    dataset = _dataset(source, how)
    schema, unusable = dataset.described()
    Datasets(Place(home)).add(name, dataset)
    click.echo(f"Data set {name}: {schema.rows} rows, {len(schema.columns)} columns that studies can use.")
    for sentence in dataset.written:
        click.echo(f"  {sentence}")
    _unusable(unusable)
    _complain(_strange(dataset, schema, unusable))
    if dataset.source != dataset.shown and not how["password"]:
        _complain(["the password stood in the command line, which shells keep; --password asks for it instead"])
    say(f"It stays where it is: {shown(dataset.shown)}", dim=True)
    say(f"What the hub may see of it: medfl site dataset show {name} --as-hub{home_option(home)}", dim=True)


def listed(home: Path | None, *, as_json: bool) -> None:
    """List the data sets."""
    from medfl.site.datasets import Datasets
    from medfl.site.place import Place

    with failing_in_json(as_json):
        known = Datasets(Place(home)).all()
    if as_json:
        print_json([_registered(name, dataset) for name, dataset in known.items()])
        return
    if not known:
        click.echo(f"No data sets yet. Add one: medfl site dataset add NAME FILE --target COLUMN{home_option(home)}")
        return
    rows = [(name, one.kind, one.target, one.added, one.shown) for name, one in known.items()]
    click.echo(aligned(("NAME", "KIND", "TARGET", "ADDED (UTC)", "SOURCE"), rows))


def show(name: str, home: Path | None, *, as_hub: bool, as_json: bool) -> None:
    """Show what a table is like, to its owner or as the hub may see it."""
    from medfl.hospital_tables import COLUMNS, column_rows
    from medfl.site.catalogue import catalogue
    from medfl.site.datasets import Datasets
    from medfl.site.machine import told_hardware
    from medfl.site.place import Place

    with failing_in_json(as_json):
        place = Place(home)
        dataset = Datasets(place).named(name)
        if as_hub:
            told = catalogue(place)[name]
            print_json(told) if as_json else _show_told(name, told, home)
            if not as_json:
                say(f"Of this machine the hub is told: {told_hardware(place) or 'nothing'}.", dim=True)
            return
        schema, unusable = dataset.described()
        meanings = dataset.meanings()
    if as_json:
        described = {
            "columns": [*_columns_json(schema, meanings)],
            "unusable": {n: str(c) for n, c in unusable.items()},
        }
        print_json(_registered(name, dataset) | {"rows": schema.rows} | described)
        return
    click.echo(click.style(name, bold=True) + f"  {dataset.kind}, {schema.rows} rows, target {shown(dataset.target)}")
    click.echo(f"  {shown(dataset.shown)}")
    if dataset.query is not None:
        click.echo(f"  {shown(dataset.query)}")
    click.echo()
    click.echo(aligned(COLUMNS, [*column_rows(schema, meanings)]))
    _unusable(unusable)
    _complain(_strange(dataset, schema, unusable))


def check(name: str | None, home: Path | None, *, as_json: bool) -> None:
    """Read the tables; say of each whether studies can use it."""
    from medfl.errors import MedflError
    from medfl.site.datasets import Datasets
    from medfl.site.place import Place

    with failing_in_json(as_json):
        register = Datasets(Place(home))
        known = register.all() if name is None else {name: register.named(name)}
    if not known and not as_json:
        click.echo(f"No data sets yet. Add one: medfl site dataset add NAME FILE --target COLUMN{home_option(home)}")
    found: dict[str, list[str]] = {}
    wrong: list[MedflError] = []
    for one, dataset in known.items():
        try:
            schema, unusable = dataset.described()
        except MedflError as error:
            wrong.append(error)
            found[one] = [str(error)]
            continue
        found[one] = [*_strange(dataset, schema, unusable), *(f"{n}: {c.what}" for n, c in unusable.items())]
        if not as_json:
            click.echo(f"{one}: can be read; {schema.rows} rows, {len(schema.columns)} columns that studies can use")
            for sentence in dataset.written:
                click.echo(f"  {sentence}")
            _unusable(unusable)
            _complain(_strange(dataset, schema, unusable))
    if as_json:
        print_json({"ok": not wrong, "datasets": found})
    if wrong:
        _raise(wrong)


def _raise(wrong: list[MedflError]) -> None:
    """Say all that is wrong at once, and what databases say of it."""
    from medfl.errors import DataError

    together = DataError.of([complaint for error in wrong for complaint in error.complaints])
    for error in wrong:
        for note in getattr(error, "__notes__", ()):
            together.add_note(note)
    raise together


def remove(name: str, home: Path | None) -> None:
    """Forget a data set."""
    from medfl.site.datasets import Datasets
    from medfl.site.place import Place

    Datasets(Place(home)).remove(name)
    click.echo(f"Data set {name} is no longer registered; its table was not touched.")


def _dataset(source: str, how: Mapping[str, Any]) -> DataSet:
    """Return what was typed as a data set, with paths that hold wherever the site is started."""
    from medfl.errors import PlanError
    from medfl.learn.data.database import is_url, with_password
    from medfl.site.datasets import DataSet

    database, query = is_url(source), how["query"]
    if database != (query is not None):
        raise PlanError(
            "a database's URL and a query belong together",
            where="medfl site dataset add",
            received="a URL without a query" if database else "a query without a URL",
            remedy='write --query "SELECT … FROM …"' if database else "leave --query out, or give a database's URL",
        )
    if how["password"]:  # A word on the command line is seen by other users of the machine, and kept by the shell.
        source = with_password(source, click.prompt("Password", hide_input=True, err=True))
    columns = how["columns"]
    dictionary = how["dictionary"]
    return DataSet(
        source=source if database else str(Path(source).expanduser().absolute()),
        target=how["target"],
        query=query,
        sheet=how["sheet"],
        columns=None if columns is None else tuple(name.strip() for name in columns.split(",")),
        missing=how["missing"],
        decimal=how["decimal"],
        dictionary=None if dictionary is None else str(dictionary.expanduser().absolute()),
        added=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
    )


def _registered(name: str, dataset: DataSet) -> dict[str, Any]:
    words = dataset.model_dump(mode="json", exclude_none=True)
    return {"name": name, "kind": dataset.kind, **words, "source": dataset.shown}


def _columns_json(schema: Schema, meanings: Mapping[str, Meaning]) -> Iterator[dict[str, Any]]:
    for column, words in zip(schema.columns, schema.to_json()["columns"], strict=True):
        meaning = meanings.get(column.name)
        more = {} if meaning is None else {"description": meaning.description, "codes": dict(meaning.codes)}
        yield words | more


def _unusable(unusable: Mapping[str, Complaint]) -> None:
    for name, complaint in unusable.items():
        click.echo(f"  Not for studies: {shown(name)}: {complaint.what}")


def _strange(dataset: DataSet, schema: Schema, unusable: Mapping[str, Complaint]) -> list[str]:
    """Say where table and dictionary do not agree: columns that are not there, codes that are not named."""
    from medfl.errors import listed

    meanings = dataset.meanings()
    gone = [name for name in meanings if name not in {*unusable, *(column.name for column in schema.columns)}]
    said = [f"the data dictionary names columns that the table does not have: {listed(gone)}"] if gone else []
    for column in schema.columns:
        codes = meanings[column.name].codes if column.name in meanings else {}
        unnamed = [one for one in column.categories if one not in codes] if codes else []
        if unnamed:
            said.append(f"{column.name}: values that are no code of the data dictionary: {len(unnamed)}")
    return said


def _complain(sentences: list[str]) -> None:
    for sentence in sentences:
        say(f"  Note: {shown(sentence)}", fg="yellow")


def _show_told(name: str, told: Mapping[str, Any], home: Path | None) -> None:
    """Show what leaves."""
    from medfl.hospital_tables import COLUMNS, told_balance, told_rows

    if "withheld" in told:
        click.echo(f"Nothing of {name} may be told: {told['withheld']}.")
        say(f"Write a policy: medfl policy init {_policy(home)}", dim=True)
        return
    rows = f"{told['rows']} rows" if "rows" in told else "rows not told"
    click.echo(click.style(name, bold=True) + f"  {rows}, target {shown(told['target'])}")
    click.echo(aligned(COLUMNS, [*told_rows(told)]))
    if shares := told_balance(told):
        click.echo(f"  Balance of {shown(told['target'])}: {shown(shares)}")
    for sentence in told["policy"]:
        click.echo(f"  Held back: {sentence}")


def _policy(home: Path | None) -> Path:
    from medfl.site.place import Place

    return Place(home).policy
