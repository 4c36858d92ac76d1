"""Where a hospital takes requests: is the site paused, is the study approved, what does the site answer; all logged.

A simulation has no reception: its sites are asked directly, and nobody approves anything.
"""

from __future__ import annotations

import hashlib
import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from medfl.errors import Complaint, MedflError, RefusedError, SpecError, StoreError, WireError
from medfl.messages import Refusal, Reply, Request, from_bytes, to_bytes
from medfl.privacy.secure.member import Member
from medfl.site import admission
from medfl.site.answer import Site
from medfl.site.approvals import Approvals, Asked
from medfl.site.audit import AuditLog
from medfl.site.datasets import DataSet, Datasets
from medfl.site.memory import FolderVault
from medfl.site.place import Place
from medfl.site.purse import ledger_purse
from medfl.site.remembered import Remembered
from medfl.site.rules import ANY, Rules
from medfl.site.rules_reading import read
from medfl.site.written import Written
from medfl.spec.study import Study

log = logging.getLogger("medfl.site")

SHORT = 12
"""Digits of a digest that are told."""
_LONGEST = 200
"""Characters that are logged of a word that came from elsewhere."""
_OPEN, _RUNS = 4, 64
"""Tables that are kept open at once, and runs of which it is known how their tables were."""


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
    """

    def __init__(self, place: Place, name: str, *, member: Member | None = None) -> None:
        self.name = name
        self._place, self._member = place, member
        self._log, self._approvals, self._datasets = AuditLog(place.log), Approvals(place), Datasets(place)
        self._sites: dict[tuple[object, ...], Site] = {}
        self._stamps: dict[tuple[str, str], object] = {}

    def answer(self, request: Request) -> Reply | Refusal:
        """Answer a request or refuse it, with a line in the audit log that is on the disk before this returns.

        A refusal by the reception itself has the code "refused", like every no of a policy.
        """
        digest, dataset = "", ""
        try:
            study = _study(request)
            digest = study.digest
            rules, dataset, registered = self._admitted(study, request)
            answer = self._site(request, rules, dataset, registered).answer(request)
        except MedflError as error:
            answer = self._refusal(request, error)
        return self._noted(request, answer, digest=digest, dataset=dataset)

    def once_more(self, request: Request, given: bytes) -> Refusal | None:
        """Let an answer that was given before go out again, with a line in the log.

        Returns
        -------
        Refusal or None
            Why it stays in: the site is paused, or the study not approved any more.
        """
        try:
            study = _study(request)
            _, dataset, _ = self._admitted(study, request)
            before = from_bytes(given)
            if isinstance(before, Request):
                raise WireError("what was kept as an answer is none")
        except MedflError as error:
            return self.refuse(request, self._refusal(request, error))
        said = self._noted(request, before, digest=study.digest, dataset=dataset, verdict="repeated")
        return said if isinstance(said, Refusal) and said is not before else None

    def refuse(self, request: Request, why: MedflError | Refusal) -> Refusal:
        """Refuse a request for a reason that is not the reception's own, with a line in the log."""
        told = why
        if isinstance(told, MedflError):
            told = Refusal(request=request.id, site=self.name, code=told.code, complaints=told.complaints)
        self._noted(request, told, digest="", dataset="")
        return told

    def unread(self, body: bytes, error: MedflError) -> None:
        """Write down that something came that is no request."""
        line = {"is": "request", "verdict": "refused", "code": error.code, "reasons": [error.complaints[0].what]}
        with suppress(StoreError):  # It is refused all the same, and nothing of the site is in the answer.
            self._log.append(line | {"asked": hashlib.sha256(body).hexdigest(), "received": len(body)})

    def _noted(
        self, request: Request, answer: Reply | Refusal, *, digest: str, dataset: str, verdict: str = ""
    ) -> Reply | Refusal:
        """Return the answer once it is in the log; without that, a refusal."""
        line = _line(request, answer, digest=digest, dataset=dataset)
        try:
            self._log.append(line | ({"verdict": verdict} if verdict else {}))
        except StoreError as error:
            return self._refusal(request, error)
        return answer

    def _admitted(self, study: Study, request: Request) -> tuple[Rules, str, DataSet]:
        """Return what the policy says, and the data set that the study may use, while the site is not paused."""
        require_going_on(self._place)
        rules = self._rules()
        return rules, *self._approved(study, rules, request)

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
        asked = self._approvals.take_up(study)
        known = self._datasets.all()
        if asked.verdict == "waiting" and rules.approval.mode == "within-policy":
            asked = self._by_rule(study, rules, known) or asked
        require_accepted(rules, study)
        dataset = known.get(asked.dataset)
        if not asked.holds(dataset) or dataset is None:
            raise _not_approved(asked, study)
        if request.seed not in study.seeds:
            raise RefusedError("an approval holds for the seeds of the study, and this is another", where="seed")
        return asked.dataset, dataset

    def _by_rule(self, study: Study, rules: Rules, known: dict[str, DataSet]) -> Asked | None:
        """Approve what the standing rule lets in without a person; None where it does not."""
        name = dataset_for(study, self.name, known)
        if name is None or any(not verdict.allowed for verdict in admission.of_study(rules, study)):
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
        run = (request.run, dataset.digest)
        stamp = self._stamps.pop(run, None) or _stamp(dataset, request)
        self._stamps = dict([*self._stamps.items(), (run, stamp)][-_RUNS:])
        key = (dataset.digest, stamp, rules.model_dump_json())
        site = self._sites.pop(key, None)
        if site is None:
            if stamp != _stamp(dataset, request):
                raise RefusedError("the table has changed since this run began", remedy="start the run anew")
            site = self._opened(request, rules, name, dataset)
        self._sites = dict([*self._sites.items(), (key, site)][-_OPEN:])
        return site

    def _opened(self, request: Request, rules: Rules, name: str, dataset: DataSet) -> Site:
        folder, data = self._place.folder, _study(request).data
        named = rules.model_copy(update={"accepts": rules.accepts.model_copy(update={"studies": ANY})})
        policy = Written(named, Remembered(self._place.told(name)))
        site = Site(
            self.name,
            lambda: dataset.table(data),
            vault=FolderVault(folder / "vault" / name),
            policy=policy,
            base=folder / "lists",
            purse=ledger_purse(folder, name, allowance=policy.budget),
        )
        site.member = self._member
        return site


