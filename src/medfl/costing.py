"""What differential privacy is expected to cost, by arithmetic alone: no table is opened and nothing is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from medfl.errors import MedflError, MissingExtraError
from medfl.hub.pages.bench import Cost
from medfl.learn.model import Outcome
from medfl.learn.models import build
from medfl.privacy.accountant import Mechanism, epsilon
from medfl.privacy.budget import between, budget
from medfl.readiness.tables import Known, SeenTable
from medfl.run.explain_privacy import lost, per_step, within
from medfl.spec.model import MLP, Linear, Logistic
from medfl.spec.privacy import DifferentialPrivacy
from medfl.spec.study import Study

MOST = 4
"""Arms that are reckoned while somebody types."""
ASSUMED = 1000
"""Rows of a site where none has told how many it has."""


def costs(study: Study, known: Known) -> tuple[Cost, ...]:
    """Return what the differential privacy of each arm is expected to cost.

    Parameters
    ----------
    study
        What is planned.
    known
        What is known of its tables.
    """
    private = {name: arm for name, arm in study.arms.items() if arm.privacy.dp is not None}
    return tuple(_cost(name, arm, known) for name, arm in [*private.items()][:MOST])


def warm() -> None:
    """Have the accountant loaded, which takes seconds the first time, before anybody waits for it."""
    with suppress(MissingExtraError):
        epsilon([Mechanism(1.0, 0.1)], 1e-5, accountant="rdp")


def _cost(name: str, arm: Study, known: Known) -> Cost:
    dp = arm.privacy.dp
    if dp is None:
        raise ValueError(name)
    # The looser bound takes a tenth of the time, and asks for some percent more noise.
    quick = dp.model_copy(update={"accountant": "rdp"})
    about = Cost(arm=name, epsilon=dp.epsilon, unit=dp.unit, clip_norm=dp.clip_norm, weights=_weights(arm, known))
    try:
        return _of_rows(about, arm, quick, known) if dp.within_sites else _of_sites(about, arm, quick)
    except MissingExtraError:
        return replace(about, unknown="the package dp-accounting is not installed: pip install 'medfl[dp]'")
    except MedflError as error:
        one = error.complaints[0]
        return replace(about, unknown=f"{one.what}: {one.remedy}" if one.remedy else one.what)


def _of_rows(about: Cost, arm: Study, dp: DifferentialPrivacy, known: Known) -> Cost:
    """Reckon with the smallest site, as if all were as small."""
    rows, sites = _rows(arm, known)
    whole = min(rows.values(), default=ASSUMED)
    test = round(whole * arm.evaluation.test_fraction)
    units = max(1, whole - test)
    spent = budget(arm, dp, units=units, smallest=max(1, min(units, test or units)))
    noise, rate = spent.step.noise_multiplier, spent.step.sample_rate
    told = replace(
        about,
        noise=noise,
        units=units,
        assumed=not rows,
        site=min(rows, key=lambda site: rows[site]) if len(rows) > 1 else "",
        sites=sites,
        steps=spent.steps,
        rounds=spent.rounds,
        share=0.0 if spent.statistics is None else dp.share,
        statistics=None if spent.statistics is None else spent.statistics.noise_multiplier,
        judging=spent.judging.noise_multiplier,
        tested=test,
        loss="untold",
    )
    if about.weights is None:
        return told
    each = per_step(noise, units * rate, about.weights)
    return _judged(told, each=each, times=spent.steps)


def _of_sites(about: Cost, arm: Study, dp: DifferentialPrivacy) -> Cost:
    """Reckon with the sum of all sites' updates in a round."""
    noise, sites = between(dp, times=arm.algorithm.rounds).noise_multiplier, _number(arm)
    told = replace(about, noise=noise, sites=sites, steps=1, rounds=arm.algorithm.rounds, loss="untold")
    if about.weights is None or not sites:
        return told
    # In the sum of S updates the noise is there once; in their mean it is an S-th of that.
    each = per_step(noise, sites, about.weights)
    return replace(told, step=each, round=each, whole=(ratio := within([each], told.rounds)), loss=lost(ratio))


def _judged(told: Cost, *, each: float, times: int) -> Cost:
    every = [each] * told.sites
    whole = within(every, times * told.rounds)
    return replace(told, step=each, round=within(every, times), whole=whole, loss=lost(whole))


def _rows(arm: Study, known: Known) -> tuple[dict[str, int], int]:
    """Return how many rows each site has, as far as that is told, and how many sites there are."""
    sites = _number(arm)
    told = {site: table.rows for site, table in known.tables.items() if table.rows}
    if known.dealt:
        return {site: max(2, rows // max(1, sites)) for site, rows in told.items()}, max(1, sites)
    return told, max(1, sites)


def _number(arm: Study) -> int:
    simulate = arm.data.simulate
    if simulate is None:
        return len(arm.data.sites or ())
    return len(simulate.names) if simulate.names is not None else simulate.sites or 0


def _weights(arm: Study, known: Known) -> int | None:
    """Return about how many numbers the model has; None where that cannot be said without its tables."""
    features = sum(_inputs(arm, known))
    if not features or not isinstance(arm.model, Logistic | Linear | MLP):
        return None
    try:
        return build(arm.model, features=features, outcome=_outcome(arm, known)).layout.learned
    except MedflError:
        return None


def _inputs(arm: Study, known: Known) -> Iterator[int]:
    """Yield how many numbers each feature becomes: a category of them each, a quantity one."""
    tables = [table.read_as(arm.data.translations(site)) for site, table in known.tables.items()]
    dp, data = arm.privacy.dp, arm.data
    named = data.features or tuple(dict.fromkeys(name for table in tables for name in table.columns))
    for name in named:
        if name == data.target or (dp is not None and name == dp.patient_id):
            continue
        if dp is not None and name in dp.categories:
            yield len(dp.categories[name])
        elif dp is not None and name in dp.ranges:
            yield 1
        else:
            yield max((_numbers(table, name, coded=name in data.categorical) for table in tables), default=1)


def _numbers(table: SeenTable, name: str, *, coded: bool) -> int:
    one = table.columns.get(name)
    return max(1, len(one.categories)) if one is not None and (coded or one.kind == "categorical") else 1


def _outcome(arm: Study, known: Known) -> Outcome:
    data, dp = arm.data, arm.privacy.dp
    if isinstance(arm.model, Linear) or data.outcome == "regression":
        return Outcome("regression")
    classes = tuple(dp.categories.get(data.target, ())) if dp is not None else ()
    seen = [table.columns[data.target].categories for table in known.tables.values() if data.target in table.columns]
    classes = classes or max(seen, key=len, default=())
    return (
        Outcome("multiclass", classes) if data.positive is None and len(classes) > 2 else Outcome("binary", ("0", "1"))
    )
