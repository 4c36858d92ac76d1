"""The methods of a comparison in parts: margin, groups of patients, contributions of sites, importance of features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from medfl.publish.wording import counted, listed, sentence
from medfl.spec.evaluation import PERMUTATIONS, SMALLEST_GROUP

Spec: TypeAlias = Mapping[str, Any]


def methods_of_parts(spec: Spec) -> str:
    """Return what is judged and compared beside whole models, past tense; nothing where nothing is."""
    how = spec["evaluation"]
    parts = (*_margin(how), *_groups(how), *_contributions(how), *_importance(how), *_fine_tuning(spec))
    return " ".join(map(sentence, parts))


def _margin(how: Spec) -> Iterator[str]:
    if how.get("margin") is not None:
        yield (
            f"the federation was called non-inferior to the centralised model if the 95 % interval of their paired "
            f"difference lay wholly on the better side of a margin of {how['margin']:g} in the first metric, a "
            "one-sided test at 2.5 %, without correction for the number of arms"
        )


def _groups(how: Spec) -> Iterator[str]:
    if not how.get("subgroups"):
        return
    fewest = how.get("smallest_group") or SMALLEST_GROUP
    named = listed(_grouped(name, column) for name, column in how["subgroups"].items())
    yield (
        f"the final models were also judged in groups of patients by {named}, and by site; groups with fewer than "
        f"{fewest} test rows of a site, in all or of one outcome class, were suppressed there, and so was a further "
        "group wherever one could have been computed from the site's total (complementary suppression)"
    )


def _grouped(name: str, column: Spec) -> str:
    field = column["column"] if column["column"] == name else f"{name} (column {column['column']})"
    cuts = column.get("cuts")
    return f"{field} cut at {listed(f'{cut:g}' for cut in cuts)}" if cuts else field


def _contributions(how: Spec) -> Iterator[str]:
    asked = how.get("contributions")
    if not asked:
        return
    again = (
        "from the same start, with the same seeds and as many rounds, and judged on the test rows of all sites; "
        "preprocessing stayed fitted over all sites"
    )
    if asked["kind"] == "leave-one-out":
        yield f"a site's contribution was what the first metric lost when the others trained without it, {again}"
        return
    orders = asked.get("permutations") or PERMUTATIONS
    yield (
        "a site's contribution was its Shapley value (Shapley 1953; Ghorbani & Zou 2019) in the first metric: "
        f"coalitions of sites were trained {again}; the value of no site was the untrained model's. All coalitions "
        f"were trained where they are no more than {counted(orders, 'random order')} of joining would take, else these "
        "were sampled (Castro, Gómez & Tejada 2009)"
    )


def _importance(how: Spec) -> Iterator[str]:
    asked = how.get("importance")
    if asked:
        times = counted(asked.get("repeats", 5), "time")
        yield (
            "a feature's importance was what the metric lost when its values were shuffled among each site's test "
            f"rows, {times}, all columns of a category together (Breiman 2001; Fisher, Rudin & Dominici 2019); "
            "correlated features share their importance"
        )


def _fine_tuning(spec: Spec) -> Iterator[str]:
    asked = spec["evaluation"].get("fine_tune")
    if not asked:
        return
    steps = asked.get("local_steps")
    length = counted(steps, "step") if steps else counted(asked.get("local_epochs") or 1, "epoch")
    rate = asked.get("learning_rate") or spec["training"]["learning_rate"]
    held = asked.get("freeze") or ()
    named = "all layers but the last" if held == "all-but-head" else listed(held)
    frozen = f", {named} frozen" if held else ""
    yield (
        f"after the last round each site trained a copy of the global model on its own training rows ({length}, "
        f"learning rate {rate:g}{frozen}, all else as in local training) and judged it on its own test rows; the "
        "copies never left the sites, and their means over the sites were compared with those of the global model and "
        "of each site alone"
    )
