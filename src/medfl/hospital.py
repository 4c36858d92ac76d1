"""What the people of a hospital see of a study before they decide, and what they decide."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfl.errors import MedflError, NotFoundError, PlanError, listed
from medfl.inspection import Spending, spent
from medfl.learn.data.schema import described
from medfl.learn.data.sheet import Sheet
from medfl.learn.data.translated import translated
from medfl.policing import asked_of
from medfl.run.explain import Section, explain
from medfl.run.plan import compile
from medfl.site import admission
from medfl.site.approvals import Approvals, Asked, require_short
from medfl.site.audit import AuditLog
from medfl.site.datasets import DataSet, Datasets
from medfl.site.place import Place
from medfl.site.purse import hospital_ledger
from medfl.site.reception import SHORT, dataset_for, decision, require_accepted
from medfl.site.rules import ANY
from medfl.site.rules_reading import read as read_rules
from medfl.spec.anatomy import chosen, parts_of
from medfl.spec.harmonising import name_there
from medfl.spec.part import Part
from medfl.spec.reading import read as read_study
from medfl.spec.study import Study


@dataclass(frozen=True, slots=True)
class Known:
    """A study as a site knows it.

    Parameters
    ----------
    name
        What it is called, with the arm or baseline where a file names several.
    study
        What is asked.
    asked
        What was decided; None where its hub has not asked for it yet.
    verdict
        The same in a few words, with what the policy says of it now.
    """

    name: str
    study: Study
    asked: Asked | None
    verdict: str


class Hospital:
    """What a hospital's people do about studies.

    Parameters
    ----------
    place
        The site's folder.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.approvals, self.datasets = Approvals(place), Datasets(place)
        self.log = AuditLog(place.log)

    def studies(self) -> list[Known]:
        """Return every study that was asked for or decided on, in the order in which they came."""
        known = self.approvals.all()
        return [self._known(one.study.study.name, one.study, one) for one in known.values()]

    def meant(self, word: str) -> tuple[Study, list[Known]]:
        """Return the study that a digest or a file names, and all that a site is asked for when it is run.

        Raises
        ------
        MedflError
            If there is no such study, or the file is none.
        """
        if word.endswith(".toml"):
            whole = read_study(Path(word)).study
            return whole, [
                self._known(f"{whole.study.name}, {name}", one, self.approvals.find(one.digest))
                for name, one in asked_of(whole).items()
            ]
        asked = self.approvals.named(word)[1]
        return asked.study, [self._known(asked.study.study.name, asked.study, asked)]

    def wanted(self, whole: Study, known: Sequence[Known]) -> tuple[Section, ...]:
        """Say in plain language what a study wants, what is new since its like was approved, and what is against it.

        Parameters
        ----------
        whole
            The study.
        known
            All that the site is asked for.
        """
        return (
            *explain(whole, compile(whole)),
            *self._differences(known),
            Section("What the site's policy says", tuple(self._policy_says(known))),
            Section("At this site", tuple(self._fits(whole))),
        )

    def fitting(self, whole: Study) -> list[str]:
        """Return the data sets that a study may be given, the one that it most likely means first."""
        known = self.datasets.all()
        meant = dataset_for(whole, self.place.name, known)
        target = name_there(whole.data.translations(self.place.name), whole.data.target)
        return sorted(known, key=lambda name: (name != meant, known[name].target != target, name))

    def approve(self, known: Known, dataset: str | None) -> str:
        """Let a study use a data set, and return its name.

        Raises
        ------
        RefusedError
            If the policy says no to it whatever a person says.
        PlanError
            If it is not clear which data set is meant.
        """
        if not self.place.policy.is_file():
            raise PlanError(
                "the site has no policy, and without one answers nobody",
                where=str(self.place.policy),
                remedy=f"medfl policy init {self.place.policy}",
            )
        require_accepted(read_rules(self.place.policy), known.study, site=self.place.name)
        name = self._dataset(known.study, dataset)
        dataset_now = self.datasets.named(name)
        # The line comes first: the log may say more than happened, never less.
        self.log.append(decision("approved", known.study, by="person", dataset=name))
        self.approvals.approve(known.study, name, dataset_now, by="person")
        return name

    def refuse(self, known: Known, reason: str) -> None:
        """Let a study use nothing.

        Raises
        ------
        PlanError
            If the reason is too long to be read.
        """
        require_short(reason)
        self.log.append(decision("refused", known.study, by="person", reason=reason))
        self.approvals.refuse(known.study, reason=reason)

    def spent(self, delta: float) -> list[Spending]:
        """Return what each data set has spent of its patients' privacy, over all runs, told at this δ."""
        folder = self.place.folder
        return list(spent(hospital_ledger(folder), delta=delta)) if (folder / "ledger").is_dir() else []

    def pause(self) -> bool:
        """Answer nobody from now on; say whether that is new."""
        with self.place.changing():
            if self.place.pause.exists():
                return False
            self.log.append({"is": "decision", "verdict": "paused", "by": "person"})
            self.place.pause.touch(mode=0o600)
        return True

    def go_on(self) -> bool:
        """Answer again; say whether the site was paused."""
        with self.place.changing():
            if not self.place.pause.exists():
                return False
            self.log.append({"is": "decision", "verdict": "continued", "by": "person"})
            self.place.pause.unlink()
        return True

    def _known(self, name: str, study: Study, asked: Asked | None) -> Known:
        return Known(name, study, asked, self._verdict(study, asked))

    def _verdict(self, study: Study, asked: Asked | None) -> str:
        """Return what became of a study, in a few words."""
        if asked is not None and asked.verdict == "refused":
            return "refused"
        against = [verdict.rule for verdict in self._noes(study)]
        if against:
            return f"against the policy: {listed(against, 2)}"
        if asked is None:
            return "not asked yet"
        if asked.verdict == "waiting":
            return "waiting"
        if not asked.holds(self.datasets.all().get(asked.dataset)):
            return "waiting: its data set has changed"
        return "approved" if asked.by == "person" else "approved by the policy"

    def _noes(self, study: Study) -> list[Any]:
        if not self.place.policy.is_file():
            return []
        found = admission.of_study(read_rules(self.place.policy), study, site=self.place.name)
        return [verdict for verdict in found if not verdict.allowed and verdict.rule != "accepts.studies"]

    def _differences(self, known: Sequence[Known]) -> Iterator[Section]:
        for one in known:
            before = self.approvals.last_approved(one.study)
            if before is not None and not (one.asked is not None and one.asked.verdict == "approved"):
                which = f" of {one.name}" if len(known) > 1 else ""
                title = f"What is different{which} from {before[0][:SHORT]}, approved {moment(before[1].decided)}"
                yield Section(title, tuple(changes(before[1].study, one.study)))

    def _policy_says(self, known: Sequence[Known]) -> Iterator[str]:
        if not self.place.policy.is_file():
            yield f"There is no policy yet, so nobody is answered: medfl policy init {self.place.policy}"
            return
        noes = [verdict for one in known for verdict in self._noes(one.study)]
        yield from dict.fromkeys(f"No, by {verdict.rule}: {verdict.reason}; {verdict.remedy}." for verdict in noes)
        if not noes:
            yield "Every rule accepts it, once a person has approved it."

    def _fits(self, study: Study) -> Iterator[str]:
        """Say which data set it would use, and whether that has its columns, in its units."""
        try:
            name = self._dataset(study, None)
            dataset = self.datasets.named(name)
            known = read_rules(self.place.policy).accepts.columns if self.place.policy.is_file() else ANY
            yield from (f"Data set {name}: {sentence}" for sentence in fit(study, dataset, known, site=self.place.name))
        except MedflError as error:
            yield from (f"{one.what}; {one.remedy}." for one in error.complaints)

    def _dataset(self, study: Study, name: str | None) -> str:
        known = self.datasets.all()
        found = name or dataset_for(study, self.place.name, known)
        if found is not None:
            self.datasets.named(found)
            return found
        if not known:
            raise NotFoundError(
                "there is no data set yet", remedy="add one: medfl site dataset add NAME FILE --target COLUMN"
            )
        raise PlanError(
            "it is not clear which data set the study may use",
            received=f"target {study.data.target!r}",
            remedy=f"name one with --dataset: {listed(known, 12)}",
        )


