"""What a site tells of its data sets before any study: what its policy lets leave, by the rules for studies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from medfl.errors import DataError, MedflError
from medfl.learn.data.cells import Texts
from medfl.learn.data.prints import prints_of
from medfl.learn.data.schema import Schema, described
from medfl.learn.data.sheet import Sheet
from medfl.learn.statistic import ZERO
from medfl.messages import Request
from medfl.site.balance import balance
from medfl.site.datasets import DataSet, Datasets, data_of, require_column
from medfl.site.desk import Desk
from medfl.site.dictionary import Meaning
from medfl.site.looking import Looking
from medfl.site.place import Place
from medfl.site.policy import Release
from medfl.site.remembered import About, Remembered
from medfl.site.rules import Rules
from medfl.site.rules_reading import read
from medfl.site.written import Written
from medfl.spec.study import Info, Study

NO_POLICY = "the site has no policy yet"
Meanings = Mapping[str, Meaning]


def catalogue(place: Place) -> dict[str, Any]:
    """Return what the hub may see of the site's data sets, by name: columns, units, codes, counts as they may be told.

    What the policy holds back is not there; where nothing of a data set may be told, the reason is.

    Raises
    ------
    MedflError
        If the register or the policy cannot be read.
    """
    known = Datasets(place).all()
    if not place.policy.is_file():
        return {name: {"withheld": NO_POLICY} for name in known}
    rules = read(place.policy)
    return {name: _entry(place, rules, name, dataset) for name, dataset in known.items()}


def _entry(place: Place, rules: Rules, name: str, dataset: DataSet) -> dict[str, Any]:
    """Return what is told of a data set: of nearly the same patients the same as before, word by word.

    Whatever it says, and also that it says nothing, may follow from an outcome that one patient has.
    """
    least = rules.counts.minimum_difference
    try:
        frame, meanings = dataset.table(), dataset.meanings()
        require_column(dataset.target, list(frame.columns))

        def tell() -> str:
            return json.dumps(_told_now(place, rules, name, dataset, frame=frame, meanings=meanings))

        if least == 1:
            said: str | None = tell()
        else:
            heading = _heading(rules, name, dataset, meanings)
            about = _about(frame, dataset.target, patient=rules.accepts.patient_id, heading=heading)
            said = Remembered(place.outcomes).once(about, tell, fewest=least)
    except MedflError as error:
        return _unread(error)
    if said is None:
        return {"withheld": f"{_NEARLY} {least - 1} of them or fewer (counts.minimum_difference)"}
    told: dict[str, Any] = json.loads(said)
    return told


_NEARLY = "something was told about nearly the same patients, under another policy or of another data set: all but"


def _unread(error: MedflError) -> dict[str, Any]:
    return {"withheld": f"the data set cannot be read now ({error.code})"}


def _heading(rules: Rules, name: str, dataset: DataSet, meanings: Meanings) -> str:
    """Return a digest of all that an entry follows from, besides the rows."""
    meant = {column: [one.description, one.unit, dict(one.codes)] for column, one in meanings.items()}
    words = [name, dataset.digest, rules.model_dump(mode="json"), meant]
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()


def _about(frame: pd.DataFrame, target: str, *, patient: str | None, heading: str) -> About:
    """Return the patients that have an outcome, and what of them tells the outcomes.

    Whoever comes without one changes no class. So it is not all rows that are compared: among five new ones there might
    be a single one with an outcome. Patients are known by their ID, where the policy says which column that is; else
    rows by all their cells, so that a row of which a cell has changed is another one.
    """
    cells = Sheet(frame).cells(target)
    present = cells.codes >= 0 if isinstance(cells, Texts) else ~np.isnan(cells.values)
    kind = f"outcomes in {target}"
    if patient is None or patient not in frame.columns:
        rows = prints_of(frame)[present]
        return About(kind=kind, heading=heading, who=rows, what=rows)
    known = frame.loc[present, list(dict.fromkeys([patient, target]))]
    who = prints_of(known[[patient]].drop_duplicates())
    return About(kind=kind, heading=heading, who=who, what=prints_of(known))


def _told_now(
    place: Place, rules: Rules, name: str, dataset: DataSet, *, frame: pd.DataFrame, meanings: Meanings
) -> dict[str, Any]:
    """Return what the policy lets be told of a table as it is."""
    try:
        data = data_of(dataset, dict(meanings))
        # A column that no study could use, such as one of names, is not described; the policy says whether it is named.
        unusable = described(frame, data)[1]
        usable = tuple(one for one in map(str, frame.columns) if one not in {*unusable, data.target})
        study = Study(study=Info(name="catalogue"), data=data.model_copy(update={"features": usable}))
        policy = Written(rules, Remembered(place.told(name)))
        told = _told(policy, study, Desk(name, lambda: frame, place.folder, columns=policy.columns))
        found, stayed = _balance(rules, told) if isinstance(told, Release) else (None, "")
    except DataError as error:
        return _unread(error)
    if isinstance(told, str):
        return {"withheld": told}
    schema = Schema.from_json(told.content["schema"])
    counted = {"rows": schema.rows} if "rows" in rules.releases.details else {}
    columns = [_column(column, meanings.get(column["name"])) for column in schema.to_json()["columns"]]
    return {
        "target": dataset.target,
        **counted,
        "columns": columns,
        "other_columns": list(schema.unused),
        **({} if found is None else {"balance": found}),
        "policy": [*told.content.get("policy", ()), *filter(None, [stayed])],
    }


def _balance(rules: Rules, told: Release) -> tuple[dict[str, Any] | None, str]:
    """Return how the outcome's classes are balanced, of those whose names may be told."""
    target = told.study.data.target
    columns = Schema.from_json(told.content["schema"]).columns
    classes = next((column.categories for column in columns if column.name == target), ())
    return balance(rules, told.facts, target=target, classes=classes)


def _told(policy: Written, study: Study, desk: Desk) -> Release | str:
    """Return what the policy makes of a description, as if a study had asked for all columns; or the reason of its no.

    Raises
    ------
    MedflError
        If the table cannot be described.
    """
    sheet, least = desk.sheet(), policy.rules.accepts.minimum_rows
    if study.data.target not in sheet.names or not {*sheet.names} & {*(study.data.features or ())}:
        return "no column of it may be told"
    if len(sheet) < least:
        return f"it has fewer than {least} rows"
    request = Request(run="catalogue", round=0, site="", task="describe", study=study.canonical, seed=0)
    said = {"schema": desk.schema(study).to_json()}
    facts = Looking(desk, study, request)
    found = policy.releases(Release(request=request, study=study, content=said, statistic=ZERO, facts=facts))
    return found if isinstance(found, Release) else f"{found.reason} ({found.rule})"


def _column(column: dict[str, Any], meaning: Meaning | None) -> dict[str, Any]:
    """Return a column with what the dictionary says of it; of its codes those that may be told."""
    told = {key: value for key, value in column.items() if value not in ("", [], None)}
    if meaning is None:
        return told
    codes = {code: text for code, text in meaning.codes.items() if code in column["categories"]}
    return told | {key: value for key, value in (("description", meaning.description), ("codes", codes)) if value}
