"""The sites' tables on the design page: what does not fit is repaired by clicks, and the text says so."""

from __future__ import annotations

import io
import re
import socket
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfl.channel import Hardware
from medfl.costing import costs
from medfl.errors import MedflError, PlanError
from medfl.hub.pages.application import OPEN, application
from medfl.hub.pages.bench import Bench
from medfl.hub.pages.design import uploads
from medfl.hub.pages.design.mapping import as_it_is, read_otherwise, repaired
from medfl.hub.pages.design.tables import asked, tables_of
from medfl.hub.pages.starters import OWN_TABLE, starting_text
from medfl.hub.people.alone import alone
from medfl.local_tables import LocalTables
from medfl.loopback import Sessions
from medfl.spec.reading import findings, parse
from medfl.store.home import Home
from medfl.testing.fuzzing import fuzzed
from medfl.testing.pages import Carriers, Visitor, looked, serving

NAMES = st.text("abz.- _é\"'#=[", min_size=1, max_size=8)


@pytest.fixture
def differing(edited: Callable[..., Path]) -> Path:
    """Return the small study with features named, and a site that has another name, other codes and months."""
    study = edited(('target = "sick"', 'target = "sick"\nfeatures = ["age", "dose", "colour"]'))
    west = pd.read_csv(study.parent / "west.csv")
    west["sick"] = west["sick"].map({1: "yes", 0: "no"})
    west["age"] *= 12
    west.rename(columns={"colour": "COLOUR"}).to_csv(study.parent / "west.csv", index=False)
    return study


@pytest.fixture
def visitor(differing: Path, tmp_path: Path) -> Iterator[Visitor]:
    """Be let in to pages that see the tables of this machine, and may be sent more of them."""
    folder, sessions = differing.parent, Sessions()
    with Home(tmp_path / "home") as home, socket.create_server(("127.0.0.1", 0)) as listener:
        port, carries = int(listener.getsockname()[1]), Carriers(home)
        sees, sent = LocalTables(folder), home.folder / "tables"
        bench = Bench(
            home,
            looked,
            looked,
            carries,
            home.is_busy,
            sees=sees,
            uploads=sent,
            costs=costs,
            machine=Hardware(2, 8, gpu=False),
        )
        app = application(bench, *alone(sessions, port=port, open_to_all=OPEN))
        with (
            serving(app, listener),
            httpx.Client(base_url=f"http://127.0.0.1:{port}", follow_redirects=True, trust_env=False) as client,
        ):
            client.get(sessions.link())
            yield Visitor(client, sessions, carries, "")


def begun(visitor: Visitor, text: str) -> str:
    page = visitor.client.post("/drafts", data={"text": text, "csrf": visitor.token})
    return page.url.path.rpartition("/")[2]


def twin(visitor: Visitor, name: str) -> Any:
    return visitor.client.get(f"/api/drafts/{name}").json()


def change(visitor: Visitor, name: str, what: str, **values: str) -> str:
    revision = str(twin(visitor, name)["draft"]["revision"])
    said = {"csrf": visitor.token, "revision": revision, **values}
    answer = visitor.client.post(f"/drafts/{name}/{what}", data=said)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_what_does_not_fit_is_repaired_by_clicks(visitor: Visitor, differing: Path) -> None:
    name = begun(visitor, differing.read_text(encoding="utf-8"))
    page = visitor.client.get(f"/drafts/{name}").text
    assert "hinder it" in re.sub(r"\s+", " ", page)
    tables = twin(visitor, name)["tables"]
    told = {gap["column"]: gap["kind"] for gap in tables["gaps"]}
    assert told == {"colour": "missing", "sick": "type", "age": "range"}
    assert (tables["hindering"], tables["repairs"]) == (2, 3)
    change(visitor, name, "repair", site="west", column="colour")
    written = tomllib.loads(twin(visitor, name)["draft"]["text"])["data"]["harmonise"]
    assert written == {"west": {"columns": {"colour": {"called": "COLOUR"}}}}
    change(visitor, name, "repair")
    after = twin(visitor, name)
    assert after["tables"]["gaps"] == []
    assert after["faults"] == 0
    assert "All tables have the columns of this study" in visitor.client.get(f"/drafts/{name}").text
    study = parse(after["draft"]["text"], source="study.toml")
    assert study.data.translations("west")["age"].factor == pytest.approx(1 / 12, rel=1e-5)
    assert "age" in after["code"] and "factor" in after["code"]
    assert "nothing is suggested there any more" in change(visitor, name, "repair")


