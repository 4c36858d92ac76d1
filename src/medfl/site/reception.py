"""Where a hospital takes requests: is the site paused, is the study approved, what does the site answer; all logged.

A simulation has no reception: its sites are asked directly, and nobody approves anything.
"""

from __future__ import annotations

import logging
import secrets
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from medfl.errors import Complaint, MedflError, RefusedError, SpecError, StoreError, WireError
from medfl.messages import SITTING, Refusal, Reply, Request
from medfl.privacy.secure.member import Member
from medfl.site import admission
from medfl.site.answer import Site
from medfl.site.approvals import Approvals, Asked
from medfl.site.audit import AuditLog, line_of
from medfl.site.begun import BegunWith, Stamp, changed
from medfl.site.datasets import DataSet, Datasets
from medfl.site.memory import FolderVault
from medfl.site.place import Place, require_going_on
from medfl.site.purse import ledger_purse
from medfl.site.remembered import Remembered
from medfl.site.rules import ANY, Rules
from medfl.site.rules_reading import read
from medfl.site.written import Written
from medfl.spec.harmonising import name_there
from medfl.spec.study import Study

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("medfl.site")

SHORT = 12
"""Digits of a digest that are told."""
_OPEN = 4
"""Tables that are kept open at once."""


class Reception:
    """The site of one hospital, as its hub meets it.

    Parameters
    ----------
    place
        The site's folder.
    name
        The site's name at its hub.
    member
        Its part in secure aggregation; without one it takes part in no such sum.
    sitting
        What its replies name this process by, so that the hub can tell when another one has taken its place; a word is
        drawn where None. No result depends on it.
    """

    def __init__(self, place: Place, name: str, *, member: Member | None = None, sitting: str | None = None) -> None:
        self.name = name
        self._sitting = sitting or secrets.token_hex(4)
        self._place, self._member = place, member
        self._log, self._approvals, self._datasets = AuditLog(place.log), Approvals(place), Datasets(place)
        self._sites: dict[tuple[object, ...], Site] = {}
        self._begun = BegunWith(place.folder / "begun.json")

    def answer(self, request: Request) -> Reply | Refusal:
        """Answer a request or refuse it, with a line in the audit log that is on the disk before this returns.

        A refusal by the reception itself has the code "refused", like every no of a policy.
        """
        digest, dataset = "", ""
        try:
            study = _study(request)
            digest = study.digest
            if request.task == "stopped":
                # Whoever reads the log knows why no more is asked; nothing of a table is looked at.
                return self._noted(request, Reply(request=request.id, site=self.name), digest=digest)
            if request.task == "consider":
                return self._noted(request, self._considered(study, request), digest=digest)
            rules, dataset, registered = self._admitted(study, request)
            answer = self._site(request, rules, dataset, registered).answer(request)
            if isinstance(answer, Reply):
                answer = replace(answer, content={**answer.content, SITTING: self._sitting})
        except MedflError as error:
            answer = self._refusal(request, error)
        return self._noted(request, answer, digest=digest, dataset=dataset)

    def _noted(self, request: Request, answer: Reply | Refusal, *, digest: str, dataset: str = "") -> Reply | Refusal:
        """Return the answer once it is in the log; without that, a refusal."""
        try:
            self._log.append(line_of(request, answer, digest=digest, dataset=dataset))
        except StoreError as error:
            return self._refusal(request, error)
        return answer

    def _admitted(self, study: Study, request: Request) -> tuple[Rules, str, DataSet]:
        """Return what the policy says, and the data set that the study may use, while the site is not paused."""
        require_going_on(self._place)
        rules = self._rules()
        return rules, *self._approved(study, rules, request)

    def _considered(self, study: Study, request: Request) -> Reply:
        """Say whether a study may use the site, before it begins; nothing of a table is looked at.

        Raises
        ------
        RefusedError
            If the site is paused, or its policy says no.
        """
        require_going_on(self._place)
        asked, dataset = self._decided(study, self._rules())
        holds = asked.holds(dataset)
        verdict = "approved" if holds else "refused" if asked.verdict == "refused" else "waiting"
        why = "" if holds else _not_approved(asked, study).complaints[0].what
        return Reply(request=request.id, site=self.name, content={"verdict": verdict, "why": why})

    def _refusal(self, request: Request, error: MedflError) -> Refusal:
        # What is wrong with a site's own files is for its own people: the hub is told that something is.
        told = error.complaints
        if not isinstance(error, RefusedError | WireError):
            log.error("site %s at %s: %s", self.name, request.id, error)
            told = (_own_affair(request),)
        code = error.code if isinstance(error, WireError) else RefusedError.code
        return Refusal(request=request.id, site=self.name, code=code, complaints=told)

    def _rules(self) -> Rules:
        """Return what the policy says now.

        Raises
        ------
        RefusedError
            If the site has none, or it cannot be read.
        """
        path = self._place.policy
        if not path.is_file():
            raise RefusedError("the site has no policy, and so answers nobody", remedy="ask its people to write one")
        try:
            return read(path)
        except SpecError:
            raise RefusedError(
                "the site's policy has a mistake in it, and until it is mended the site answers nobody",
                remedy="ask its people to type: medfl policy check",
            ) from None

    def _approved(self, study: Study, rules: Rules, request: Request) -> tuple[str, DataSet]:
        """Return the data set that an approved study may use.

        Raises
        ------
        RefusedError
            If it is not approved.
        """
        asked, dataset = self._decided(study, rules)
        if not asked.holds(dataset) or dataset is None:
            raise _not_approved(asked, study)
        if request.seed not in study.seeds:
            raise RefusedError("an approval holds for the seeds of the study, and this is another", where="seed")
        return asked.dataset, dataset

    def _decided(self, study: Study, rules: Rules) -> tuple[Asked, DataSet | None]:
        """Return what was decided on a study, which waits from now on if it is new, and the data set it may use.

        Raises
        ------
        RefusedError
            If the policy says no, whatever its people say.
        """
        asked = self._approvals.take_up(study)
        known = self._datasets.all()
        if asked.verdict == "waiting" and rules.approval.mode == "within-policy":
            asked = self._by_rule(study, rules, known) or asked
        require_accepted(rules, study, site=self.name)
        return asked, known.get(asked.dataset)

    def _by_rule(self, study: Study, rules: Rules, known: dict[str, DataSet]) -> Asked | None:
        """Approve what the standing rule lets in without a person; None where it does not."""
        name = dataset_for(study, self.name, known)
        if name is None or any(not verdict.allowed for verdict in admission.of_study(rules, study, site=self.name)):
            return None
        self._log.append(decision("approved", study, by="policy", dataset=name))
        return self._approvals.approve(study, name, known[name], by="policy")

    def _site(self, request: Request, rules: Rules, name: str, dataset: DataSet) -> Site:
        """Return what answers from a data set; a run sees the table as it was when the run began.

        Raises
        ------
        RefusedError
            If that table is not open any more, and the file is another one now.
        """
        stamp = self._begun.stamp(request.run, dataset.digest, _stamp(dataset, request))
        key = (dataset.digest, stamp, rules.model_dump_json())
        site = self._sites.pop(key, None)
        if site is None:
            if stamp != _stamp(dataset, request):
                raise changed()
            site = self._opened(request, rules, name, dataset)
        self._sites = dict([*self._sites.items(), (key, site)][-_OPEN:])
        return site

    def _opened(self, request: Request, rules: Rules, name: str, dataset: DataSet) -> Site:
        folder, data = self._place.folder, _study(request).data
        named = rules.model_copy(update={"accepts": rules.accepts.model_copy(update={"studies": ANY})})
        policy = Written(named, Remembered(self._place.told(name)))

        def table() -> pd.DataFrame:
            found = dataset.table(data)
            if dataset.query is None:
                return found
            return self._begun.require_same(request.run, dataset.digest, found)

        site = Site(
            self.name,
            table,
            vault=FolderVault(folder / "vault" / name),
            policy=policy,
            base=folder / "lists",
            purse=ledger_purse(folder, name, allowance=policy.budget),
        )
        site.member = self._member
        return site


