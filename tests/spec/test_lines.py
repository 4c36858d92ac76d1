"""Where keys are written: against texts whose lines are known, and against tomllib on texts that nobody would write."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfl.spec.lines import KeyPath, lines, nearest

TEXT = '''# a study
version = 1
[data]
target = "num" # the outcome
features = [
  "age", # [not] a = table
  "sex",
]
missing = ["?", """
x = 1
"""]
"quoted key".'a.b'.plain = 3
[data.simulate]
partition = { kind = "dirichlet", alpha = 0.5 }
[[arm]]
name = "one"
algorithm.kind = 'fedavg'
[[arm]]
name = "it's \\"two\\""
[arm.training]
learning_rate = 1979-05-27 07:32:00
[ data . "sites" ]
a = """one \\""" two""""
b = 1
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("version",), 2),
        (("data",), 3),
        (("data", "target"), 4),
        (("data", "features"), 5),
        (("data", "features", 0), 6),
        (("data", "features", 1), 7),
        (("data", "missing", 1), 9),
        (("data", "quoted key", "a.b", "plain"), 12),
        (("data", "simulate"), 13),
        (("data", "simulate", "partition", "alpha"), 14),
        (("arm",), 15),
        (("arm", 0, "algorithm", "kind"), 17),
        (("arm", 1), 18),
        (("arm", 1, "name"), 19),
        (("arm", 1, "training"), 20),
        (("arm", 1, "training", "learning_rate"), 21),
        (("data", "sites"), 22),
        (("data", "sites", "b"), 24),
    ],
)
def test_a_key_is_found_on_its_line(path: KeyPath, line: int) -> None:
    assert lines(TEXT)[path] == line


def test_windows_line_ends_count_once() -> None:
    assert lines("a = 1\r\n[b]\r\nc = [\r\n1]\r\n") == {("a",): 1, ("b",): 2, ("b", "c"): 3, ("b", "c", 0): 4}


def test_the_header_wins_over_a_table_named_in_passing() -> None:
    assert lines("[a.b]\nx = 1\n[a]\ny = 1\n")["a",] == 3


def test_a_missing_key_is_looked_for_in_what_it_would_lie_in() -> None:
    assert nearest(("data", "simulate", "sites"), lines(TEXT)) == 13
    assert nearest(("model", "kind"), lines(TEXT)) is None


def paths(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield every key path that tomllib finds."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*path, key))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from paths(inner, (*path, position))


class Table(dict[str, object]):
    """To be written under a header."""


class Many(list[object]):
    """To be written as an array of tables."""


KEYS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=5),
)
ODD = st.text(st.sampled_from("ab\"'#[]{}=,.\\ \n\t"), max_size=12)
SCALARS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.floats(),
    st.datetimes().map(lambda moment: moment.replace(microsecond=0)),
    st.dates(),
    ODD,
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
TABLES = st.recursive(
    st.dictionaries(KEYS, VALUES, max_size=3),
    lambda inner: st.dictionaries(
        KEYS, VALUES | inner.map(Table) | st.lists(inner, min_size=1, max_size=3).map(Many), max_size=3
    ),
    max_leaves=5,
)


class Writer:
    """Writes TOML in every way the grammar has, and notes the line of each key while it writes."""

    def __init__(self, draw: st.DataObject) -> None:
        self.draw, self.text = draw, ""
        self.noted: dict[KeyPath, int] = {}

    @property
    def line(self) -> int:
        return self.text.count("\n") + 1

    def pick(self, *choices: str) -> str:
        return self.draw.draw(st.sampled_from(choices))

    def table(self, content: dict[str, object], path: KeyPath = (), header: str = "") -> None:
        later = {key: value for key, value in content.items() if isinstance(value, Table | Many)}
        for key, value in content.items():
            if key not in later:
                self.pair((*path, key), self.key(key), value)
        for key, value in later.items():
            name = f"{header}.{self.key(key)}" if header else self.key(key)
            if isinstance(value, Table):
                self.noted[(*path, key)] = self.line
                self.text += f"[{name}]\n"
                self.table(value, (*path, key), name)
            elif isinstance(value, Many):
                self.noted[(*path, key)] = self.line
                for position, inner in enumerate(value):
                    assert isinstance(inner, dict)
                    self.noted[(*path, key, position)] = self.line
                    self.text += f"[[ {name} ]] # ]\n"
                    self.table(inner, (*path, key, position), name)

    def pair(self, path: KeyPath, key: str, value: object) -> None:
        if isinstance(value, dict) and value and self.pick("inline", "dotted") == "dotted":
            for name, inner in value.items():
                self.pair((*path, name), f"{key}{self.pick('.', ' . ')}{self.key(name)}", inner)
            self.noted[path] = self.noted[(*path, next(iter(value)))]
            return
        self.text += self.pick("", "\n", "# x = [\n", "  ")
        self.noted[path] = self.line
        self.text += key + self.pick("=", " = ", "\t= ")
        self.value(value, path)
        self.text += self.pick("\n", " # \"'[{\n", "\r\n")

    def key(self, key: str) -> str:
        ways = [json.dumps(key, ensure_ascii=False)]
        if key.isascii() and key.replace("-", "").replace("_", "").isalnum():
            ways += [key, key]
        if "'" not in key:
            ways.append(f"'{key}'")
        return self.pick(*ways)

    def value(self, value: object, path: KeyPath) -> None:
        if isinstance(value, list):
            self.text += "["
            for position, inner in enumerate(value):
                self.text += self.pick("", " ", "\n", " # ]\n")
                self.noted[(*path, position)] = self.line
                self.value(inner, (*path, position))
                self.text += self.pick(",", " ,\n") if position < len(value) - 1 else self.pick("", ",", " ,\n")
            self.text += self.pick("]", "\n]")
        elif isinstance(value, dict):
            self.text += "{"
            for position, (key, inner) in enumerate(value.items()):
                self.text += ", " if position else " "
                self.noted[(*path, key)] = self.line
                self.text += self.key(key) + " = "
                self.value(inner, (*path, key))
            self.text += " }"
        else:
            self.text += self.scalar(value)

    def scalar(self, value: object) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if not isinstance(value, str):
            return str(value)
        basic = json.dumps(value, ensure_ascii=False)
        ways = [basic, f'""{basic}""']
        if "'" not in value and "\n" not in value:
            ways.append(f"'{value}'")
        if "'''" not in value and not value.endswith("'"):
            ways.append(f"'''\n{value}'''")
        if '"""' not in value:
            ways.append('"""\n{}"""'.format(value.replace("\\", "\\\\")))
        return self.pick(*ways)


@given(TABLES, st.data())
def test_every_key_that_tomllib_finds_has_its_line(content: dict[str, object], draw: st.DataObject) -> None:
    writer = Writer(draw)
    writer.table(content)
    found = lines(writer.text)
    assert set(found) == set(paths(tomllib.loads(writer.text)))
    assert {path: found[path] for path in writer.noted} == writer.noted