def test_a_column_is_left_out_by_a_click(visitor: Visitor, differing: Path) -> None:
    text = differing.read_text(encoding="utf-8").replace('features = ["age", "dose", "colour"]\n', "")
    name = begun(visitor, text)
    page = visitor.client.get(f"/drafts/{name}").text
    assert 'aria-label="Learn without COLOUR"' in page
    assert 'aria-label="Learn without sick"' not in page  # The outcome is not learned from.
    change(visitor, name, "without", column="COLOUR")
    # Neither "colour" nor "COLOUR" is in more than half of the tables.
    written = tomllib.loads(twin(visitor, name)["draft"]["text"])["data"]["features"]
    assert "COLOUR" not in written
    change(visitor, name, "without", column="colour")
    told = twin(visitor, name)
    assert tomllib.loads(told["draft"]["text"])["data"]["features"] == ["age", "dose"]
    assert {gap["column"] for gap in told["tables"]["gaps"]} == {"sick", "age"}
    change(visitor, name, "without", column="age")
    assert "nothing would be left to learn from" in change(visitor, name, "without", column="dose")


def test_a_site_is_taken_out_with_all_that_is_said_of_it(visitor: Visitor, differing: Path) -> None:
    name = begun(visitor, differing.read_text(encoding="utf-8"))
    change(visitor, name, "repair", site="west", column="colour")
    assert 'aria-label="Remove west from the study"' in visitor.client.get(f"/drafts/{name}").text
    change(visitor, name, "unsite", site="west")
    data = tomllib.loads(twin(visitor, name)["draft"]["text"])["data"]
    assert "west" not in data["sites"]
    assert "harmonise" not in data
    for site in [*data["sites"], "nowhere"]:
        change(visitor, name, "unsite", site=site)
    assert "sites" not in tomllib.loads(twin(visitor, name)["draft"]["text"])["data"]
    assert "no table is there yet" in visitor.client.get(f"/drafts/{name}").text


def test_an_outcome_that_no_table_has_is_told_once(visitor: Visitor, differing: Path) -> None:
    name = begun(visitor, differing.read_text(encoding="utf-8").replace('target = "sick"', 'target = "ill"'))
    tables = twin(visitor, name)["tables"]
    assert tables["lost"]
    assert "ill" not in {gap["column"] for gap in tables["gaps"]}
    page = visitor.client.get(f"/drafts/{name}").text
    assert page.count("No table has a column ill.") == 1
    assert "hinder it" in page


def test_how_a_file_is_written_is_told(visitor: Visitor, differing: Path) -> None:
    name = begun(visitor, differing.read_text(encoding="utf-8"))
    assert "Decimals have a comma" not in visitor.client.get(f"/drafts/{name}").text
    frame = pd.read_csv(differing.parent / "west.csv")
    frame.to_csv(differing.parent / "west.csv", index=False, sep=";", decimal=",")
    assert "12,5 is read as twelve and a half" in visitor.client.get(f"/drafts/{name}").text
    (west,) = [one for one in twin(visitor, name)["tables"]["every"] if one["site"] == "west"]
    assert west["written"][0].startswith("Decimals have a comma, and semicolons separate cells")


