"""Which studies a site was asked to take part in, and what its people have decided: one file a study, by its digest.

An approval holds for one digest and one data set as it was registered then: a study that differs in one key, or a data
set that is read from elsewhere, is asked about anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationError

from medfl.errors import NotFoundError, PlanError, RefusedError, StoreError, did_you_mean, listed
from medfl.privacy.durable import write_durably
from medfl.site.place import Place
from medfl.spec.part import Part
from medfl.spec.study import Study

if TYPE_CHECKING:
    # The agent asks whether a study is approved, and has no need of what reads tables.
    from medfl.site.datasets import DataSet

MOST_WAITING = 200
"""Studies that wait at once: whoever runs a hub must not fill a hospital's disk."""
LARGEST = 2**20
"""Characters of the largest study that is kept."""
LONGEST_REASON = 500
"""Characters of the longest reason for a no."""
_DIGITS = re.compile(r"[0-9a-f]{4,64}")


class Asked(Part):
    """A study that was asked for, and what was decided."""

    text: str
    """The study, canonical."""
    asked: str
    """When it came first, in UTC."""
    verdict: Literal["waiting", "approved", "refused"] = "waiting"
    by: Literal["", "person", "policy"] = ""
    """Who decided."""
    decided: str = ""
    """When, in UTC."""
    reason: str = Field(default="", max_length=LONGEST_REASON)
    """Why it was refused; whoever runs the study reads it."""
    dataset: str = ""
    """Name of the data set that it may use."""
    read: str = ""
    """Digest of where and how that was read then."""

    @cached_property
    def study(self) -> Study:
        """The study itself."""
        return Study.model_validate_json(self.text)

    def holds(self, dataset: DataSet | None) -> bool:
        """Say whether it is approved for this data set as it is registered now."""
        return self.verdict == "approved" and dataset is not None and self.read == dataset.digest


class Approvals:
    """The studies of one site.

    Parameters
    ----------
    place
        The site's folder.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._folder = place.studies

    def all(self) -> dict[str, Asked]:
        """Return every study by its digest, the one that came first before the others.

        Raises
        ------
        StoreError
            If a file is damaged.
        """
        found = [(path.stem, self._read(path)) for path in self._files()]
        return dict(sorted(found, key=lambda one: (one[1].asked, one[0])))

    def find(self, digest: str) -> Asked | None:
        """Return what is known of a study; None where it was never asked for.

        Raises
        ------
        StoreError
            If its file is damaged.
        """
        path = self._path(digest)
        return self._read(path) if path.exists() else None

    def named(self, digits: str) -> tuple[str, Asked]:
        """Return the one study whose digest begins so, and its digest.

        Raises
        ------
        NotFoundError
            If there is none, or more than one.
        """
        known = [path.stem for path in self._files()]
        found = [digest for digest in known if _DIGITS.fullmatch(digits) and digest.startswith(digits)]
        if len(found) == 1:
            return found[0], self._read(self._path(found[0]))
        if found:
            raise NotFoundError(
                "several studies begin so", received=digits, remedy=f"write more digits: {listed(sorted(found), 4)}"
            )
        hint = did_you_mean(digits, [one[:12] for one in known]) if known else ""
        raise NotFoundError(
            "no study with this digest was asked for",
            received=repr(digits),
            remedy=hint or "see which there are: medfl site studies; or name the study's file (.toml)",
        )

    def take_up(self, study: Study) -> Asked:
        """Return what is known of a study; a new one waits from now on.

        Raises
        ------
        RefusedError
            If too many wait already, or it is larger than any study needs to be.
        StoreError
            If it cannot be written.
        """
        known = self.find(study.digest)
        if known is not None:
            return known
        text = study.canonical
        if len(text) > LARGEST:
            raise RefusedError("the study is too large to be kept for approval", received=f"{len(text)} characters")
        with self._place.changing(self._folder):
            if sum(one.verdict == "waiting" for one in self.all().values()) >= MOST_WAITING:
                raise RefusedError(
                    "too many studies wait for approval at this site",
                    received=f"{MOST_WAITING} studies",
                    remedy="ask its people to decide on some: medfl site studies",
                )
            return self._write(study.digest, Asked(text=text, asked=_now()))

    def approve(self, study: Study, name: str, dataset: DataSet, *, by: Literal["person", "policy"]) -> Asked:
        """Let a study use a data set as it is registered now."""
        words = {"verdict": "approved", "by": by, "reason": "", "dataset": name, "read": dataset.digest}
        return self._decide(study, words)

    def refuse(self, study: Study, *, reason: str) -> Asked:
        """Let a study use nothing; an approval that it had is gone.

        Raises
        ------
        PlanError
            If the reason is too long to be read.
        """
        require_short(reason)
        return self._decide(study, {"verdict": "refused", "by": "person", "reason": reason, "dataset": "", "read": ""})

    def last_approved(self, study: Study) -> tuple[str, Asked] | None:
        """Return the study of the same name that was approved last, but this one, and its digest."""
        same = [
            (digest, one)
            for digest, one in self.all().items()
            if one.verdict == "approved" and one.study.study.name == study.study.name and digest != study.digest
        ]
        return max(same, key=lambda one: (one[1].decided, one[0]), default=None)

    def _decide(self, study: Study, words: dict[str, str]) -> Asked:
        with self._place.changing(self._folder):
            before = self.find(study.digest)
            asked = before.asked if before is not None else _now()
            decided = Asked.model_validate({"text": study.canonical, "asked": asked, "decided": _now(), **words})
            return self._write(study.digest, decided)

    def _files(self) -> Iterator[Path]:
        return (path for path in self._folder.glob("*.json") if _DIGITS.fullmatch(path.stem))

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest}.json"

    def _read(self, path: Path) -> Asked:
        try:
            asked = Asked.model_validate_json(path.read_bytes())
            sound = asked.study.digest == path.stem
        except (OSError, ValidationError) as error:
            raise _damaged(path, type(error).__name__) from None
        if not sound:
            raise _damaged(path, "another study than its name says")
        return asked

    def _write(self, digest: str, asked: Asked) -> Asked:
        write_durably(self._path(digest), json.dumps(asked.model_dump(mode="json"), ensure_ascii=False) + "\n")
        return asked


def require_short(reason: str) -> None:
    """Refuse a reason that nobody would read to its end.

    Raises
    ------
    PlanError
        If it is one.
    """
    if len(reason) > LONGEST_REASON:
        raise PlanError(
            "the reason is too long",
            received=f"{len(reason)} characters",
            remedy=f"use {LONGEST_REASON} at most",
        )


def _now() -> str:
    # To the millisecond: what came first is shown first.
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _damaged(path: Path, found: str) -> StoreError:
    return StoreError(
        "what was decided on a study cannot be read",
        where=str(path),
        received=found,
        remedy="remove the file: the study is asked about anew",
    )
