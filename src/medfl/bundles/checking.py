"""Verifies a bundle: each thing that it claims, looked at by itself and told in a sentence.

Whoever changes a bundle has to sign it anew, and the signature is then another key's. But even a bundle that its own
maker has changed does not hold together: study, models, results and ε are compared with the journal, and that with
itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from medfl.bundles import kept, spent
from medfl.bundles.archive import Archive, opened
from medfl.bundles.contents import (
    CANONICAL,
    JOURNAL,
    METRICS,
    PLAN,
    PRIVACY,
    SCHEMAS,
    VERSIONS,
    computed,
    models_of,
    planned_runs,
    schemas,
)
from medfl.bundles.crate import NAME as CRATE
from medfl.bundles.signing import Signature, checked
from medfl.bundles.writing import FORMAT, MANIFEST, NEWEST, SIGNATURE
from medfl.errors import BundleError, MedflError, MissingExtraError, VersionError
from medfl.foreign import printable, understood
from medfl.store.folding import view_execution, view_run
from medfl.store.journal import Recorded
from medfl.store.summary import summary
from medfl.store.views import ExecutionView, RunView

Verdict = Literal["sound", "wrong", "not looked at"]
STRANGE = (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, ArithmeticError, RecursionError)
"""What a file can make a reader raise that is not what it should be, though it is signed."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Parameters
    ----------
    name
        What.
    verdict
        What came of it.
    text
        In a sentence or two.
    """

    name: str
    verdict: Verdict
    text: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What a bundle was found to be.

    Parameters
    ----------
    path
        The bundle.
    checks
        Everything that was looked at, in order.
    study, execution, digest
        What is in it; empty where that cannot be told.
    signer, authority
        Fingerprint of the key that signed it, and of the hub's authority that vouches for that; empty where none does.
    """

    path: Path
    checks: tuple[Check, ...]
    study: str = ""
    execution: str = ""
    digest: str = ""
    signer: str = ""
    authority: str = ""

    @property
    def sound(self) -> bool:
        """Whether nothing was found wrong."""
        return all(check.verdict != "wrong" for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Return it as ``medfl verify --json`` prints it."""
        return {
            "sound": self.sound,
            "study": self.study,
            "execution": self.execution,
            "digest": self.digest,
            "signer": self.signer,
            "authority": self.authority,
            "checks": [{"check": one.name, "verdict": one.verdict, "text": one.text} for one in self.checks],
        }


def verify(path: Path, *, signer: str | None = None) -> Verified:
    """Look whether a bundle is what it says it is.

    Parameters
    ----------
    path
        The bundle.
    signer
        Fingerprint of the key that is to have signed it, or of the authority that is to vouch for the key.

    Raises
    ------
    NotFoundError
        If there is no such file.
    VersionError
        If a newer version of MEDfl wrote it.
    """
    checks: list[Check] = []
    try:
        with opened(path) as archive:
            checks.append(Check("archive", "sound", f"{len(archive.names)} files, and nothing between or behind them."))
            return _Verifying(path, archive, signer, checks).verified()
    except BundleError as error:
        what = "archive" if not checks else "bundle"
        return Verified(path, (*checks, Check(what, "wrong", told(error))))


def told(error: MedflError) -> str:
    """Return an error as one sentence after the other."""
    texts = [
        f"{one.where + ': ' if one.where else ''}{one.what}{f' (found: {one.received})' if one.received else ''}."
        for one in error.complaints[:5]
    ]
    more = len(error.complaints) - len(texts)
    return printable(" ".join([*texts, *([f"And {more} more."] if more > 0 else [])]))


@dataclass
class _Verifying:
    """A bundle that is open, and what was found so far."""

    path: Path
    archive: Archive
    trusted: str | None
    checks: list[Check]
    manifest: Mapping[str, Any] = field(default_factory=dict)
    signature: Signature | None = None
    events: tuple[Recorded, ...] = ()
    view: ExecutionView | None = None

    def verified(self) -> Verified:
        """Look at one thing after the other; what builds on something that is wrong is not looked at."""
        listed = self._look("list of files", self._listed)
        if listed:
            self._look("files", self._files)
            if self._look("signature", self._signed):
                self._look("signer", self._signer)
            if self._look("journal", self._journal):
                for name, look in self._in_the_journal():
                    self._look(name, look)
        view, signature = self.view, self.signature
        return Verified(
            self.path,
            tuple(self.checks),
            study=printable(str(view.study)) if view else "",
            execution=printable(str(view.execution)) if view else "",
            digest=printable(str(view.digest)) if view else "",
            signer=signature.fingerprint if signature else "",
            authority=signature.vouched.fingerprint if signature and signature.vouched else "",
        )

    def _in_the_journal(self) -> Iterator[tuple[str, Callable[[], str]]]:
        yield "study", self._study
        yield "models", self._models
        yield "provenance", self._provenance
        yield "results", self._results
        yield "privacy", self._privacy
        yield "description", self._described

    def _look(self, name: str, look: Callable[[], str]) -> bool:
        """Look at one thing, and say whether it is sound."""
        try:
            verdict: Verdict = "sound"
            text = look()
        except _NotLookedAt as missing:
            verdict, text = "not looked at", str(missing)
        except VersionError:
            raise
        except MedflError as error:
            verdict, text = "wrong", told(error)
        except STRANGE as error:
            verdict, text = "wrong", f"It cannot be read: {type(error).__name__}."
        self.checks.append(Check(name, verdict, text))
        return verdict == "sound"

    def _listed(self) -> str:
        words = understood(self.archive.read(MANIFEST))
        if words["format"] != FORMAT or type(words["version"]) is not int or not isinstance(words["files"], dict):
            raise BundleError("this is no list of a bundle's files", where=MANIFEST)
        if words["version"] > NEWEST:
            raise VersionError(
                "the bundle was made by a newer version of MEDfl",
                where=str(self.path),
                received=f"format {words['version']}, this version reads up to {NEWEST}",
                remedy="upgrade: pip install --upgrade medfl",
            )
        self.manifest = words
        return f"Written by MEDfl {printable(str(words['medfl']))[:40]}."

    def _files(self) -> str:
        listed: Mapping[str, Any] = self.manifest["files"]
        there = set(self.archive.names) - {MANIFEST, SIGNATURE}
        wrong = [f"{name} is missing" for name in sorted(set(listed) - there)]
        wrong += [f"{name} is in nobody's list" for name in sorted(there - set(listed))]
        for name in sorted(there & set(listed)):
            if self._digest(name) != (listed[name]["sha256"], listed[name]["bytes"]):
                wrong.append(f"{name} is not as it was when it was listed")
        if wrong:
            more = f", and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            raise BundleError(f"{'; '.join(wrong[:5])}{more}")
        return f"Each of {len(listed)} files has the SHA-256 that the list gives."

    def _digest(self, name: str) -> tuple[str, int]:
        sha, size = hashlib.sha256(), 0
        with self.archive.open(name) as body:
            while part := body.read(2**20):
                sha.update(part)
                size += len(part)
        return sha.hexdigest(), size

    def _signed(self) -> str:
        self.signature = checked(self.archive.read(SIGNATURE), self.archive.read(MANIFEST))
        vouched = self.signature.vouched
        by = f", for which the hub's authority {vouched.fingerprint} vouches" if vouched else ""
        return f"The list is signed by the key {self.signature.fingerprint}{by}."

    def _signer(self) -> str:
        if self.signature is None or self.trusted is None:
            raise _NotLookedAt("Whose key that is nobody has said: compare its fingerprint, or give it with --signer.")
        if not self.signature.is_by(self.trusted):
            raise BundleError("the bundle is signed by another key than the one that was asked for", where=SIGNATURE)
        return "It is the key that was asked for."

    def _journal(self) -> str:
        self.events, head = kept.read(self.archive.read(JOURNAL))
        said = self.manifest["journal"]
        if (said["head"], said["events"]) != (head, len(kept.lines(self.archive.read(JOURNAL)))):
            raise BundleError("the journal has another end than the list says", where=JOURNAL)
        runs = list(dict.fromkeys(one.event.run for one in self.events))
        self.view = view_execution([view_run(one for one in self.events if one.event.run == run) for run in runs])
        if self.view.execution != self.manifest["execution"] or {run.execution for run in self.view.every} != {
            self.view.execution
        }:
            raise BundleError("the journal is that of another execution", where=JOURNAL)
        return f"{len(self.events)} events of {len(runs)} runs, each with the hash of the one before."

    def _study(self) -> str:
        view = self._told()
        canonical = self.archive.read(CANONICAL)
        digest = hashlib.sha256(canonical).hexdigest()
        if {digest} != {self.manifest["digest"], *(run.digest for run in view.every)}:
            raise BundleError(
                "the study's digest is not the one that the journal has", where=CANONICAL, received=digest
            )
        if any(dict(run.spec) != json.loads(canonical) for run in view.every):
            raise BundleError("the study is not the one that the journal has", where=CANONICAL)
        return f"Its digest is the journal's: {digest}."

    def _models(self) -> str:
        view = self._told()
        runs = {run.run: run for run in view.every}
        places = models_of(view)
        for run, name in places.items():
            if self._digest(name)[0] != runs[run].model:
                raise BundleError("a model is not the one that the journal has", where=name)
        extra = {name for name in self.archive.names if name.endswith(".safetensors")} - set(places.values())
        if extra:
            raise BundleError("a model is there that the journal does not know", where=min(extra))
        if not places:
            raise _NotLookedAt("No run came so far as to have a model.")
        return f"{len(places)} {'model has' if len(places) == 1 else 'models have'} the digest that the journal has."

    def _provenance(self) -> str:
        view = self._told()
        said = {PLAN: planned_runs(view), SCHEMAS: schemas(view), VERSIONS: computed(view)}
        for name, now in said.items():
            found = understood(self.archive.read(name))
            if (found["runs"] if name == PLAN else found) != json.loads(json.dumps(now)):
                raise BundleError("this is told otherwise than in the journal", where=name)
        return "Plan, schemas, versions and seeds are those of the journal."

    def _results(self) -> str:
        view, said = self._told(), understood(self.archive.read(METRICS))
        now = json.loads(json.dumps(summary(view)))
        for kind in ("runs", "baselines"):
            pairs = zip(said[kind], now[kind], strict=True)
            for old, new in pairs:
                if any(old.get(key) != new.get(key) for key in ("run", "baseline", "arm", "seed", "model", "metrics")):
                    raise BundleError("the results are not those of the journal", where=METRICS)
        return f"Metrics of {len(said['runs'])} runs are those of the journal."

    def _privacy(self) -> str:
        view, said = self._told(), understood(self.archive.read(PRIVACY))
        promises = [(run, one) for run in view.every for one in spent.promises(run.run, self.events)]
        for run, one in promises:
            site = said["runs"][run.run]["sites"][one.site]
            if (site["epsilon"], site["delta"]) != (one.told, one.delta):
                raise BundleError("another ε than the journal's", where=PRIVACY, received=f"{one.run}, {one.site}")
            lines = said["ledgers"].get(one.site)
            if lines is not None and spent.from_ledger(lines, one.run) != one.released:
                raise BundleError("the ledger says otherwise than the journal", where=PRIVACY, received=one.run)
        if not promises:
            raise _NotLookedAt("Nothing was promised under differential privacy.")
        try:
            for run, one in promises:
                _require_added_up(run, one)
        except MissingExtraError as error:
            raise _NotLookedAt("ε was not added up again: that needs pip install 'medfl[dp]'.") from error
        return (
            f"ε of {len(promises)} {'ledger' if len(promises) == 1 else 'ledgers'} is what the accountant makes of it."
        )

    def _described(self) -> str:
        graph = understood(self.archive.read(CRATE))["@graph"]
        there = {one["@id"] for one in graph if one["@type"] == "File"}
        if there != set(self.archive.names) - {CRATE}:
            raise BundleError("the description is of other files", where=CRATE)
        if any(one["sha256"] != self.manifest["files"][one["@id"]]["sha256"] for one in graph if "sha256" in one):
            raise BundleError("the description has other digests than the list", where=CRATE)
        return "RO-Crate: every file is described, with the digest of the list."

    def _told(self) -> ExecutionView:
        if self.view is None:
            raise BundleError("there is no journal to compare with", where=JOURNAL)
        return self.view


class _NotLookedAt(Exception):  # noqa: N818 - it is no error
    """Why something was not looked at."""


def _require_added_up(run: RunView, one: spent.Promise) -> None:
    again = one.again(spent.accountant_of(run))
    if not spent.close(again, one.told):
        raise BundleError(
            "the accountant makes another ε of what was released",
            where=f"{one.run}, {one.site or 'all sites'}",
            received=f"ε {one.told:.4g} in the journal, {again:.4g} added up again",
        )
