"""The error tree is as it is drawn, and an error's text says what, where, what was received and what to do."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import pytest

from medfl import errors
from medfl.errors import Complaint, MedflError, SiteError, SystemFault, UserError, by_code, did_you_mean, listed


def classes(root: type[MedflError] = MedflError) -> Iterator[type[MedflError]]:
    yield root
    for child in root.__subclasses__():
        yield from classes(child)


def drawn() -> dict[str, str]:
    """Return each class of the drawing and the class it hangs from."""
    parents: dict[str, str] = {}
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^( {4}[│ ]*(?:[├└]── )?)(\w+(?:Error|Fault))\b", line)
        if found:
            depth, name = len(found[1]) // 4, found[2]
            above[depth] = name
            parents[name] = above.get(depth - 1, "")
    return parents


ALL = list(classes())


def test_the_tree_is_as_it_is_drawn() -> None:
    real = {kind.__name__: kind.__base__.__name__ for kind in ALL if kind.__base__ and kind is not MedflError}
    assert drawn() == {"MedflError": ""} | real


def test_every_error_is_in_the_module_and_documented() -> None:
    here = {value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, MedflError)}
    assert here == set(ALL)
    assert all(kind.__doc__ for kind in ALL)


def test_codes_are_unique_and_fit_into_a_line() -> None:
    codes = [kind.code for kind in ALL]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)
    assert all("code" in vars(kind) for kind in ALL), "an inherited code would name another error"


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_the_exit_code_says_whose_doing_it_was(kind: type[MedflError]) -> None:
    assert kind.exit_code == (2 if issubclass(kind, UserError) else 1)
    assert kind is MedflError or issubclass(kind, UserError) != issubclass(kind, SystemFault)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_an_error_that_travelled_as_its_code_is_the_same_error(kind: type[MedflError]) -> None:
    assert by_code(kind.code) is kind


def test_an_unknown_code_is_a_sites_own_failure() -> None:
    assert by_code("from a newer version") is SiteError


@pytest.mark.parametrize(
    ("complaint", "text"),
    [
        (Complaint("no such arm"), "no such arm"),
        (Complaint("no such arm", "--arm"), "--arm: no such arm"),
        (Complaint("no such arm", received="yogi"), "no such arm (found: yogi)"),
        (Complaint("no such arm", remedy="write fedyogi"), "no such arm\n  → write fedyogi"),
        (
            Complaint("no such arm", "--arm", "yogi", "write fedyogi"),
            "--arm: no such arm (found: yogi)\n  → write fedyogi",
        ),
    ],
)
def test_a_complaint_as_text(complaint: Complaint, text: str) -> None:
    assert str(complaint) == text
    error = MedflError(complaint.what, where=complaint.where, received=complaint.received, remedy=complaint.remedy)
    assert str(error) == text
    assert error.args == (text,)
    assert error.complaints == (complaint,)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_one_error_speaks_of_many_things_at_once(kind: type[MedflError]) -> None:
    complaints = [Complaint("first", "here"), Complaint("second", remedy="mend it")]
    error = kind.of(complaints)
    assert type(error) is kind
    assert error.complaints == tuple(complaints)
    assert str(error) == "here: first\nsecond\n  → mend it" == error.args[0]


def test_did_you_mean() -> None:
    assert did_you_mean("Agee", ["age", "sex"]) == "did you mean 'age'?"
    assert did_you_mean("AGE", ["Age"]) == "did you mean 'Age'?"
    assert did_you_mean("weight", ["age", "sex"]) == ""


def test_names_are_listed_as_a_sentence_would() -> None:
    assert [listed([]), listed("a"), listed("ab"), listed("abc")] == ["none", "a", "a and b", "a, b and c"]
    assert listed("abcdefg") == "a, b, c, d, e and 2 more"
    assert listed("abc", most=2) == "a, b and 1 more"
