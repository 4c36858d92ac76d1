"""How models are judged and compared: what cannot be is refused with what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from medfl.errors import Complaint
from medfl.spec.reading import parse

Complaints: TypeAlias = Callable[[str], tuple[Complaint, ...]]

GOOD = """[study]
name = "s"
[data]
target = "y"
columns = ["y", "age", "sex", "id"]
sites = { a = "a.csv", b = "b.csv" }
[evaluation]
"""
BOTH = 'baselines = ["centralised"]\n'

CASES = [
    ("margin = 0.0", "[evaluation] margin", "margin must be a number above 0", "write a number above 0"),
    ("margin = 0.01", "[evaluation] margin", "which is not among the baselines", 'add "centralised" to baselines'),
    ('subgroups = { sex = "sxe" }', "[evaluation.subgroups] sex", "there is no column sxe", "did you mean sex?"),
    ('subgroups = { out = "y" }', "[evaluation.subgroups] out", "the target y cannot group", "name another column"),
    (
        'id_column = "id"\nsubgroups = { me = "id" }',
        "[evaluation.subgroups] me",
        "id identifies rows",
        "name another column",
    ),
    (
        'subgroups = { age = { column = "age", cuts = [60, 40] } }',
        "[evaluation.subgroups.age] cuts",
        "cuts must rise",
        "write cuts = [40, 60]",
    ),
    (
        'subgroups = { age = { column = "age", cuts = [40, 40] } }',
        "[evaluation.subgroups.age] cuts",
        "cuts must rise",
        "write cuts = [40]",
    ),
    (
        'subgroups = { age = { column = "age", cuts = [] } }',
        "[evaluation.subgroups.age] cuts",
        "cuts must be a list of one or more numbers",
        "or leave it out",
    ),
    (
        'subgroups = { age = { colum = "age" } }',
        "[evaluation.subgroups.age] colum",
        "colum is not a key here",
        "did you mean column?",
    ),
    (
        "subgroups = { age = 40 }",
        "[evaluation.subgroups] age",
        "age must be a table, or the column alone",
        'write age = "…"',
    ),
    ('subgroups = { " " = "sex" }', "[evaluation.subgroups]", "cannot be read there", 'write for example "sex"'),
    (
        'subgroups = { "a\\nb" = "sex" }',
        "[evaluation.subgroups]",
        "the name of a grouping becomes a heading",
        'write for example "sex"',
    ),
    ('subgroups = { site = "sex" }', "[evaluation.subgroups] site", "every site is a group already", "choose another"),
    (
        'subgroups = { a = "age", b = { column = "age", cuts = [50] } }',
        "[evaluation.subgroups.b] column",
        "age is grouped twice, as a and as b",
        "keep one of them",
    ),
    ("smallest_group = 20", "[evaluation] smallest_group", "and there are none", "add [evaluation.subgroups]"),
    (
        'subgroups = { sex = "sex" }\nsmallest_group = 1',
        "[evaluation] smallest_group",
        "smallest_group must be a whole number from 2",
        "write a whole number",
    ),
    ('contributions = "shaply"', "[evaluation] contributions", 'knows no "shaply"', 'did you mean "shapley"?'),
    (
        'contributions = { kind = "leave-one-out", permutations = 5 }',
        "[evaluation.contributions] permutations",
        'belongs to kind = "shapley"',
        "leave it out",
    ),
    (
        'contributions = { kind = "shapley", permutations = 1 }',
        "[evaluation.contributions] permutations",
        "permutations must be a whole number from 2",
        "write a whole number",
    ),
    ("importance = { repeats = 0 }", "[evaluation.importance] repeats", "from 1 to 1 000", "repeats = 5"),
]


@pytest.mark.parametrize(("text", "where", "what", "remedy"), CASES, ids=[f"{n}" for n in range(len(CASES))])
def test_what_cannot_be_judged_or_compared(
    complaints: Complaints, text: str, where: str, what: str, remedy: str
) -> None:
    told = [one for one in complaints(GOOD + text) if what in one.what]
    assert len(told) == 1, complaints(GOOD + text)
    assert where in told[0].where
    assert remedy in told[0].remedy


def test_one_site_has_nothing_to_be_left_out_of(complaints: Complaints) -> None:
    (told,) = complaints(GOOD.replace(', b = "b.csv"', "") + 'contributions = "leave-one-out"')
    assert "one site only" in told.what


def test_the_column_that_deals_the_rows_is_the_site(complaints: Complaints) -> None:
    dealt = 'simulate = { table = "t.csv", partition = { kind = "column", column = "sex" } }'
    text = GOOD.replace('sites = { a = "a.csv", b = "b.csv" }', dealt) + 'subgroups = { sex = "sex" }'
    (told,) = complaints(text)
    assert "it says the same as the site" in told.what


@pytest.mark.parametrize("change", ["smallest_group = 2", "subgroups.sex = { cuts = [1] }"])
def test_arms_do_not_cut_the_same_rows_in_two_ways(complaints: Complaints, change: str) -> None:
    (told,) = complaints(GOOD + f'subgroups = {{ sex = "sex" }}\n[[arm]]\nname = "x"\nevaluation.{change}\n')
    assert "comparing them could give a small group away" in told.what


@pytest.mark.parametrize(
    "change",
    [
        "evaluation.test_fraction = 0.21",
        "evaluation.split_seed = 2",
        'data.missing = ["f"]',
        'data.positive = "1"',
        'preprocess.impute = "drop"',
    ],
)
def test_arms_with_groups_test_the_same_rows(complaints: Complaints, change: str) -> None:
    """Two splits of one seed are nested: at 20 and 21 % a group may differ by a single patient."""
    arm = f'[[arm]]\nname = "x"\n{change}\n'
    (told,) = complaints(GOOD + f'subgroups = {{ sex = "sex" }}\n{arm}')
    assert "comparing them could give a small group away" in told.what
    assert parse(GOOD + arm, source="s").arms


def test_fewer_features_are_other_rows_only_where_rows_are_dropped(complaints: Complaints) -> None:
    arm = '[[arm]]\nname = "x"\ndata.features = ["age"]\n'
    grouped = GOOD + 'subgroups = { sex = "sex" }\n'
    assert parse(grouped + arm, source="s").arms
    (told,) = complaints(f'{grouped}[preprocess]\nimpute = "drop"\n{arm}')
    assert "features is the same for all arms" in told.what


def test_short_forms_are_what_they_stand_for() -> None:
    short = parse(GOOD + 'contributions = "shapley"\nsubgroups = { sex = "sex" }', source="s")
    long = parse(GOOD + 'contributions = { kind = "shapley" }\nsubgroups = { sex = { column = "sex" } }', source="s")
    assert short == long
    assert short.digest == long.digest
    assert (short.evaluation.contributions.orders if short.evaluation.contributions else 0) == 20
    assert short.evaluation.fewest == 10


def test_each_key_is_part_of_the_digest_only_where_it_is_asked_for() -> None:
    plain = parse(GOOD + BOTH, source="s")
    assert not {"margin", "subgroups", "smallest_group", "contributions", "importance"} & set(
        plain.model_dump(mode="json", exclude_none=True)["evaluation"]
    )
    keys = ("margin = 0.1", 'contributions = "shapley"', "importance = { repeats = 5 }", 'subgroups = { sex = "sex" }')
    digests = {parse(GOOD + BOTH + key, source="s").digest for key in keys}
    assert len(digests | {plain.digest}) == 5
