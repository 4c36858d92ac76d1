"""Every bad input to the data side: the message names the place and the remedy, and holds no cell of a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest

from medfl.errors import DataError, UserError
from medfl.learn.data.clean import clean
from medfl.learn.data.harmonise import harmonise
from medfl.learn.data.partition import deal
from medfl.learn.data.schema import infer
from medfl.learn.data.split import by_ids, split
from medfl.learn.data.tables import as_frame, read_table
from medfl.spec.data import Data, Simulate
from medfl.spec.preprocess import Preprocess

SECRETS = ("Zebediah", "987.125", "P-00017")
"""Cells of the tables below, and IDs; an error must never say one."""


@dataclass(frozen=True)
class Fault:
    name: str
    cause: Callable[[Path], object]
    says: tuple[str, ...]


def file(body: str | bytes, name: str = "ward.csv", **options: Any) -> Callable[[Path], object]:
    def cause(folder: Path) -> object:
        path = folder / name
        path.write_bytes(body.encode() if isinstance(body, str) else body)
        return read_table(path, **options)

    return cause


def locked_file(folder: Path) -> object:
    path = folder / "ward.csv"
    path.write_text("a\n1\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", Mock(side_effect=PermissionError(13, "Permission denied")))
        return read_table(path)


def missing_file(folder: Path) -> object:
    (folder / "hospital.csv").write_text("a\n1\n")
    return read_table(folder / "hopsital.csv")


FILES = [
    Fault("missing file", missing_file, ("hopsital.csv", "no such file", "did you mean 'hospital.csv'?")),
    Fault("missing folder", lambda at: read_table(at / "no" / "x.csv"), ("no such file", "check the path")),
    Fault("folder", lambda at: read_table(at), ("a folder", "name the CSV")),
    Fault("locked file", locked_file, ("ward.csv", "cannot be read", "Permission denied", "permissions")),
    Fault("empty file", file(""), ("ward.csv", "empty", "header line and rows")),
    Fault("blank file", file("\n \n"), ("empty",)),
    Fault("no rows", file("age,sick\n"), ("header but no rows", "at least one row")),
    Fault(
        "duplicate columns",
        file("age,sick,age\n1,2,3\n"),
        ("duplicate column names: those of columns 1 and 3", "of its own"),
    ),
    Fault("too few names", file("1,2,3\n", columns=["a", "b"]), ("2 names", "3 columns", "every column")),
    Fault("same name twice", file("1,2\n", columns=["a", "a"]), ("duplicate column names: 'a'",)),
    Fault("header repeated", file("a,b\n1,2\n", columns=["a", "b"]), ("has a header line", "remove data.columns")),
    Fault("no header", file("987.125,1,2\n3,4,5\n"), ("looks like a row", "data.columns")),
    Fault("unnamed column", file(",age\n0,987.125\n"), ("column 1 has no name", "index=False")),
    Fault("long row", file("a,b\n1,2\nZebediah,2,3\n"), ("line 3", "3 cells", "2 columns", "commas")),
    Fault("short row", file("a;b;c\n1;2;3\n\n1;Zebediah\n"), ("line 4", "2 cells", "3 columns", "semicolons")),
    Fault("ragged, quoted", file('a,b\n"Zebediah, x",2\n1,2,3\n'), ("line 3", "3 cells")),
    Fault("open quote", file('a,b\n"Zebediah,2\n1,2\n'), ("up to line 3", "quote", "twice")),
    Fault("cyrillic", file("a,b\n1,2\nЗеведей,2\n".encode("cp1251")), ("line 3", "UTF-8", "CSV UTF-8")),
    Fault("old mac", file("a,b\n1,2\nZebediah,gr\xfcn\n".encode("mac-roman")), ("line 3", "neither UTF-8")),
    Fault("dos", file("a,b\n1,2\nZebediah,gr\xfcn\n".encode("cp850")), ("line 3", "neither UTF-8")),
    Fault(
        "points among decimal commas",
        file("a;b\n12,5;1.234\n9,25;2.345\n"),
        ("column 'b'", "is the point between thousands, or before decimals?", 'decimal = "."'),
    ),
    Fault(
        "points among thousands with points",
        file("a;b\n1.012,5;1.234\n9,25;2.345\n"),
        ("column 'b'", "is the point between thousands, or before decimals?"),
    ),
    Fault("points where commas are said", file("a;b\n12,5;1.5\n", decimal=","), ("column 'b'", "in the whole file")),
    Fault("workbook", file(b"PK\x03\x04\x00rest", "ward.xlsx"), ("ward.xlsx", "workbook", "save the table as CSV")),
    Fault("binary", file(b"a,b\n\x00\x01,2\n"), ("not text", "save the table as CSV")),
]


def table(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"age": [61.0, 987.125] * 15, "sick": [0, 1] * 15} | columns)


def judged(data: Data | None = None, **columns: Any) -> Callable[[Path], object]:
    return lambda _: infer(table(**columns), data or Data(target="sick"))


SCHEMAS = [
    Fault("text in numbers", judged(dose=["Zebediah"] + [1.5] * 29), ("'dose'", "1 of 30 values", "data.missing")),
    Fault("decimal commas", judged(dose=["1,5", "2,5"] * 15), ("'dose'", "30 of 30", "point, not a comma")),
    Fault("infinite", judged(dose=[np.inf, -np.inf] + [1.0] * 28), ("'dose'", "too large: 2 of 30", "empty")),
    Fault("too large", judged(dose=[1e39] + [1.0] * 29), ("'dose'", "too large: 1 of 30")),
    Fault("names", judged(who=[f"Zebediah {i}" for i in range(30)]), ("'who'", "30 different texts", "data.features")),
    Fault(
        "many codes",
        lambda _: infer(
            pd.DataFrame({"icd": np.arange(700) % 65, "sick": np.arange(700) % 2}),
            Data(target="sick", categorical=("icd",)),
        ),
        ("'icd'", "65 different", "identifier"),
    ),
    Fault("not cells", judged(dose=[["Zebediah"]] * 30), ("'dose'", "neither numbers nor text")),
    Fault(
        "text compared",
        judged(Data(target="sick", positive="> 0"), sick=["Zebediah", 1] * 15),
        ("'sick'", "15 of 30", "data.positive"),
    ),
    Fault("bad positive", judged(Data(target="sick", positive="> high")), ("data.positive", "'> high'", '"> 0"')),
    Fault(
        "free-text target",
        lambda _: infer(pd.DataFrame({"a": [1] * 99, "t": [f"Zebediah {i}" for i in range(99)]}), Data(target="t")),
        ("'t'", "99 different texts", "data.positive"),
    ),
]


def together(data: Data | None = None, kind: str = "logistic", **tables: pd.DataFrame) -> Callable[[Path], object]:
    data = data or Data(target="sick")
    return lambda _: harmonise({s: infer(t, data) for s, t in tables.items()}, data, model_kind=kind)


ONE = table(sick=[1] * 30)
SITES = [
    Fault("target absent", together(Data(target="sikc"), a=table(), b=table()), ("'sikc'", "did you mean 'sick'?")),
    Fault("no target here", together(a=table(), b=table()[["age"]]), ("b lacks the target 'sick'", "data.target")),
    Fault("few have it", together(a=table(chol=1.0), b=table(), c=table()), ("only a has 'chol'", "data.features")),
    Fault("one lacks it", together(a=table(chol=1.0), b=table(), c=table(chol=2.0)), ("b lacks 'chol'",)),
    Fault("nobody has it", together(Data(target="sick", features=("agee",)), a=table()), ("'agee'", "mean 'age'?")),
    Fault("types differ", together(a=table(s=["m", "f"] * 15), b=table(s=1)), ("'s'", "at b", "text at a", "codes")),
    Fault("blank column", together(a=table(s=np.nan), b=table(s=np.nan)), ("'s'", "no site has a value")),
    Fault("one class here", together(a=ONE, b=table()), ("site a", "one and the same outcome", "keep")),
    Fault("one class", together(a=ONE, b=ONE), ("all rows of all sites", "choose another target")),
    Fault(
        "positive nowhere",
        together(Data(target="sick", positive="9"), a=table()),
        ("no row has the value '9'", "data.positive"),
    ),
    Fault("no feature", together(a=table()[["sick"]]), ("no feature is left", "columns besides the target")),
    Fault("target as feature", together(Data(target="sick", features=("age", "sick")), a=table()), ("remove it",)),
    Fault("one row", together(a=table().iloc[:1], b=table()), ("site a", "too few rows", "leave the site out")),
    Fault("categorical", together(Data(target="sick", categorical=("agge",)), a=table()), ("'agge'", "'age'?")),
    Fault("units", together(Data(target="sick", units={"agge": "y"}), a=table()), ("data.units", "'age'?")),
    Fault(
        "logistic on a number",
        together(Data(target="age"), a=table(age=np.linspace(0, 987.125, 30))),
        ("'age'", "predicts classes", '"linear"'),
    ),
    Fault("linear on text", together(None, "linear", a=table(sick=["Zebediah", "no"] * 15)), ("'sick'", "text")),
    Fault("linear on classes", together(Data(target="sick", positive="1"), "linear", a=table()), ("logistic",)),
    Fault(
        "three for binary",
        together(Data(target="sick", outcome="binary"), a=table(sick=[0, 1, 2] * 10)),
        ("has 3", "data.positive"),
    ),
    Fault(
        "positive and multiclass",
        together(Data(target="sick", outcome="multiclass", positive="1"), a=table()),
        ("data.outcome", "remove one"),
    ),
    Fault(
        "25 texts",
        together(None, "mlp", a=pd.DataFrame({"age": 1.0, "sick": [f"t{i % 25}" for i in range(99)]})),
        ("25 different values", 'data.outcome = "multiclass"'),
    ),
]


def cleaned(frame: pd.DataFrame, impute: str = "none", data: Data | None = None) -> Callable[[Path], object]:
    data = data or Data(target="sick")
    start = table(colour=["red", "blue"] * 15)
    agreed = harmonise({"a": infer(start, data)}, data, model_kind="mlp")
    preprocess = Preprocess.model_validate({"impute": impute})
    return lambda _: clean(frame, agreed, data=data, preprocess=preprocess)


GOOD = table(colour=["red", "blue"] * 15)
CLEANING = [
    Fault("missing refused", cleaned(GOOD.assign(age=[np.nan] + [1.0] * 29)), ("'age' in 1 of 30", '"median"')),
    Fault("unseen refused", cleaned(GOOD.assign(colour="Zebediah")), ("'colour' in 30", "counting 30 cells")),
    Fault("nothing left", cleaned(GOOD.assign(age=np.nan), "drop"), ("no row is left", "30 lack a feature")),
    Fault("no column", cleaned(GOOD.drop(columns="colour").assign(color=1)), ("'colour'", "did you mean 'color'?")),
    Fault("text at last", cleaned(GOOD.assign(age="Zebediah")), ("'age'", "30 of 30 values are not numbers")),
    Fault("infinite at last", cleaned(GOOD.assign(age=np.inf)), ("'age'", "too large: 30 of 30")),
    Fault("new class", cleaned(GOOD.assign(sick=987.125)), ("'sick'", "30 rows", "none of 0 and 1")),
]


def dealt(partition: dict[str, Any], **settings: Any) -> Callable[[Path], object]:
    return lambda _: deal(GOOD, Simulate.model_validate({"partition": partition} | settings), target="sick", seed=1)


DEALING = [
    Fault("too many sites", dealt({"kind": "iid"}, sites=31), ("31 sites cannot share 30 rows", "at most 15")),
    Fault("one name", dealt({"kind": "iid"}, names=["a", "a"]), ("two sites have one name",)),
    Fault("no column", dealt({"kind": "quantiles", "column": "aeg"}, sites=2), ("'aeg'", "did you mean 'age'?")),
    Fault("text quantiles", dealt({"kind": "quantiles", "column": "colour"}, sites=2), ("'colour'", "numeric column")),
    Fault("counts differ", dealt({"kind": "column", "column": "colour"}, sites=3), ("'colour' has 2", "3 sites")),
    Fault("too few rows", dealt({"kind": "dirichlet", "min_rows": 20}, sites=2), ("2 sites 20 rows", "a larger alpha")),
    Fault(
        "unlikely",
        dealt({"kind": "dirichlet", "alpha": 0.001, "min_rows": 7}, sites=4),
        ("1000 draws", "alpha 0.001", "smaller min_rows"),
    ),
]
IDS = np.array(["P-00017", "P-00018", "P-00019"])
SPLITTING = [
    Fault("one row", lambda _: split(None, 1, fraction=0.2, seed=1), ("too few rows", "evaluation.test_fraction")),
    Fault("unknown ID", lambda _: by_ids(IDS, ["P-00017", "X"]), ("1 of 2 listed", "evaluation.id_column")),
    Fault("all test", lambda _: by_ids(IDS, IDS.tolist()), ("3 of 3 usable rows", "not all or none")),
    Fault("none test", lambda _: by_ids(IDS, []), ("0 of 3 usable rows",)),
    Fault("ragged mapping", lambda _: as_frame({"a": [1], "b": ["Zebediah", "x"]}), ("not of one length",)),
    Fault("twice", lambda _: as_frame(pd.DataFrame([[1, 2]], columns=["a", "a"])), ("duplicate column names: 'a'",)),
]


@pytest.mark.parametrize(
    "fault", [*FILES, *SCHEMAS, *SITES, *CLEANING, *DEALING, *SPLITTING], ids=lambda fault: fault.name
)
def test_the_error_says_what_where_and_what_to_do(tmp_path: Path, fault: Fault) -> None:
    with pytest.raises(UserError) as caught:
        fault.cause(tmp_path)
    text = str(caught.value)
    assert caught.value.exit_code == 2
    assert all(complaint.remedy for complaint in caught.value.complaints), text
    for fragment in fault.says:
        assert fragment in text
    for secret in SECRETS:
        assert secret not in text


def test_all_that_is_wrong_with_a_table_is_said_at_once() -> None:
    frame = table(dose=["Zebediah"] + [1.5] * 29, level=[np.inf] * 30, who=[f"Z{i}" for i in range(30)])
    with pytest.raises(DataError) as caught:
        infer(frame, Data(target="sick"))
    assert [complaint.where for complaint in caught.value.complaints] == [
        "column 'dose'",
        "column 'level'",
        "column 'who'",
    ]


def test_columns_not_in_use_are_not_judged() -> None:
    frame = table(who=[f"Z{i}" for i in range(30)])
    assert infer(frame, Data(target="sick", features=("age",))).unused == ("who",)
    assert infer(frame, Data(target="sick"), without=("who",)).unused == ("who",)


def test_all_that_the_sites_disagree_on_is_said_at_once() -> None:
    data = Data(target="sick")
    tables = {"a": table(chol=1.0, s="m"), "b": table(s=1, sick=1), "c": table(s=2).iloc[:1]}
    with pytest.raises(DataError) as caught:
        harmonise({site: infer(frame, data) for site, frame in tables.items()}, data, model_kind="mlp")
    places = [complaint.where for complaint in caught.value.complaints]
    assert places == ["site c", "column 'chol'", "column 's'", "site b"]


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("stage 3", "data.positive: no row has the value 'stage 3'"),
        ("== 3", "data.positive: no row has the value '3'"),
        ("> 5", "data.positive: no row is > 5"),
        (">= 0", "data.positive: every row is >= 0"),
    ],
)
def test_a_positive_value_that_parts_no_rows_is_named(rule: str, says: str) -> None:
    data = Data(target="stage", positive=rule)
    frame = pd.DataFrame({"age": [61.0, 70.0, 55.0], "stage": [0, 1, 2]})
    with pytest.raises(DataError) as caught:
        harmonise({"a": infer(frame, data), "b": infer(frame, data)}, data, model_kind="logistic")
    assert says in str(caught.value)
    assert len(caught.value.complaints) == 1
