"""The policy that a site has written: its rules, applied to every request, every reply and every failure."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from types import MappingProxyType

from medfl.errors import Complaint, RefusedError
from medfl.messages import Refusal, Request
from medfl.site import admission, leaving
from medfl.site.policy import Facts, Release, Verdict, unknown
from medfl.site.remembered import Remembered
from medfl.site.rules import ANY, BudgetRule, Rules
from medfl.spec.study import Study

log = logging.getLogger("medfl.site")


@dataclass(frozen=True, slots=True)
class Written:
    """A policy by its file.

    Parameters
    ----------
    rules
        What the file says.
    memory
        What was told before.
    """

    rules: Rules
    memory: Remembered

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The only columns of the table that studies may know of; all where None."""
        allowed = self.rules.accepts.columns
        return None if allowed == ANY else tuple(allowed)

    @property
    def budget(self) -> BudgetRule | None:
        """How much privacy may be spent on the table; None where the file does not say."""
        return self.rules.budget

    def admits(self, request: Request, study: Study, *, facts: Facts) -> Verdict:
        """Say whether every rule lets this request in; the first that does not gives the reason."""
        verdicts = admission.of_request(self.rules, request, study, facts)
        admitted = Verdict(True, "accepts", "the site's policy accepts the study")
        return next((verdict for verdict in verdicts if not verdict.allowed), admitted)

    def releases(self, release: Release) -> Release | Verdict:
        """Return what of it may leave, or the no of a rule."""
        no = unknown(release) or leaving.held_back(self.rules, release) or self._about_rows(release)
        return no or leaving.changed(self.rules, release)

    def tells(self, refusal: Refusal, request: Request) -> Refusal:
        """Let the reasons of a failure leave where the policy says so; else its kind only. A rule's no always does."""
        if self.rules.releases.errors == "details" or refusal.code == RefusedError.code:
            return refusal
        log.warning("site %s at %s: %s", request.site, request.id, refusal.reason)
        told = Complaint(
            f"the site could not do what was asked at the stage {request.task!r}",
            remedy="its own people find the reason in the site's log; its policy lets no more be told",
        )
        return replace(refusal, complaints=(told,))

    def _about_rows(self, release: Release) -> Verdict | None:
        """Return a no where the rows that are asked about are too few, or nearly those of an earlier answer."""
        request = release.request
        agreement = request.content.get("agreement")
        # All rounds of a run ask about the same rows: they are looked at once.
        question = json.dumps([request.study, request.seed, agreement])
        if self.memory.has_answered(question):
            return None
        few = leaving.too_few_rows(self.rules, release) if agreement is not None else None
        no = few or self._too_near(release)
        if no is None:
            self.memory.answered(question)
        return no

    def _too_near(self, release: Release) -> Verdict | None:
        fewest = self.rules.counts.minimum_difference
        # From answers with noise on them nothing can be subtracted; the refusal would have none.
        if fewest == 1 or release.is_noised:
            return None
        near = self.memory.too_near(release.facts.used(), fewest=fewest)
        if near is None:
            return None
        return Verdict(
            False,
            "counts.minimum_difference",
            f"{_SETS[near]} would differ by fewer than {fewest} from what was told before, and could be subtracted",
            "ask about the same rows as before: the same columns, test rows, outcome and groups",
        )


_SETS = MappingProxyType(
    {
        "rows": "the training or test rows",
        "class": "the patients of an outcome",
        "group": "a group of patients",
        "missing": "the patients without a value in a column",
    }
)
"""What each kind of row set is called."""
