"""What sites have told their hub, as far as it is kept: how each is, its last lines, what its data sets are like."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from medfl.channel import (
    DATASETS,
    DECISIONS,
    LINES,
    NAME,
    Decision,
    Hardware,
    State,
    decisions,
    entry,
    lines,
    plain,
    unreadable,
)
from medfl.enrolment import json_of
from medfl.errors import WireError
from medfl.private import write_private
from medfl.versions import Speaks

FOLDER = "told"
UNREAD = "the hub cannot read what the site tells of it"
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Told:
    """What one site has told.

    Parameters
    ----------
    state
        How it was when it told so last.
    speaks
        Which versions it speaks; None where it never said.
    trouble
        Why its last connection was refused; nothing where it was not.
    lines
        What it did, oldest first: ``at``, in seconds since 1970, and ``text``.
    datasets
        What its data sets are like, by name.
    known
        Whether it has said which data sets there are, as its policy lets it.
    decisions
        What its people have decided on studies, by the studies' digests, the newest last.
    hardware
        What its machine is like; None where its policy does not let that be told.
    """

    state: State | None = None
    speaks: Speaks | None = None
    trouble: str = ""
    lines: list[dict[str, Any]] = field(default_factory=list)
    datasets: dict[str, dict[str, Any]] = field(default_factory=dict)
    known: bool = False
    decisions: dict[str, Decision] = field(default_factory=dict)
    hardware: Hardware | None = None

    @classmethod
    def at(cls, folder: Path, site: str) -> Self:
        """Return what a hub's folder says of a site; nothing where it says nothing that can be read."""
        try:
            return cls.read(json_of((folder / FOLDER / f"{site}.json").read_bytes()))
        except (OSError, WireError, ValueError):
            return cls()

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Self:
        """Read what :meth:`keep` wrote.

        Raises
        ------
        WireError
            If it is none.
        """
        state, speaks, datasets = said.get("state"), said.get("speaks"), said.get("datasets", {})
        if not isinstance(datasets, Mapping):
            raise unreadable("data sets")
        return cls(
            None if state is None else State.read(state),
            None if speaks is None else Speaks.read(speaks),
            plain(said.get("trouble"), LINES * 10),
            lines(said.get("lines", [])),
            {str(name): entry(one) for name, one in datasets.items()},
            said.get("known") is True,
            decisions(said.get("decisions", {})),
            Hardware.read(said.get("hardware")),
        )

    def keep(self, folder: Path, site: str) -> None:
        """Write it down.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        write_private(folder / FOLDER / f"{site}.json", self.to_bytes())

    def to_bytes(self) -> bytes:
        """Return it as it is kept."""
        said = {
            "state": None if self.state is None else self.state.to_json(),
            "speaks": None if self.speaks is None else self.speaks.to_json(),
            "trouble": self.trouble,
            "lines": self.lines,
            "datasets": self.datasets,
            "known": self.known,
            "decisions": {digest: asdict(one) for digest, one in self.decisions.items()},
            "hardware": None if self.hardware is None else self.hardware.to_json(),
        }
        return (json.dumps(said, ensure_ascii=False) + "\n").encode()

    def hear(self, said: Mapping[str, Any]) -> None:
        """Take what a site tells.

        Raises
        ------
        WireError
            If it is nothing that a site tells.
        """
        match said.get("tell"):
            case "state":
                self.state = State.read(said.get("state"))
            case "lines":
                self.lines = [*self.lines, *lines(said.get("lines"))][-LINES:]
            case "decisions":
                self._decided(decisions(said.get("studies"), heard=time.time()))
            case "catalogue" if "all" in said:
                self._these(said["all"])
                self.hardware = Hardware.read(said.get("hardware"))
            case "catalogue":
                name = plain(said.get("dataset"), NAME)
                if name not in self.datasets:
                    raise unreadable("a data set that there is")
                self.datasets[name] = _entry(said.get("entry"), name)
            case _:
                raise unreadable("what a site tells")

    def shown(self) -> dict[str, Any]:
        """Return for people and programs how the site is, and what it runs."""
        said: dict[str, Any] = {"doing": "" if self.state is None else str(self.state)}
        said["state"] = None if self.state is None else self.state.to_json()
        said["version"] = "" if self.speaks is None else self.speaks.medfl
        said["hardware"] = None if self.hardware is None else self.hardware.to_json()
        return said | {"trouble": self.trouble}

    def _decided(self, news: Mapping[str, Decision]) -> None:
        """Know what was decided; what is told once more is no news."""
        for digest, one in news.items():
            before = self.decisions.pop(digest, None)
            same = before is not None and (before.verdict, before.reason) == (one.verdict, one.reason)
            self.decisions[digest] = before if same and before is not None else one
        self.decisions = dict(list(self.decisions.items())[-DECISIONS:])

    def _these(self, names: object) -> None:
        """Know that there are these data sets and no others; or nothing, where the site may not tell."""
        if names is None:
            self.datasets, self.known = {}, False
            return
        if not isinstance(names, list) or len(names) > DATASETS:
            raise unreadable("names of data sets")
        nothing = {"withheld": "it has not been told yet"}
        self.datasets = {name: self.datasets.get(name, nothing) for name in (plain(one, NAME) for one in names)}
        self.known = True


def _entry(said: object, name: str) -> dict[str, Any]:
    """Read what a site tells of a data set; where that cannot be read, say so in its place.

    It follows from a table: a site that were parted from for it would come back and tell the same, for as long as the
    table is like that.
    """
    try:
        return entry(said)
    except WireError as error:
        log.warning("what a site tells of its data set %s cannot be read: %s", name, error.complaints[0].received)
        return {"withheld": UNREAD}
