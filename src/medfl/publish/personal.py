"""What sites keep for themselves, in words: batch normalisation, and a copy of the last model tuned on their rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medfl.publish.verdicts import apart
from medfl.publish.ways import ways, ways_at_sites
from medfl.publish.wording import counted, listed, metric_of, number, sentence, shortened
from medfl.store.comparison import Estimate, across
from medfl.store.views import ExecutionView, RunView


def normalisation_in_words(model: Mapping[str, Any]) -> str:
    """Return the sentence on a spec's ``batch_norm``; nothing where it says nothing of it."""
    asked = model.get("batch_norm")
    texts = {
        "shared": "The running statistics of batch normalisation were pooled over the sites by training rows, through "
        "first and second moments, apart from the aggregation of the weights",
        "local": "Batch normalisation, its learned scale and shift included, stayed at each site and was not "
        "aggregated (FedBN, Li et al. 2021)",
    }
    return sentence(texts[asked]) if asked in texts else ""


def fine_tuning_in_words(spec: Mapping[str, Any]) -> str:
    """Return the sentences on a spec's ``[evaluation.fine_tune]``; nothing where it was not asked for."""
    asked = spec["evaluation"].get("fine_tune")
    if asked is None:
        return ""
    training = spec["training"]
    length = asked if asked.get("local_epochs") or asked.get("local_steps") else training
    steps, epochs = length.get("local_steps"), length.get("local_epochs") or 1
    took = counted(steps, "step") if steps else f"{counted(epochs, 'pass', 'passes')} over its training rows"
    rate = asked.get("learning_rate") or training["learning_rate"]
    freeze = asked.get("freeze", ())
    kept = "all layers but the last" if freeze == "all-but-head" else f"the layers {listed(freeze)}" if freeze else ""
    frozen = f", with {kept} frozen" if kept else ""
    return " ".join(
        map(
            sentence,
            (
                f"After the last round each site trained a copy of the final model on its own rows: {took} at a "
                f"learning rate of {rate:g}{frozen}, otherwise as in the federation",
                "The copy stayed at the site; its metrics on the site's test rows were reported beside the final "
                "model's",
            ),
        )
    )


def leaves_of_normalisation(model: Mapping[str, Any]) -> str:
    """Return what leaves of a torch module's buffers in a round; nothing for other models."""
    if model["kind"] != "torch":
        return ""
    if model.get("batch_norm") == "local":
        return "its batch normalisation stays"
    return "where the module keeps running statistics, as batch normalisation does: these times the number of rows"


def tuning_says(execution: ExecutionView, metric: str) -> Iterator[str]:
    """Yield for each arm at how many sites fine-tuning helped, and at how many the two intervals lie apart."""
    before = {way.mark: way for way in ways(execution)}
    for way in ways_at_sites(execution):
        if not way.mark.tuned:
            continue
        arm = next(one for one in before.values() if one.mark.role == "arm" and one.mark.place == way.mark.place)
        pairs = _pairs(arm.finished, way.finished, metric)
        if pairs:
            name = "the federated model" if arm.mark.label == "federated" else f"the model of {arm.mark.label}"
            yield sentence(f"Fine-tuned by each site for itself, {name} {_gain(pairs, metric)}")


def _pairs(arm: Sequence[RunView], tuned: Sequence[RunView], metric: str) -> Mapping[str, tuple[Estimate, Estimate]]:
    """Return what each site had before, and what it has after."""
    sites = tuned[0].final.sites if tuned and tuned[0].final else ()
    both = {site: (across(arm, metric, site=site), across(tuned, metric, site=site)) for site in sites}
    return {site: (one, other) for site, (one, other) in both.items() if one is not None and other is not None}


def _gain(pairs: Mapping[str, tuple[Estimate, Estimate]], metric: str) -> str:
    higher = metric_of(metric).higher_is_better
    better = sum((after.mean > before.mean) == higher and after.mean != before.mean for before, after in pairs.values())
    values = {site: after.mean for site, (_, after) in pairs.items()}
    low, high = (f"{number(values[site], metric=metric)} ({shortened(site)})" for site in _ends(values))
    clear = sum(apart(before, after, metric=metric) for before, after in pairs.values())
    shown = (
        f"at {counted(clear, 'site')} the two intervals do not overlap"
        if clear
        else ("at every site the two intervals overlap, so that no gain or loss at a single site is shown")
    )
    reached = f"reaches {low}" if len(values) == 1 else f"reaches between {low} and {high}"
    return f"{reached} and is better at {better} of {len(pairs)} sites; {shown}"


def _ends(values: Mapping[str, float]) -> tuple[str, str]:
    return min(values, key=lambda site: values[site]), max(values, key=lambda site: values[site])
