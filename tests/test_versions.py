"""Which versions hub and site speak, and what is said where they have none in common."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfl.errors import VersionError, WireError
from medfl.versions import MESSAGES, SPOKEN, Speaks, agreed, here


def speaks(medfl: str = "3.0.0", **ranges: tuple[int, int]) -> Speaks:
    return Speaks(medfl, {**dict.fromkeys(MESSAGES, (1, 1)), **ranges})


def test_the_newest_that_both_speak_is_taken() -> None:
    found = agreed(speaks(wire=(1, 4), channel=(2, 3)), speaks(wire=(2, 3), channel=(1, 2)))
    assert found == {"wire": 3, "study": 1, "channel": 2}
    assert agreed(here(), here()) == {name: newest for name, (_, newest) in SPOKEN.items()}


@pytest.mark.parametrize(("hub", "site", "behind"), [((3, 4), (1, 2), "site"), ((1, 2), (3, 3), "hub")])
def test_without_one_it_is_said_which_end_to_upgrade(hub: tuple[int, int], site: tuple[int, int], behind: str) -> None:
    with pytest.raises(VersionError) as refused:
        agreed(speaks("3.2", wire=hub, study=hub), speaks("3.5", wire=site, study=site))
    assert refused.value.exit_code == 2
    said = [str(complaint) for complaint in refused.value.complaints]
    assert len(said) == 2, "each kind of message"
    assert "no version in common of the format of requests and replies" in said[0]
    assert "at the hub, which runs MEDfl 3.2" in said[0]
    assert "at the site, which runs MEDfl 3.5" in said[0]
    newer = "3.2" if behind == "site" else "3.5"
    assert f"upgrade MEDfl at the {behind}, to {newer} for instance: pip install --upgrade medfl" in said[0]


def test_who_says_nothing_is_older() -> None:
    silent = Speaks.read(None)
    assert agreed(here(), silent) == dict.fromkeys(MESSAGES, 1)


def test_what_is_said_is_read_back() -> None:
    assert Speaks.read(here().to_json()) == Speaks(here().medfl, SPOKEN)
    told = here().to_json() | {"medfl": "3\x1b[31m" + "x" * 99, "something": "newer"}
    assert Speaks.read(told).medfl == ("3[31m" + "x" * 99)[:39], "nothing that a terminal would obey"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["medfl", *MESSAGES]), inner),
)


@given(JSON)
def test_whatever_else_is_said_is_refused(said: object) -> None:
    if said is None:
        return
    try:
        found = Speaks.read(said)
    except WireError:
        return
    assert all(0 < oldest <= newest for oldest, newest in found.spoken.values())