def fit(study: Study, dataset: DataSet, known: tuple[str, ...] | str = ANY, *, site: str = "") -> Iterator[str]:
    """Say whether a table has the columns of a study, in its units.

    Parameters
    ----------
    study
        What is asked.
    dataset
        The table.
    known
        The columns that a study may know of, by the policy.
    site
        The site's name in the study.

    Raises
    ------
    MedflError
        If the table or its dictionary cannot be read.
    """
    there, meanings = Sheet(dataset.table(study.data)).showing(None if known == ANY else known), dataset.meanings()
    columns = study.data.translations(site)
    sheet = translated(there, columns)
    gone = [name for name in (study.data.target, *(study.data.features or ())) if name not in sheet.names]
    if gone:
        yield f"it does not have {listed(map(repr, gone), 8)}, so the study will fail here."
        return
    for name, unit in study.data.units.items():
        own = meanings[name].unit if name in meanings and name not in columns else ""
        if own and own.replace("L", "l") != unit.replace("L", "l"):  # A litre is written either way.
            yield f"the study takes {name} for {unit}, and the data dictionary says {own}."
    unusable = described(sheet, study.data)[1]
    if unusable:
        first = next(iter(unusable.values())).what
        yield (
            f"the study takes {listed(map(repr, unusable), 8)} into use, which it cannot ({first}): it must name its "
            "features, or columns in [accepts] of the policy must leave them out."
        )
    else:
        yield "it has all columns that the study asks for."


def changes(before: Study, now: Study) -> Iterator[str]:
    """Say key by key what is different, in the order of the study's language."""
    old, new = dict(_keys(_plain(before))), dict(_keys(_plain(now)))
    for path in dict.fromkeys([*old, *new]):
        if old.get(path) == new.get(path):
            continue
        key = f"{path[-1]} in [{'.'.join(path[:-1])}]" if path[:-1] else path[-1]
        what = _meaning(now, path) or _meaning(before, path)
        about = f" ({what.rstrip('.')})" if what else ""
        if path not in old:
            yield f"New: {key} = {_said(new[path])}{about}."
        elif path not in new:
            yield f"Gone: {key}, which was {_said(old[path])}{about}."
        else:
            yield f"{key}: was {_said(old[path])}, is now {_said(new[path])}{about}."


def moment(text: str) -> str:
    """Return a moment for people, in UTC, to the second."""
    return text[:19].replace("T", " ")


def _plain(study: Study) -> dict[str, Any]:
    plain: dict[str, Any] = study.model_dump(mode="json", exclude_none=True)
    return plain


def _keys(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _keys(inner, (*path, str(name)))
    else:
        yield path, value


def _said(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _meaning(study: Study, path: tuple[str, ...]) -> str:
    """Return what a key means, as the language's reference says."""
    part: type[Part] | None = Study
    value: Any = _plain(study)
    for step in path:
        field = part.model_fields.get(step) if part is not None else None
        value = value.get(step) if isinstance(value, Mapping) else None
        if field is None:
            return ""
        if step == path[-1] and not parts_of(field):
            return (field.description or "").partition("\n")[0]
        part = chosen(field, value)
    return ""