def require_accepted(rules: Rules, study: Study, *, site: str) -> None:
    """Refuse what no approval could let in: all that the policy says no to, but the study's name.

    Raises
    ------
    RefusedError
        With every no.
    """
    complaints = [
        Complaint(f"the site's policy says no: {verdict.reason}", f"rule {verdict.rule}", "", verdict.remedy)
        for verdict in admission.of_study(rules, study, site=site)
        if not verdict.allowed and verdict.rule != "accepts.studies"
    ]
    if complaints:
        raise RefusedError.of(complaints)


def dataset_for(study: Study, site: str, known: dict[str, DataSet]) -> str | None:
    """Return the data set that a study means at a site: the one it names for it, else the only one; None if unclear."""
    named = (study.data.sites or {}).get(site)
    if named is not None and named in known:
        return named
    target = name_there(study.data.translations(site), study.data.target)
    fitting = [name for name, dataset in known.items() if dataset.target == target]
    return fitting[0] if len(fitting) == 1 else None


def decision(what: str, study: Study, **more: str) -> dict[str, Any]:
    """Return the line of the log about what was decided on a study."""
    return {"is": "decision", "verdict": what, "study": study.study.name, "digest": study.digest, **more}


def _study(request: Request) -> Study:
    try:
        return Study.model_validate_json(request.study)
    except ValidationError:
        raise WireError(
            "a request brings a study that is none",
            received=f"{len(request.study)} characters",
            remedy="check that hub and sites run the same version of MEDfl",
        ) from None


def _not_approved(asked: Asked, study: Study) -> RefusedError:
    short = study.digest[:SHORT]
    if asked.verdict == "refused":
        because = f": {asked.reason}" if asked.reason else ""
        return RefusedError(f"the site's people have refused this study{because}", where=f"study {short}")
    what = "waits for" if asked.verdict == "waiting" else "is approved for a data set that has changed, and waits for"
    return RefusedError(
        f"the study {what} approval by the site's people",
        where=f"study {short}",
        remedy=f"ask them to read it: medfl site show {short}, and to approve or refuse it",
    )


def _own_affair(request: Request) -> Complaint:
    return Complaint(
        f"the site cannot answer at the stage {request.task!r} because of something in its own folder",
        remedy="its own people see what it is: medfl site dataset check, medfl site log --verify",
    )


def _stamp(dataset: DataSet, request: Request) -> Stamp:
    """Return what changes when a file does; of a database, the run."""
    if dataset.query is None:
        with suppress(OSError):  # That a file is not there is said by who opens it.
            about = Path(dataset.source).stat()
            return about.st_mtime_ns, about.st_size
    return request.run
