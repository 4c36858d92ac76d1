"""Which coalitions of sites are trained to tell what each site contributes.

A coalition is an arm that only some of the sites train, from the same start, with the same seed and budget; it is
judged on the test rows of all sites. Preprocessing stays fitted over all sites: what is left out is what a site's
training rows teach the model, not what they add to means and categories.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TypeAlias

from medfl import seeds
from medfl.errors import PlanError
from medfl.run.plan import RunPlan
from medfl.spec.evaluation import Contributions
from medfl.spec.study import Study

Orders: TypeAlias = tuple[tuple[str, ...], ...]


def with_coalitions(plans: Sequence[RunPlan], sites: Callable[[Study], Sequence[str]]) -> tuple[RunPlan, ...]:
    """Return the plans, and after them those of every coalition that their arms ask for, each once.

    Parameters
    ----------
    plans
        Of all arms and baselines.
    sites
        Names the sites of an arm; asked only where an arm wants contributions measured.

    Raises
    ------
    PlanError
        If there is one site only.
    """
    arms: list[RunPlan] = []
    found: list[RunPlan] = []
    for plan in plans:
        asked = plan.study.evaluation.contributions
        if plan.role != "arm" or asked is None:
            arms.append(plan)
            continue
        names = tuple(sorted(sites(plan.study)))
        _require_two(names)
        orders = drawn(asked, names, seed=plan.seed)
        arms.append(replace(plan, orders=orders))
        found += [replace(plan, role="coalition", members=members) for members in coalitions(asked, names, orders)]
    return (*arms, *found)


def drawn(asked: Contributions, sites: Sequence[str], *, seed: int) -> Orders:
    """Return the orders of sites to sample; none where all coalitions are trained, or where none is sampled.

    All 2ⁿ − 1 coalitions are trained where sampling could train as many: each order has n − 1 coalitions of its own
    besides the one of all sites.
    """
    count = len(sites)
    if asked.kind != "shapley" or 2**count - 1 <= asked.orders * (count - 1) + 1:
        return ()
    generator = seeds.generator(seed, purpose="orders of sites")
    return tuple(tuple(sites[place] for place in generator.permutation(count)) for _ in range(asked.orders))


def coalitions(asked: Contributions, sites: Sequence[str], orders: Orders) -> Iterator[tuple[str, ...]]:
    """Yield the sites of each coalition to train, sorted; that of all sites is the arm itself."""
    if asked.kind == "leave-one-out":
        yield from (tuple(site for site in sites if site != left) for left in sites)
    elif not orders:
        for size in range(1, len(sites)):
            yield from combinations(sites, size)
    else:
        first = dict.fromkeys(tuple(sorted(order[:size])) for order in orders for size in range(1, len(sites)))
        yield from sorted(first, key=lambda members: (len(members), members))


def _require_two(sites: Sequence[str]) -> None:
    if len(sites) < 2:
        raise PlanError(
            "the contribution of a site is measured by leaving it out; there is one site only",
            where="[evaluation] contributions",
            remedy="leave contributions out",
        )
