"""From a study to the runs that carry it out, or to every reason why it cannot be.

:func:`compile` is pure: it needs no data and trains nothing. A run is one arm, or one baseline, with one seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from medfl.errors import Complaint, PlanError
from medfl.events import Role
from medfl.spec.checks_of_secrecy import secrecy
from medfl.spec.model import Torch
from medfl.spec.study import Study


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One run.

    Parameters
    ----------
    role
        An arm, or the baseline it is.
    arm
        The arm's name; the role's for a baseline.
    seed
        The run's seed.
    study
        The arm as a study of its own.
    members
        Who trains; all sites where empty.
    orders
        The orders of sites that a Shapley value is estimated from.
    """

    role: Role
    arm: str
    seed: int
    study: Study
    members: tuple[str, ...] = ()
    orders: tuple[tuple[str, ...], ...] = ()

    @property
    def rounds(self) -> int:
        """Exchanges in which something is trained; a baseline trains in one go."""
        return self.study.algorithm.rounds if self.role in ("arm", "coalition") else 1


def compile(study: Study, *, sites: Sequence[str] | None = None, only: str | None = None) -> tuple[RunPlan, ...]:
    """Return the runs of a study: every arm for every seed, then every baseline for every seed.

    Parameters
    ----------
    study
        What is asked.
    sites
        Names of the sites that will take part, where known.
    only
        The one arm to run, without baselines; all of them where None.

    Raises
    ------
    PlanError
        With all reasons at once.
    """
    complaints = [*_unknown_arm(study, only), *hidden_contributions(study, sites), *_too_few_sites(study, sites)]
    if complaints:
        raise PlanError.of(complaints)
    arms = {name: arm for name, arm in study.arms.items() if only in (None, name)}
    runs = [RunPlan("arm", name, seed, arm) for name, arm in arms.items() for seed in study.seeds]
    if only is None:
        base = study.overridden({})
        runs += [RunPlan(role, role, seed, base) for role in study.evaluation.baselines for seed in study.seeds]
    return tuple(runs)


def _unknown_arm(study: Study, only: str | None) -> list[Complaint]:
    if only is None or only in study.arms:
        return []
    names = ", ".join(study.arms)
    return [Complaint("the study has no such arm", "--arm", only, f"choose one of: {names}")]


def hidden_contributions(study: Study, sites: Sequence[str] | None) -> Iterator[Complaint]:
    """Refuse what secure aggregation, asked for or on by default among so many sites, hides."""
    for name, arm in study.arms.items():
        for finding in secrecy(arm, sites=None if sites is None else len(sites)):
            part, key = map(str, finding.path)
            yield Complaint(finding.what, f"[{part}] {key} of arm {name!r}", remedy=finding.remedy)


def _too_few_sites(study: Study, sites: Sequence[str] | None) -> Iterator[Complaint]:
    if sites is None:
        return
    for name, arm in study.arms.items():
        rule = arm.algorithm
        for key in ("min_sites", "min_asked"):
            needed = getattr(rule, key)
            if needed is not None and needed > len(sites):
                yield Complaint(
                    "more sites are required than take part",
                    f"[algorithm] {key} of arm {name!r}",
                    f"{needed} required, {len(sites)} take part",
                    f"set {key} to {len(sites)} or less",
                )
        yield from _shortfall(arm, name, len(sites))


def _shortfall(arm: Study, name: str, sites: int) -> Iterator[Complaint]:
    """Refuse a rule that needs more contributions than all sites give, or a coalition whose contributions are asked."""
    rule, place = arm.algorithm, f"[algorithm] kind of arm {name!r}"
    short = rule.shortfall(rule.asked(sites))
    if short is not None:
        remedy = short[1] if rule.asked(sites) == sites else f"raise fraction or min_asked, {short[1]}"
        yield Complaint(short[0], place, _counted(rule.asked(sites), sites), remedy)
        return
    weighed = arm.evaluation.contributions
    if weighed is None:
        return
    fewest = 1 if weighed.kind == "shapley" else max(1, sites - 1)
    short = rule.shortfall(rule.asked(fewest))
    if short is not None:
        yield Complaint(
            f"{short[0]}, and [evaluation] contributions trains fewer",
            place,
            f"a coalition of {fewest}",
            "weigh the contributions of sites in an arm whose rule adds up, such as fedavg, or leave contributions out",
        )


def _counted(asked: int, sites: int) -> str:
    return f"{sites} take part" if asked == sites else f"{asked} of {sites} are asked each round"


def in_one_place(plan: RunPlan) -> RunPlan:
    """Return a plan for all rows in one place: no layer can stay at a site."""
    model = plan.study.model
    if not isinstance(model, Torch) or model.batch_norm != "local":
        return plan
    shared = model.model_copy(update={"batch_norm": "shared"})
    return RunPlan(plan.role, plan.arm, plan.seed, plan.study.model_copy(update={"model": shared}))


def seen_whole(plan: RunPlan) -> RunPlan:
    """Return a plan for the one place that has all rows: it has nobody to hide among."""
    return RunPlan(plan.role, plan.arm, plan.seed, plan.study.overridden({"privacy": {"secure_aggregation": False}}))


def whole_budget(plan: RunPlan, *, sites: int, share: float = 1.0) -> RunPlan:
    """Return a plan that trains in one round what the study trains in all of them.

    Epochs are passes over the rows and carry over as they are. Steps are not: `sites` sites take steps side by side,
    so one place that has all their rows takes that many times more. Where a round asks only a share of the sites, a
    site trains in that share of the rounds, and so does a baseline.
    """
    study, rounds = plan.study, plan.study.algorithm.rounds * share
    if study.training.local_steps is not None:
        budget = {"local_steps": max(1, round(study.training.local_steps * rounds * sites)), "local_epochs": None}
    else:
        budget = {"local_epochs": max(1, round(study.training.epochs * rounds))}
    change = {"training": {name: value for name, value in budget.items() if value is not None}}
    whole = study.overridden({**change, "algorithm": {"kind": "fedavg", "rounds": 1}})
    return RunPlan(plan.role, plan.arm, plan.seed, whole)
