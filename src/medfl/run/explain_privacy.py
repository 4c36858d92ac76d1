"""Says in plain language what differential privacy promises, what leaves a site under it, and what it will cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from medfl.errors import MedflError
from medfl.events import Event, PrivacySpent
from medfl.privacy.budget import between, delta_between
from medfl.spec.privacy import DifferentialPrivacy
from medfl.spec.study import Study

Loss: TypeAlias = Literal["most", "untold"]
VERDICTS: Mapping[Loss, str] = MappingProxyType(
    {
        "most": "Expect to learn little: raise epsilon or batch_size, take fewer steps, or choose a smaller model.",
        "untold": (
            "How much accuracy is lost cannot be told without trying it, on a table that is no secret: "
            "medfl check STUDY --public TABLE."
        ),
    }
)
"""How much accuracy will be lost, in words, as far as a bound makes it certain."""
WHOM = {"record": "one row", "patient": "all rows of one patient", "site": "a whole site"}


def leaves_privately(study: Study, dp: DifferentialPrivacy, *, size: str) -> Iterator[str]:
    """Yield what leaves a site whose study has differential privacy; `size` follows "weights"."""
    by_outcome = "" if dp.within_sites else ", by outcome"
    yield (
        f"Before training: names of columns, and the number of rows to train and to test on{by_outcome}, which count "
        "as known. Ranges and categories are the study's own word; none is read from the data."
    )
    if not dp.within_sites:
        norm = f"a Euclidean norm of {dp.clip_norm:g}"
        if dp.clip_quantile is not None:
            norm += f", and later of one that follows the {dp.clip_quantile:.0%} quantile of the updates,"
        yield (
            f"Each round: the change of the model's weights{size}, scaled down to {norm} where it is longer; each site "
            "counts once, whatever its rows."
        )
        yield "For judging: histograms of the model's scores by outcome, error sums, and the site's own metrics."
        return
    yield "For preprocessing: what sums over the training rows are needed, with noise; no count of an outcome."
    yield (
        f"Each round: the change of the model's weights{size}, learned by DP-SGD: {_sampled(dp)}, no gradient longer "
        f"than {dp.clip_norm:g}, with noise in every step. No training loss leaves."
    )
    yield (
        "For judging, once, of the last model: a coarse histogram of its scores by outcome, with noise, and the site's "
        "own metrics, read from it."
    )
    yield (
        "A row that cannot be used (no outcome, a category or a number that is none) keeps its place and says nothing: "
        "no number and no refusal tells how many they are."
    )


def promised(study: Study, dp: DifferentialPrivacy, *, told: Iterable[Event], size: int | None) -> Iterator[str]:
    """Yield what is promised to whom, who has to be trusted for it, and what it will cost in accuracy.

    Parameters
    ----------
    study, dp
        The arm, and its differential privacy.
    told
        What was told while tables were opened.
    size
        Number of weights that are learned, where it is known.
    """
    released = "anything that a run releases" if dp.within_sites else "any models of a run"
    usual = dp.delta is None and dp.within_sites
    delta = f"a tenth of 1 / {dp.unit}s trained on, at most 1e-05" if usual else f"{_delta(dp):g}"
    yield (
        f"Differential privacy: whether {WHOM[dp.unit]} took part changes the chance of {released} "
        f"by a factor of e^ε at most, ε = {dp.epsilon:g} (but for a chance of δ = {delta}). This goes for one run; "
        f"runs on the same rows add up{', in a ledger at each site' if dp.within_sites else ''}."
    )
    yield from _trusted(study, dp)
    if dp.patient_id is not None:
        yield (
            f"Patients are told apart by the column {dp.patient_id}, which is the study's word: how many rows and "
            "patients are on either side counts as known, so that the column must tell nothing else of anybody. A site "
            "with a policy accepts only the column that its policy names."
        )
    yield (
        "In a simulation noise follows from the seed, so that a run can be repeated: whoever knows the seed can take "
        "it off. It shows what the promise costs, and protects nobody."
    )
    planned = _planned(told)
    if planned:
        yield from _noises(planned)
        yield from _cost(planned, size, dp.unit)
    elif not dp.within_sites:
        yield from _between(study, dp, size)


def _trusted(study: Study, dp: DifferentialPrivacy) -> Iterator[str]:
    if dp.within_sites:
        share = f"{dp.share:.0%} of ε is set aside for preprocessing, the rest is for training"
        yield (
            "Each site adds its own noise, as much as its own rows and the rounds of this study ask for, before "
            f"anything leaves: nobody else need be trusted. {share}; test rows have all of ε for the one judgement."
        )
        return
    if dp.at_hub:
        yield (
            "The hub adds the noise: it sees the updates without it (in secure sums, their sum) and has to be trusted. "
            "The promise is about the models, for whoever gets them; what the hub sees, numbers of rows and metrics "
            "have no part in it."
        )
        return
    yield (
        "Each site adds its share of the noise, enough for the smallest sum that anybody may see (min_sites, or more "
        "than two thirds of the sites where that is less); only their sum is seen. Each site that tells its share to "
        "others takes it away from the rest. The promise is about the models; numbers of rows and metrics have no part "
        "in it."
    )


def _noises(planned: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    lines = [
        f"{site}: noise {words['noise_multiplier']:.3g} times the longest gradient, {words['sample_rate']:.2%} of the "
        f"units a step, {words['steps']} steps in all"
        for site, words in planned.items()
    ]
    shown = lines if len(lines) <= 12 else [*lines[:10], f"… and {len(lines) - 10} more sites"]
    yield from (f"{line}." for line in shown)


def _cost(planned: Mapping[str, Mapping[str, Any]], size: int | None, unit: str) -> Iterator[str]:
    """Weigh noise against the longest signal, and name what else carries noise: a best case, and no forecast.

    Of the averaged gradient of one step, noise has standard deviation σC / (units drawn) in each coordinate, so a
    length of about √size times that; over steps and sites the signal adds up at best, and noise as its root. The mean
    gradient is at most as long as the clip norm, and mostly far shorter.
    """
    verdict: Loss = "untold"
    if size is not None:
        verdict, told = _at_best(planned, size)
        yield told
    yield _beside(planned, unit)
    yield VERDICTS[verdict]


def _at_best(planned: Mapping[str, Mapping[str, Any]], size: int) -> tuple[Loss, str]:
    each = [
        per_step(float(words["noise_multiplier"]), float(words["units"] * words["sample_rate"]), size)
        for words in planned.values()
    ]
    steps = min(int(words["steps"]) for words in planned.values())
    whole = within(each, steps)
    return lost(whole), (
        f"What it costs: in one step at the smallest site, noise is about {max(each):.2g} times as long as the mean "
        f"gradient can be; over {steps} steps and {len(each)} site{'s' * (len(each) > 1)} it averages to {whole:.2g}. "
        "That is the best case: gradients are mostly far shorter than the longest that is let through."
    )


def _beside(planned: Mapping[str, Mapping[str, Any]], unit: str) -> str:
    """Say what noise there is beside that of training, at the smallest site."""
    words = min(planned.values(), key=lambda one: int(one["units"]))
    judging, statistics = float(words["judging_noise"]), words["statistics_noise"]
    on_top = "it comes on top, and weighs more the fewer rows there are."
    if statistics is None:
        return f"Noise in the counts for judging is {judging:.2g} times what one {unit} can change: {on_top}"
    return (
        f"Noise in the sums for preprocessing is {float(statistics):.2g} times what one {unit} can change, among "
        f"{words['units']} at the smallest site, and in the counts for judging {judging:.2g} times: {on_top}"
    )


def per_step(noise: float, drawn: float, size: int) -> float:
    """Return how long noise is in one step, measured by the longest that a mean gradient can be.

    Parameters
    ----------
    noise
        Noise multiplier: its standard deviation in each number over the clip norm.
    drawn
        Units that take part in a step, on average.
    size
        Number of weights.
    """
    return noise / drawn * math.sqrt(size)


def within(each: Sequence[float], steps: int) -> float:
    """Return how long noise is in the mean over sites and steps: signal adds up, and noise as its root.

    Parameters
    ----------
    each
        How long it is in a step at each site, as :func:`per_step` says.
    steps
        Steps of each site.
    """
    return math.sqrt(sum(one * one for one in each)) / len(each) / math.sqrt(steps)


def lost(ratio: float) -> Loss:
    """Return what is certain of the loss where noise is so long in the mean over a whole run.

    The ratio is measured by the longest signal that there can be. Above 1 noise exceeds any signal; below, the signal
    may be as short as it likes, so that nothing follows.
    """
    return "most" if ratio > 1.0 else "untold"


def _between(study: Study, dp: DifferentialPrivacy, size: int | None) -> Iterator[str]:
    try:
        noise = between(dp, times=study.algorithm.rounds).noise_multiplier
    except MedflError:
        return  # That the package is missing is told when the study is run.
    yield f"The noise in the sum of a round's updates is {noise:.3g} times the longest update in each number."
    if size is not None:
        yield (
            f"What it costs: with S sites, noise in a round is about {noise * size**0.5:.2g} / S times as long as the "
            "mean update can be: such a study needs hundreds of sites, or a small model."
        )
    yield VERDICTS["untold"]


def _planned(told: Iterable[Event]) -> dict[str, Mapping[str, Any]]:
    return {
        site: words["planned"]
        for event in told
        if isinstance(event, PrivacySpent)
        for site, words in event.sites.items()
        if "planned" in words
    }


def _sampled(dp: DifferentialPrivacy) -> str:
    return f"each {dp.unit} takes part in a step by a throw of dice"


def _delta(dp: DifferentialPrivacy) -> float:
    return delta_between(dp)