def test_how_a_column_is_read_is_edited_key_by_key(visitor: Visitor, differing: Path) -> None:
    name = begun(visitor, differing.read_text(encoding="utf-8"))
    change(visitor, name, "harmonise", site="west", key="called", value="dose")
    change(visitor, name, "harmonise", site="west", column="dose", key="factor", value="1,5")
    change(visitor, name, "harmonise", site="west", column="colour", key="codes", value="r = amber\n1 = blue")
    (dose, colour) = twin(visitor, name)["tables"]["read"]
    assert (dose["called"], dose["factor"]) == ("dose", "1.5")
    assert colour["codes"] == "r = amber\n1 = blue"
    change(visitor, name, "harmonise", site="west", column="dose", key="offset", value="half")
    found = twin(visitor, name)
    assert found["faults"] == 1, "what is typed wrongly is told by the study itself"
    assert [one["offset"] for one in found["tables"]["read"] if one["column"] == "dose"] == ["half"], "and stays"
    change(visitor, name, "harmonise", site="west", column="dose", key="", value="")
    change(visitor, name, "harmonise", site="west", column="colour", key="codes", value="")
    assert "harmonise" not in tomllib.loads(twin(visitor, name)["draft"]["text"])["data"]


DP = """
[preprocess]
impute = "median"

[privacy.dp]
unit = "record"
epsilon = 3.0
ranges = { age = [0, 120], dose = [-9, 9] }
categories = { colour = ["amber", "blue", "clear"], sick = ["0", "1"] }
"""


def test_what_a_promise_is_expected_to_cost_stands_at_its_epsilon_and_follows_it(
    visitor: Visitor, differing: Path
) -> None:
    name = begun(visitor, differing.read_text(encoding="utf-8") + DP)
    found = twin(visitor, name)
    assert found["faults"] == 0
    ((path, cost),) = found["costs"]
    assert (path, cost["site"], cost["assumed"]) == ("privacy.dp.epsilon", "east", False)
    page = re.sub(r"\s+", " ", visitor.client.get(f"/drafts/{name}").text)
    assert "worked out on this computer: 2 cores, about 8 GB of memory, no GPU." in page
    assert page.count('aria-label="Expected cost"') == 1
    assert page.index('id="privacy.dp.epsilon"') < page.index("Noise multiplier") < page.index('id="step-evaluation"')
    part = change(visitor, name, "set", path="privacy.dp.epsilon", value="30")
    assert "Expected cost" in part
    assert twin(visitor, name)["costs"][0][1]["noise"] < cost["noise"]
    part = change(visitor, name, "fork", part="privacy")
    change(visitor, name, "set", path="arm.1.privacy.dp.epsilon", value="2")
    told = {path: (one["arm"], one["epsilon"]) for path, one in twin(visitor, name)["costs"]}
    assert [*told] == ["privacy.dp.epsilon", "arm.1.privacy.dp.epsilon"]
    assert [epsilon for _, epsilon in told.values()] == [30.0, 2.0]
    change(visitor, name, "set", path="privacy.dp.epsilon", value="many")
    assert twin(visitor, name)["costs"] == []


def test_columns_are_ticked_and_classes_offered(visitor: Visitor, differing: Path) -> None:
    name = begun(visitor, differing.read_text(encoding="utf-8"))
    page = visitor.client.get(f"/drafts/{name}").text
    assert re.search(r'id="data.features.age" checked', page)
    assert re.search(r'id="data.features.COLOUR">', page)
    assert 'list="names-of-columns"' in page
    assert '<datalist id="names-of-classes"><option value="0">' in page
    revision = str(twin(visitor, name)["draft"]["revision"])
    values = {"csrf": visitor.token, "revision": revision, "path": "data.features", "value": ["", "age", "dose"]}
    visitor.client.post(f"/drafts/{name}/set", data=values)
    assert tomllib.loads(twin(visitor, name)["draft"]["text"])["data"]["features"] == ["age", "dose"]


