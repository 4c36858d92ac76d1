"""What the verbs of ``medfl policy`` do: write a policy, say what it means, and what it would say to a study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medfl.errors import Complaint, PlanError, RefusedError
from medfl.run.plan import RunPlan, compile, whole_budget
from medfl.site import admission
from medfl.site.policy import Verdict
from medfl.site.rules import Rules
from medfl.site.rules_template import template
from medfl.spec.data import Data
from medfl.spec.reading import read as read_study
from medfl.spec.study import Study


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a policy says to one way in which a study is run.

    Parameters
    ----------
    name
        The arm, or the baseline.
    digest
        What it is known by at the site.
    verdicts
        One for each rule.
    """

    name: str
    digest: str
    verdicts: tuple[Verdict, ...]

    @property
    def complaints(self) -> tuple[Complaint, ...]:
        """The noes, each with its rule, its reason and its remedy."""
        return tuple(
            Complaint(verdict.reason, f"{self.name}, rule {verdict.rule}", "", verdict.remedy)
            for verdict in self.verdicts
            if not verdict.allowed
        )


def write(path: Path) -> None:
    """Write a policy to start from; never over another.

    Raises
    ------
    PlanError
        If there is a file already, or it cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template(path.name))
    except FileExistsError:
        raise PlanError(
            "there is such a file already", where=str(path), remedy="name another one, or remove it first"
        ) from None
    except OSError as error:
        raise PlanError(
            f"the policy cannot be written: {error.strerror}", where=str(path), remedy="check the folder"
        ) from error


def rulings(rules: Rules, study: Path) -> tuple[Ruling, ...]:
    """Return what a policy says to each arm and baseline of a study, as far as it can be said without tables.

    Raises
    ------
    MedflError
        What is wrong with the study.
    """
    asked = asked_of(read_study(study).study)
    return tuple(Ruling(name, one.digest, tuple(admission.of_study(rules, one))) for name, one in asked.items())


def asked_of(study: Study) -> dict[str, Study]:
    """Return what sites are asked for when a study is run, arms and baselines by name, each as a study of its own.

    Raises
    ------
    PlanError
        If it cannot be run.
    """
    plans = {plan.arm: _as_asked(plan) for plan in compile(study) if plan.role != "centralised"}
    return {name: plan.study for name, plan in plans.items()}


def require(found: tuple[Ruling, ...]) -> None:
    """Raise what a policy refuses, all at once.

    Raises
    ------
    RefusedError
        If it refuses anything.
    """
    complaints = [complaint for ruling in found for complaint in ruling.complaints]
    if complaints:
        raise RefusedError.of(list(dict.fromkeys(complaints)))


def _as_asked(plan: RunPlan) -> RunPlan:
    """Return a plan as sites are asked for it: what each trains alone, in one go."""
    if plan.role != "local-only":
        return plan
    sites = _number_of_sites(plan.study.data)
    return whole_budget(plan, sites=1, share=plan.study.algorithm.asked(sites) / sites)


def _number_of_sites(data: Data) -> int:
    """Return how many sites a study names; one where it does not say."""
    if data.simulate is not None:
        return data.simulate.sites or len(data.simulate.names or ()) or 1
    return len(data.sites or ()) or 1
