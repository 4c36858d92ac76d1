"""Which sites were asked about a study before it begins, what they said, and whether it may begin now."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from medfl.channel import REASON, moment, plain, unreadable
from medfl.enrolment import json_of
from medfl.errors import WireError
from medfl.hub.presence import Presence
from medfl.hub.queue import Entry
from medfl.hub.told import Told
from medfl.private import make_private, write_private

FOLDER = "asked"
AGAIN = 60.0
"""Seconds after which a site is asked once more that did not answer, or that cannot tell what it decides."""
Said = Literal["approved", "waiting", "refused", "untold", "unanswered"]
_SAID: tuple[Said, ...] = ("approved", "untold", "unanswered", "waiting", "refused")
"""From what lets a study begin to what does not: of several answers of a site, the last counts."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a site said of one study.

    Parameters
    ----------
    said
        Approved, waits for its people, refused; untold by a site that is too old to be asked; or no answer came.
    why
        In the site's words.
    at
        When, in seconds since 1970, UTC.
    """

    said: Said
    why: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What the sites of an execution said, by site and by the digest of what they were asked for.

    Parameters
    ----------
    at
        When they were last asked, in seconds since 1970, UTC.
    sites
        Their answers.
    times
        How often they were asked.
    """

    at: float = 0.0
    sites: Mapping[str, Mapping[str, Answer]] = field(default_factory=dict)
    times: int = 0

    @classmethod
    def of(cls, folder: Path, execution: str) -> Self:
        """Return what a hub's folder says of an execution; nothing where it says nothing that can be read."""
        with suppress(OSError, WireError, ValueError, AttributeError):
            said = json_of((folder / FOLDER / f"{execution}.json").read_bytes())
            sites = {
                str(site): {str(digest): _answer(one) for digest, one in answers.items()}
                for site, answers in said.get("sites", {}).items()
            }
            return cls(moment(said.get("at")), sites, int(said.get("times", 0)))
        return cls()

    def keep(self, folder: Path, execution: str) -> None:
        """Write it down.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        make_private(folder / FOLDER)
        sites = {site: {digest: asdict(one) for digest, one in found.items()} for site, found in self.sites.items()}
        text = json.dumps({"at": self.at, "sites": sites, "times": self.times}, ensure_ascii=False)
        write_private(folder / FOLDER / f"{execution}.json", text.encode())

    def now(self, site: str, told: Told) -> Answer:
        """Return how a site stands, by its answers and by what it has told since; the worst of several."""
        found = [_newer(one, digest, told) for digest, one in self.sites.get(site, {}).items()]
        return max(found, key=lambda one: _SAID.index(one.said), default=Answer("unanswered"))


def may_go_on(folder: Path, entry: Entry) -> bool:
    """Say whether there is something to do for an execution now: to ask its sites, or to begin.

    Parameters
    ----------
    folder
        The hub's folder.
    entry
        The execution, in the queue.
    """
    asked, now = Asked.of(folder, entry.execution), time.time()
    if asked.at < entry.since:
        return True
    presence = Presence.at(folder)
    then = {site: asked.now(site, Told()).said for site in asked.sites}
    # What was let in once is not held up by what is decided later: the run itself is refused then.
    held = [site for site, said in then.items() if said == "waiting"]
    waits = [site for site in held if asked.now(site, Told.at(folder, site)).said == "waiting"]
    if not waits and entry.not_before <= now:
        return True
    # A site that is connected tells what its people decide; any other has to be asked, and so has one that came late.
    late = [site for site, said in then.items() if said == "unanswered" and presence.of(site)["connected"]]
    return now - asked.at > AGAIN and bool(late or any(not presence.of(site)["connected"] for site in waits))


def _newer(answer: Answer, digest: str, told: Told) -> Answer:
    """Return an answer, or what its site has told since. What a policy forbids, its people cannot let in."""
    news = told.decisions.get(digest)
    if news is None or news.heard <= answer.at or (answer.said == "refused" and news.verdict == "waiting"):
        return answer
    return Answer(news.verdict, news.reason or (answer.why if news.verdict == answer.said else ""), news.heard)


def _answer(said: Any) -> Answer:
    if said.get("said") not in _SAID:
        raise unreadable("an answer")
    return Answer(said["said"], plain(said.get("why"), REASON), moment(said.get("at")))
