"""What can go wrong, as a tree.

::

    MedflError                      has a code, an exit code, and a sentence for each of: what, where, received, remedy
    ├── UserError                   exit code 2: the user can mend it
    │   ├── SpecError               the study's text is wrong
    │   ├── DataError               a table, a column or a row cannot be used
    │   ├── PlanError               the study is well written but cannot be carried out as asked
    │   ├── DivergedError           training left the finite numbers
    │   ├── RefusedError            a site said no
    │   ├── NotFoundError           no such run, study, file or artefact
    │   ├── BlockedError            something stands between a site and its hub
    │   ├── BusyError               another process is already on it
    │   ├── CrowdedError            too many ask for the same at this moment
    │   ├── StoppedError            somebody stopped the run
    │   ├── OutOfMemoryError        a site needs more memory than it may use
    │   ├── ModelFileError          an exported model cannot be read or used
    │   ├── EnrolmentError          hub and site do not come together: invitation, keys, approval
    │   ├── VersionError            hub and site have no version in common of what they say to each other
    │   └── MissingExtraError       an optional package is not installed
    └── SystemFault                 exit code 1: not the user's doing
        ├── StoreError              journal or artefacts cannot be read or written
        ├── EngineError             a worker or a connection was lost
        ├── SiteError               a site failed in a way it did not foresee
        ├── WireError               a message that cannot be what it says it is
        ├── BundleError             a bundle is not what it says it is
        ├── SecureError             a step of secure aggregation that its protocol forbids
        └── TooFewError             too few sites are left for a sum that hides each of them

An error that is about many things at once carries one :class:`Complaint` for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Self


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is wrong: what, where, what was received, what to do.

    Parameters
    ----------
    what
        The finding, as a sentence without its final full stop.
    where
        File and line, key, site, column or round; empty where it is plain.
    received
        What was found there; never a patient's value.
    remedy
        What to write or do instead.
    """

    what: str
    where: str = ""
    received: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        if self.received:
            head = f"{head} (found: {self.received})"
        return f"{head}\n  → {self.remedy}" if self.remedy else head


class MedflError(Exception):
    """The root of every error that MEDfl raises on purpose."""

    code = "medfl"
    exit_code = 1

    def __init__(self, what: str, *, where: str = "", received: str = "", remedy: str = "") -> None:
        self.complaints: tuple[Complaint, ...] = (Complaint(what, where, received, remedy),)
        super().__init__(str(self))

    @classmethod
    def of(cls, complaints: Sequence[Complaint]) -> Self:
        """Return one error that speaks all `complaints` (at least one)."""
        first = complaints[0]
        error = cls(first.what, where=first.where, received=first.received, remedy=first.remedy)
        error.complaints = tuple(complaints)
        error.args = (str(error),)
        return error

    def __str__(self) -> str:
        return "\n".join(str(complaint) for complaint in self.complaints)


def by_code(code: str) -> type[MedflError]:
    """Return the class of an error that travelled as its code; :class:`SiteError` for an unknown one."""
    pending = [MedflError]
    while pending:
        kind = pending.pop()
        if kind.code == code:
            return kind
        pending += kind.__subclasses__()
    return SiteError


class UserError(MedflError):
    """Something the user can mend; exit code 2."""

    code = "user"
    exit_code = 2


class SpecError(UserError):
    """The study's text is wrong: a syntax error, an unknown key, a value out of its range."""

    code = "spec"


class DataError(UserError):
    """A table, a column or a row cannot be used as the study asks."""

    code = "data"


class PlanError(UserError):
    """The study is well written but cannot be carried out as asked."""

    code = "plan"


class DivergedError(UserError):
    """Training left the finite numbers; the last good model is kept."""

    code = "diverged"


class RefusedError(UserError):
    """A site said no; the reason is the site's own sentence."""

    code = "refused"


class NotFoundError(UserError):
    """No such run, study, file or artefact."""

    code = "not-found"


class BlockedError(UserError):
    """Something stands between a site and its hub, or one of them lacks something."""

    code = "blocked"


class BusyError(UserError):
    """Another process is already working on the same run."""

    code = "busy"


class CrowdedError(UserError):
    """Too many ask for the same at this moment; a little later it can be done."""

    code = "crowded"


class StoppedError(UserError):
    """Somebody stopped the run with ``medfl stop``; what was finished is kept, and it can be resumed."""

    code = "stopped"


class OutOfMemoryError(UserError):
    """A site needs more memory than its hospital lets it use, or than its machine has."""

    code = "memory"


class ModelFileError(UserError):
    """An exported model cannot be read, or does not fit the table it is used on."""

    code = "model-file"


class EnrolmentError(UserError):
    """Hub and site do not come together: an invitation, a key, a certificate or an approval is missing or wrong."""

    code = "enrolment"


class VersionError(UserError):
    """Hub and site have no version in common of what they say to each other; the remedy says which to upgrade."""

    code = "version"


class MissingExtraError(UserError):
    """An optional package is not installed; the remedy is the pip line to type."""

    code = "missing-extra"


class SystemFault(MedflError):  # noqa: N818 - a fault is not an error of the user
    """Something that is not the user's doing; exit code 1."""

    code = "system"


class StoreError(SystemFault):
    """The journal or an artefact cannot be read or written: locked, corrupted, or the disk is full."""

    code = "store"


class EngineError(SystemFault):
    """A worker process or a connection was lost."""

    code = "engine"


class SiteError(SystemFault):
    """A site failed in a way it did not foresee; the full trace stays at the site."""

    code = "site"


class WireError(SystemFault):
    """A message is not what it says it is: truncated, oversized or malformed."""

    code = "wire"


class BundleError(SystemFault):
    """A bundle is not what it says it is: damaged, changed, or signed by somebody else."""

    code = "bundle"


class SecureError(SystemFault):
    """Secure aggregation stopped: a key, a list, a share or a request that its protocol does not allow."""

    code = "secure"


class TooFewError(SystemFault):
    """Too few sites are left for a sum that hides each of them."""

    code = "too-few"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"did you mean 'age'?"``, or nothing where no known name comes near."""
    spelled = {candidate.casefold(): candidate for candidate in known}
    close = get_close_matches(name.casefold(), spelled, n=1, cutoff=0.6)
    return f"did you mean {spelled[close[0]]!r}?" if close else ""


def listed(names: Iterable[str], most: int = 5) -> str:
    """Return ``"a, b and c"``, or the first few names and how many more there are."""
    shown = list(names)
    if len(shown) > most:
        return f"{', '.join(shown[:most])} and {len(shown) - most} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]])) if shown else "none"
