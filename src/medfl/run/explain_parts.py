"""Says in plain language what a study compares beside whole models, and what leaves a site for it."""

from __future__ import annotations

from collections.abc import Iterator

from medfl.errors import listed
from medfl.spec.evaluation import Grouping
from medfl.spec.study import Study


def judged_in_parts(study: Study) -> Iterator[str]:
    """Yield a sentence on each comparison that is asked for."""
    how = study.evaluation
    if how.margin is not None:
        yield (
            f"The federation passes as good enough if it is shown to be worse than all rows in one place by less than "
            f"{how.margin:g} in the first metric (one-sided test at 2.5 %)."
            f"{'' if len(study.seeds) > 1 else ' One repeat is not tested: set repeats in [study].'}"
        )
    if how.subgroups:
        named = listed([_grouped(name, column) for name, column in how.subgroups.items()], 12)
        yield (
            f"The last model is judged in groups of patients as well: by {named}, and by site. Groups with fewer than "
            f"{how.fewest} test rows at a site, in all or of one outcome, are suppressed, and so is another one "
            "wherever they could be computed from it."
        )
    if how.contributions is not None:
        yield from _contributions(study)
    if how.importance is not None:
        times = f"{how.importance.repeats} times" if how.importance.repeats > 1 else "once"
        yield (
            f"Each feature's values are shuffled {times} among a site's test rows, to see what that costs the last "
            "model; features that say the same share their importance."
        )
    if how.fine_tune is not None:
        yield (
            f"After the last round each site trains a copy of the global model on its own rows, {_tuning(study)}. The "
            "copy is judged on the same test rows, beside the global model and each site alone."
        )


def leaves_in_parts(study: Study) -> Iterator[str]:
    """Yield a sentence on what leaves a site for these comparisons."""
    if study.evaluation.subgroups:
        yield (
            "For groups of patients, once: the same of each group that is large enough, its rows by outcome, and the "
            "names of groups that are not."
        )
    if study.evaluation.importance is not None:
        yield "For the importance of features, once: the same histograms and sums, one feature shuffled at a time."
    if study.evaluation.fine_tune is not None:
        yield "Of a site's fine-tuned copy, once: its metrics and their intervals. The copy itself stays at the site."


def _tuning(study: Study) -> str:
    """Say how long, how fast and with which layers frozen sites go on from the global model."""
    how = study.evaluation.fine_tune
    if how is None:
        return ""
    epochs = how.local_epochs or 1
    length = f"{how.local_steps} steps" if how.local_steps is not None else f"{epochs} epoch{'s' * (epochs > 1)}"
    rate = study.training.learning_rate if how.learning_rate is None else how.learning_rate
    frozen = ""
    if how.freeze:
        held = "all layers but the last" if how.freeze == "all-but-head" else listed(how.freeze, 12)
        frozen = f", {held} frozen"
    return f"{length} with learning rate {rate:g}{frozen}"


def _grouped(name: str, how: Grouping) -> str:
    column = how.column if how.column == name else f"{name} (column {how.column})"
    return f"{column} cut at {listed([f'{cut:g}' for cut in how.cuts], 12)}" if how.cuts else column


def _contributions(study: Study) -> Iterator[str]:
    asked = study.evaluation.contributions
    kept = "Preprocessing stays fitted over all sites, and all sites judge."
    if asked is not None and asked.kind == "leave-one-out":
        yield f"The federation is trained again without each site in turn, to tell what each contributes. {kept}"
    elif asked is not None:
        yield (
            "The federation is trained again by coalitions of sites, to estimate what each contributes (Shapley "
            f"value): by all coalitions where they are few, else by those of {asked.orders} random orders of joining. "
            f"{kept}"
        )
