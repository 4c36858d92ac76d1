"""A worker process's protocol, without a process: an opening, then an answer for each request until the pipe ends."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from medfl.errors import SiteError, WireError
from medfl.inspection import opened
from medfl.messages import Message, Refusal, Reply, Request, from_bytes, read_frame, to_bytes, write_frame
from medfl.privacy.secure.identity import Identity
from medfl.site.sources import Sources
from medfl.site.worker import opening, serve
from medfl.spec.merging import Override
from medfl.spec.study import Study
from medfl.testing.algorithm_contract import print_of
from medfl.testing.federation import overheard


@pytest.fixture
def asked(tiny: Path) -> Study:
    seen: dict[str, Override] = {"privacy": {"secure_aggregation": False}}
    return opened(tiny)[0].overridden({"algorithm": {"rounds": 1}, "evaluation": {"bootstrap": 20}, **seen})


@pytest.fixture
def first(asked: Study, tiny: Path) -> bytes:
    return opening(asked, Sources(tiny.parent, tiny.parent / "vaults"))


def served(first: bytes | None, messages: Iterable[Message]) -> list[Reply | Refusal]:
    """Let a worker answer, and return what it wrote."""
    requests, answers = io.BytesIO(), io.BytesIO()
    for body in [*([] if first is None else [first]), *map(to_bytes, messages)]:
        write_frame(requests, body)
    requests.seek(0)
    serve(requests, answers)
    answers.seek(0)
    found = []
    while (answer := read_frame(answers)) is not None:
        message = from_bytes(answer)
        assert isinstance(message, Reply | Refusal)
        found.append(message)
    return found


def test_it_answers_as_the_sites_do(asked: Study, tiny: Path, first: bytes) -> None:
    heard = overheard(asked, Sources(tiny.parent, tiny.parent / "others").sites(asked))
    answers = served(first, [request for request, _ in heard])
    assert len(answers) == len(heard) == 4 * 3
    for (_, here), there in zip(heard, answers, strict=True):
        assert isinstance(here, Reply)
        assert isinstance(there, Reply)
        assert (there.request, there.site) == (here.request, here.site)
        assert json.dumps(there.content) == json.dumps(here.content)
        assert print_of(there.arrays) == print_of(here.arrays)


def test_it_ends_with_its_pipe(first: bytes) -> None:
    assert served(None, []) == []
    assert served(first, []) == []


def test_the_opening_says_where_and_not_what(first: bytes, tiny: Path, asked: Study) -> None:
    assert json.loads(first) == {
        "study": asked.canonical,
        "base": str(tiny.parent),
        "vaults": str(tiny.parent / "vaults"),
        "root": Identity.at(tiny.parent / "vaults" / "identity").public.hex(),
        "policy": None,
        "plugins": [],
    }


def request(study: Study, site: str = "east") -> Request:
    return Request(run="a", round=0, site=site, task="describe", study=study.canonical, seed=7)


def test_a_table_that_cannot_be_read_is_an_answer_of_its_site(asked: Study, tiny: Path, first: bytes) -> None:
    (tiny.parent / "north.csv").unlink()
    east, north = served(first, [request(asked), request(asked, "north")])
    assert isinstance(east, Reply)
    assert isinstance(north, Refusal)
    assert (north.site, north.code) == ("north", "data")
    assert "north.csv" in north.reason


def test_a_table_that_cannot_be_dealt_out_is_the_answer_of_every_site(asked: Study, tiny: Path) -> None:
    dealt = Study.model_validate(
        asked.model_dump(mode="json", exclude_none=True)
        | {"data": {"target": "sick", "simulate": {"table": "gone.csv", "names": ["east", "west"]}}}
    )
    first = opening(dealt, Sources(tiny.parent, tiny.parent / "vaults"))
    answers = served(first, [request(dealt), request(dealt, "west"), request(dealt)])
    assert [(answer.site, isinstance(answer, Refusal)) for answer in answers] == [
        ("east", True),
        ("west", True),
        ("east", True),
    ]
    assert {answer.code for answer in answers if isinstance(answer, Refusal)} == {"data"}


def test_a_machine_that_does_not_share_what_sites_keep_is_refused(
    asked: Study, tiny: Path, first: bytes, tmp_path: Path
) -> None:
    """A site that was moved there would have lost its memory, and the model would be another one."""
    other = tmp_path / "other"
    for state in ("no such folder there", "another folder there"):
        elsewhere = json.dumps(json.loads(first) | {"vaults": str(other)}).encode()
        (refusal,) = served(elsewhere, [request(asked)])
        assert isinstance(refusal, Refusal)
        assert refusal.code == "plan"
        assert state in refusal.reason
        assert "--home" in refusal.reason
        Identity.at(other / "identity")


def test_what_is_no_request_ends_it(first: bytes) -> None:
    """The hub and its worker are one program: what cannot be is a fault, not an answer."""
    with pytest.raises(SiteError, match="not a request"):
        served(first, [Reply(request="a/0/describe/east", site="east")])
    requests = io.BytesIO()
    for body in (first, b"nonsense"):
        write_frame(requests, body)
    requests.seek(0)
    with pytest.raises(WireError):
        serve(requests, io.BytesIO())
