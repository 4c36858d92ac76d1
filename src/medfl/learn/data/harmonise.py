"""What all sites agree on: the features, their categories and ranges, and the outcome."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from medfl.errors import Complaint, DataError, did_you_mean, listed
from medfl.learn.data import cells
from medfl.learn.data.outcome import Decision, decide
from medfl.learn.data.schema import Column, Schema
from medfl.learn.model import Outcome
from medfl.spec.data import Data


@dataclass(frozen=True, slots=True)
class Agreement:
    """What every site of a study has in common.

    Parameters
    ----------
    features
        The columns to learn from, in order, merged over sites: union of categories, least minimum, greatest maximum.
    target
        Name of the column to predict.
    outcome
        Kind and classes. Class names are the target's raw values, unless ``data.positive`` makes two of them.
    rows
        Rows of each site that have an outcome, in site order.
    centre
        Midrange of a numeric outcome; 0 for classes.
    notes
        What was assumed rather than said, as sentences.
    """

    features: tuple[Column, ...]
    target: str
    outcome: Outcome
    rows: dict[str, int]
    centre: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def numeric(self) -> tuple[Column, ...]:
        """The features that are quantities."""
        return tuple(column for column in self.features if column.kind == "numeric")

    @property
    def categorical(self) -> tuple[Column, ...]:
        """The features that are categories."""
        return tuple(column for column in self.features if column.kind == "categorical")

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        value: dict[str, Any] = _AGREEMENT.dump_python(self, mode="json")
        return value

    @staticmethod
    def from_json(value: object) -> Agreement:
        """Return what :meth:`to_json` was called on."""
        return _AGREEMENT.validate_python(value)


_AGREEMENT = TypeAdapter(Agreement)


def harmonise(schemas: Mapping[str, Schema], data: Data, *, model_kind: str, keep_one_class: bool = False) -> Agreement:
    """Merge the sites' schemas into what they agree on.

    Parameters
    ----------
    schemas
        By site, in site order.
    data
        What the study says about the tables.
    model_kind
        "linear" asks for a numeric outcome, "logistic" for classes.
    keep_one_class
        Whether a site all of whose rows have one outcome may stay.

    Raises
    ------
    DataError
        All that the sites disagree on, at once.
    """
    tables = {site: {column.name: column for column in schema.columns} for site, schema in schemas.items()}
    too_few = list(_about_rows(data.target, schemas))
    complaints = [*_about_names(data, schemas), *too_few]
    features: list[Column] = []
    for name in _feature_names(data, tables):
        found = {site: table[name] for site, table in tables.items() if name in table}
        wrong = [*_absent(name, found, schemas), *_conflicts(name, found)]
        complaints += wrong
        if not wrong:
            features.append(_merged(list(found.values())))
    if not features and not complaints:
        complaints.append(
            Complaint(
                "no feature is left to learn from", "data.features", "", "give a table with columns besides the target"
            )
        )
    targets = {site: table[data.target] for site, table in tables.items() if data.target in table}
    disagreed = list(_conflicts(data.target, targets))
    decided = (
        Decision()
        if disagreed or not targets
        else decide(targets, _merged(list(targets.values())), data, model_kind=model_kind)
    )
    complaints += [*disagreed, *decided.complaints]
    if not keep_one_class:
        told = {complaint.where for complaint in too_few}
        complaints += [complaint for complaint in decided.one_class_sites if complaint.where not in told]
    if complaints:
        raise DataError.of(complaints)
    rows = {site: schema.rows - targets[site].missing for site, schema in schemas.items()}
    return Agreement(tuple(features), data.target, decided.outcome, rows, decided.centre, decided.notes)


def _feature_names(data: Data, tables: Mapping[str, Mapping[str, Column]]) -> list[str]:
    names = data.features or tuple(name for table in tables.values() for name in table)
    return [name for name in dict.fromkeys(names) if name != data.target]


def _about_names(data: Data, schemas: Mapping[str, Schema]) -> Iterable[Complaint]:
    """Find names in the study that do not fit the tables."""
    known = {name for schema in schemas.values() for name in (*(c.name for c in schema.columns), *schema.unused)}
    lacking = [site for site, schema in schemas.items() if all(c.name != data.target for c in schema.columns)]
    if lacking:
        who = f"{listed(lacking)} {'lacks' if len(lacking) == 1 else 'lack'}"
        who = "no site has" if len(lacking) == len(schemas) else who
        theirs = {
            name for site in lacking for name in (*(c.name for c in schemas[site].columns), *schemas[site].unused)
        }
        hint = did_you_mean(data.target, theirs) or f"the columns there are {listed(sorted(theirs), 12)}"
        yield Complaint(f"{who} the target {data.target!r}", "data.target", "", hint)
    if data.features is not None and data.target in data.features:
        yield Complaint(f"the target {data.target!r} is also a feature", "data.features", "", "remove it there")
    for key, names in (("data.categorical", data.categorical), ("data.units", data.units)):
        for name in names:
            if name not in known:
                hint = did_you_mean(name, known) or "remove it there"
                yield Complaint(f"no site has a column {name!r}", key, "", hint)


def _about_rows(target: str, schemas: Mapping[str, Schema]) -> Iterable[Complaint]:
    for site, schema in schemas.items():
        rows = schema.rows - sum(column.missing for column in schema.columns if column.name == target)
        if rows < 2:
            yield Complaint(
                f"too few rows with an outcome to split them into training and test: {rows}",
                f"site {site}",
                "",
                "leave the site out of the study",
            )


def _absent(name: str, found: Mapping[str, Column], schemas: Mapping[str, Schema]) -> Iterable[Complaint]:
    if len(found) == len(schemas):
        return
    known = {column for schema in schemas.values() for column in (*(c.name for c in schema.columns), *schema.unused)}
    if not found:
        hint = did_you_mean(name, known) or f"the columns are {listed(sorted(known), 12)}"
        yield Complaint(f"no site has a column {name!r}", "data.features", "", hint)
        return
    lacking = [site for site in schemas if site not in found]
    who = f"only {listed(found)} {'has' if len(found) == 1 else 'have'} {name!r}"
    if len(found) > len(lacking):
        who = f"{listed(lacking)} {'lacks' if len(lacking) == 1 else 'lack'} {name!r}, which the others have"
    remedy = "name the features to learn from in data.features: columns that every site has"
    yield Complaint(who, f"column {name!r}", "", remedy)


def _conflicts(name: str, found: Mapping[str, Column]) -> Iterable[Complaint]:
    kinds = _sites_by(found, lambda column: "" if column.blank else column.kind)
    blank = kinds.pop("", [])
    if not kinds and blank:
        yield Complaint(
            "no site has a value in it", f"column {name!r}", "", "leave the column out, or check data.missing"
        )
    if len(kinds) > 1:
        yield Complaint(
            f"numbers at {listed(kinds['numeric'])}, text at {listed(kinds['categorical'])}",
            f"column {name!r}",
            "",
            "list it in data.categorical if its numbers are codes, or mend the tables that have text",
        )
    units = _sites_by(found, lambda column: column.unit)
    if len(units) > 1:
        said = "; ".join(f"{unit or 'none'} at {listed(sites)}" for unit, sites in units.items())
        yield Complaint(
            f"units differ: {said}",
            f"column {name!r}",
            "",
            "say by which factor one of them is multiplied: factor in [data.harmonise]",
        )


def _sites_by(found: Mapping[str, Column], key: Any) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for site, column in found.items():
        groups.setdefault(key(column), []).append(site)
    return groups


def _merged(columns: list[Column]) -> Column:
    """Return one column that stands for all sites'; a site without a value in it has no say."""
    known = [column for column in columns if not column.blank]
    minima = [column.minimum for column in known if column.minimum is not None]
    maxima = [column.maximum for column in known if column.maximum is not None]
    return replace(
        known[0],
        categories=cells.in_order(text for column in known for text in column.categories),
        missing=sum(column.missing for column in columns),
        minimum=min(minima, default=None),
        maximum=max(maxima, default=None),
        integral=all(column.integral for column in known),
    )