def require_going_on(place: Place) -> None:
    """Refuse while the site is paused.

    Raises
    ------
    RefusedError
        If it is.
    """
    if place.pause.exists():
        raise RefusedError(
            "the site is paused by its own people",
            remedy="go on without it, or ask them to type: medfl site continue",
        )


def require_accepted(rules: Rules, study: Study) -> None:
    """Refuse what no approval could let in: all that the policy says no to, but the study's name.

    Raises
    ------
    RefusedError
        With every no.
    """
    complaints = [
        Complaint(f"the site's policy says no: {verdict.reason}", f"rule {verdict.rule}", "", verdict.remedy)
        for verdict in admission.of_study(rules, study)
        if not verdict.allowed and verdict.rule != "accepts.studies"
    ]
    if complaints:
        raise RefusedError.of(complaints)


def dataset_for(study: Study, site: str, known: dict[str, DataSet]) -> str | None:
    """Return the data set that a study means at a site: the one it names for it, else the only one; None if unclear."""
    named = (study.data.sites or {}).get(site)
    if named is not None and named in known:
        return named
    fitting = [name for name, dataset in known.items() if dataset.target == study.data.target]
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


def _stamp(dataset: DataSet, request: Request) -> object:
    """Return what changes when a file does; of a database, the run."""
    if dataset.query is None:
        with suppress(OSError):  # That a file is not there is said by who opens it.
            about = Path(dataset.source).stat()
            return about.st_mtime_ns, about.st_size
    return request.run


def _line(request: Request, answer: Reply | Refusal, *, digest: str, dataset: str) -> dict[str, Any]:
    """Return what is logged of a request and its answer: names, reasons, sizes and hashes, and no number of a table."""
    body = to_bytes(answer)
    line: dict[str, Any] = {
        "is": "request",
        "verdict": "answered" if isinstance(answer, Reply) else "refused",
        "study": _name(request.study)[:_LONGEST],
        "digest": digest,
        "dataset": dataset,
        "run": request.run[:_LONGEST],
        "round": request.round,
        "task": request.task,
        "asked": hashlib.sha256(to_bytes(request)).hexdigest(),
        "said": hashlib.sha256(body).hexdigest(),
        "bytes": len(body),
    }
    if isinstance(answer, Reply):
        told = {"words": sorted(answer.content), "numbers": sorted(answer.arrays)}
        return line | told | {"held_back": list(answer.content.get("policy", ()))}
    reasons = [f"{one.where}: {one.what}" if one.where else one.what for one in answer.complaints]
    return line | {"code": answer.code, "reasons": reasons}


def _name(text: str) -> str:
    """Return what a study calls itself, also where it is none."""
    try:
        name = json.loads(text)["study"]["name"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return name if isinstance(name, str) else ""