def test_a_table_that_is_sent_is_kept_for_its_owner_and_never_overwritten(visitor: Visitor) -> None:
    name = begun(visitor, starting_text(OWN_TABLE))
    folder = visitor.carries.home.folder / "tables"
    for _ in range(2):
        revision = str(twin(visitor, name)["draft"]["revision"])
        body = {"table": ("../../my table.csv", b"age,outcome\n50,1\n60,0\n")}
        said = {"csrf": visitor.token, "revision": revision, "site": "north"}
        page = visitor.client.post(f"/drafts/{name}/upload", data=said, files=body)
        assert page.status_code == 200, page.text
    assert sorted(path.name for path in folder.iterdir()) == ["my-table-2.csv", "my-table.csv"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
    (north,) = twin(visitor, name)["tables"]["every"]
    assert (north["site"], north["rows"]) == ("north", 2)


@pytest.mark.parametrize(
    ("file", "body", "says"),
    [
        ("notes.txt", b"a,b\n1,2\n", "not called like a table"),
        (".csv", b"a,b\n1,2\n", "not called like a table"),
        ("empty.csv", b"", "the file is empty"),
        ("large.csv", b"a" * 2000, "too large to be sent"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch, file: str, body: bytes, says: str
) -> None:
    name = begun(visitor, "")
    monkeypatch.setattr(uploads, "LARGEST", 1500)
    said = {"csrf": visitor.token, "revision": "1"}
    answer = visitor.client.post(f"/drafts/{name}/upload", data=said, files={"table": (file, body)})
    assert answer.status_code == 400
    assert says in answer.text
    assert f'href="/drafts/{name}"' in answer.text or f'action="/drafts/{name}/upload"' in answer.text
    assert visitor.client.get(f"/drafts/{name}/upload").url.path == f"/drafts/{name}"
    folder = visitor.carries.home.folder / "tables"
    assert not folder.exists() or not list(folder.iterdir())


def test_a_table_that_the_draft_does_not_take_is_not_kept_and_told_in_the_draft(visitor: Visitor) -> None:
    name = begun(visitor, starting_text(OWN_TABLE))
    said = {"csrf": visitor.token, "revision": "99", "site": "north"}
    page = visitor.client.post(f"/drafts/{name}/upload", data=said, files={"table": ("a.csv", b"a,b\n1,2\n")})
    assert page.status_code == 400
    assert re.search(r'id="said"[^>]*><div class="box alarm"><p><b>', page.text)
    assert 'id="step-data"' in page.text
    assert list((visitor.carries.home.folder / "tables").iterdir()) == []


def test_a_name_with_accents_stays_readable(visitor: Visitor) -> None:
    name = begun(visitor, starting_text(OWN_TABLE))
    said = {"csrf": visitor.token, "revision": str(twin(visitor, name)["draft"]["revision"])}
    visitor.client.post(f"/drafts/{name}/upload", data=said, files={"table": ("Klinik Süd.csv", b"a,b\n1,2\n")})
    (one,) = twin(visitor, name)["tables"]["every"]
    assert one["site"] == "Klinik-Sud"
    assert [path.name for path in (visitor.carries.home.folder / "tables").iterdir()] == ["Klinik-Sud.csv"]


def test_a_study_without_a_table_is_not_called_ready(visitor: Visitor, differing: Path) -> None:
    def verdict(text: str) -> str:
        found = re.search(r'id="verdict".*?</div>', visitor.client.get(f"/drafts/{begun(visitor, text)}").text, re.S)
        assert found is not None
        return found[0]

    whole = differing.read_text(encoding="utf-8")
    gone = re.sub(r"(?ms)^\[data\.sites\].*?(?=^\[)", "", whole)
    assert "no table is there yet" in verdict(gone)
    (differing.parent / "west.csv").unlink()
    assert "the table of west cannot be read" in verdict(whole)
    (differing.parent / "east.csv").write_bytes(b"")
    assert "the tables of east, west cannot be read" in verdict(whole)
    assert "This study is sound" not in verdict(gone) + verdict(whole)


def test_a_body_that_lies_about_its_size_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "LARGEST", 10)
    with pytest.raises(PlanError, match="too large"):
        uploads.keep(tmp_path / "tables", "a.csv", io.BytesIO(b"x" * 11))
    assert list((tmp_path / "tables").iterdir()) == []


def test_nothing_is_sent_without_the_sessions_token(visitor: Visitor) -> None:
    name = begun(visitor, "")
    body = {"table": ("a.csv", b"a\n1\n")}
    answer = visitor.client.post(f"/drafts/{name}/upload", data={"revision": "1"}, files=body)
    assert answer.status_code == 403


def test_the_study_for_own_tables_waits_for_them_and_nothing_else() -> None:
    study, found = findings(tomllib.loads(starting_text(OWN_TABLE)))
    assert study is not None
    assert found == []
    assert study.data.sites is None


@fuzzed(50)
@given(
    st.dictionaries(st.sampled_from(["target", "features", "sites", "harmonise", "simulate", "missing", "x"]), st.none()
    | st.text(max_size=3) | st.integers() | st.lists(st.text(max_size=3), max_size=2)
    | st.dictionaries(st.text(max_size=3), st.text(max_size=3) | st.integers(), max_size=2), max_size=5)
)  # fmt: skip
def test_whatever_a_draft_says_of_its_tables_is_read(said: Mapping[str, Any]) -> None:
    asked({"data": said})
    bench = Bench(None, looked, looked, None, lambda _: False)  # type: ignore[arg-type]
    tables_of(bench, {"data": said})


@fuzzed(50)
@given(NAMES, NAMES, st.sampled_from(["", "[data]\ntarget = \"x\"  # why\n", "[data.sites]\na = \"b\"\n"]))  # fmt: skip
def test_what_is_written_is_what_is_read(site: str, column: str, text: str) -> None:
    keys = {"called": "a = b", "codes": {"1": 'x"', "é": ""}}
    written = repaired(text, site, column, keys)
    assert tomllib.loads(written)["data"]["harmonise"] == {site: {"columns": {column: keys}}}
    more = read_otherwise(written, site, "other", key="factor", value="2")
    columns = tomllib.loads(more)["data"]["harmonise"][site]["columns"]
    assert columns["other"] == {"factor": 2.0}
    assert "# why" in more or "# why" not in text
    again = as_it_is(as_it_is(more, site, "other"), site, column)
    if column != "other":
        assert tomllib.loads(again).get("data", {}) == tomllib.loads(text).get("data", {})


@pytest.mark.parametrize(
    "text",
    [
        '[data.harmonise.west.columns.sex.codes]\nM = "male"\n[data.sites]\nwest = "w.csv"\n',
        '[data]\nharmonise = { west = { columns = { sex = { codes = { M = "male" } } } } }\n',
        '[data]\nharmonise.west.columns.sex.codes.M = "male"\n',
        '[data]\nharmonise = 3\n',
        '[data]\nharmonise = { west = 4 }\n',
    ],
)  # fmt: skip
def test_however_it_was_begun_it_can_be_added_to(text: str) -> None:
    written = tomllib.loads(repaired(text, "west", "age", {"factor": 2.0}))["data"]["harmonise"]
    columns = written["west"]["columns"]
    assert columns["age"] == {"factor": 2.0}
    assert "male" not in text or columns["sex"] == {"codes": {"M": "male"}}


def test_a_text_that_is_no_toml_is_refused() -> None:
    with pytest.raises(MedflError, match="cannot be read as TOML"):
        repaired("= 3", "west", "age", {"factor": 2.0})
    with pytest.raises(PlanError, match="no such key"):
        read_otherwise("", "west", "age", key="colour", value="2")


def test_tables_that_cannot_be_read_are_not_said_to_be_alike(visitor: Visitor) -> None:
    text = '[study]\nname = "a"\n[data]\ntarget = "x"\n[data.sites]\na = "gone.csv"\nb = "lost.csv"\n'
    page = visitor.client.post("/drafts", data={"csrf": visitor.token, "text": text}).text
    assert "That is known once every table can be read." in page
    assert "All tables have the columns" not in page
