"""What left each site, in plain words, and what whoever runs the hub could make of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from medfl.publish.federating import sent_by
from medfl.publish.guarding import seen
from medfl.publish.methods import arms_of
from medfl.publish.normalising import left_of_normalisation
from medfl.publish.promises import DEPLOYMENTS, dp_of
from medfl.publish.wording import counted, listed, sentence, size, whole
from medfl.store.views import ExecutionView, RunView


@dataclass(frozen=True, slots=True)
class Left:
    """One kind of thing that left: when, and what it was."""

    when: str
    what: str


@dataclass(frozen=True, slots=True)
class Leaving:
    """Everything that left, how much of it, and what could be seen."""

    setting: str
    items: tuple[Left, ...]
    amount: str
    seen: str


def leaving(execution: ExecutionView) -> Leaving:
    """Return what left the sites of an execution, from its spec and from what was counted."""
    arms = arms_of(execution.spec)
    open_, guarded = _parted(arms)
    items: list[Left] = []
    if open_:
        items += _items(next(iter(open_.values())), open_)
    for names, dp in guarded:
        items += _privately(dp, f" (arm{'s' * (len(names) > 1)} {listed(names)})" if len(arms) > 1 else "")
    items.append(Left("Never", "A row, a patient's identifier, or the score of a single patient."))
    return Leaving(_setting(execution), tuple(items), _amount(execution), _seen(execution))


def _parted(
    arms: Mapping[str, Mapping[str, Any]],
) -> tuple[dict[str, Mapping[str, Any]], list[tuple[list[str], Mapping[str, Any]]]]:
    """Return the arms without differential privacy, and the names of those that have the same unit of it."""
    plain = {name: arm for name, arm in arms.items() if dp_of(arm) is None}
    by_unit: dict[str, tuple[list[str], Mapping[str, Any]]] = {}
    for name, arm in arms.items():
        if (dp := dp_of(arm)) is not None:
            by_unit.setdefault(dp["unit"], ([], dp))[0].append(name)
    return plain, list(by_unit.values())


def _setting(execution: ExecutionView) -> str:
    if execution.spec.get("data", {}).get("simulate"):
        return (
            "This was a simulation on one machine: nothing left a hospital. With real sites, this is what leaves each "
            "of them."
        )
    if any(run.address for run in execution.runs):
        return (
            "All sites' tables were read by the machines of one Ray cluster. With sites of their own, this is what "
            "leaves each of them."
        )
    if not any(run.engine in DEPLOYMENTS for run in execution.runs):
        return "All sites' tables were read on one machine. With sites of their own, this is what leaves each of them."
    return "This is what left each site."


def _items(spec: Mapping[str, Any], arms: Mapping[str, Mapping[str, Any]]) -> Iterator[Left]:
    yield Left(
        "Before training",
        "Names, types, units and categories of its columns, the number of its rows and of missing values in each "
        "column, and the smallest and largest value of each numeric column (these two are values of single patients, "
        "without saying whose).",
    )
    if sums := _sums(spec["preprocess"]):
        yield Left("For preprocessing", sentence(f"Over all its training rows and for each column: {sums}"))
    yield from _rounds(arms)
    yield Left("For judging", sentence(_judging(spec)))
    if groups := spec["evaluation"].get("subgroups"):
        yield Left(
            "For groups of patients",
            f"Once, for the last model: the same sums for each group by {listed(groups)} that is large enough, and the "
            "number of its rows by outcome; of a group that is not, its name. Where no group is large enough, nothing.",
        )
    judged = [arm["evaluation"] for arm in arms.values()]
    if any(how.get("importance") is not None for how in judged):
        yield Left(
            "For the importance of features",
            "Once, for the last model: the same histograms and sums of errors, one feature's values shuffled.",
        )
    if any(how.get("fine_tune") is not None for how in judged):
        yield Left("For fine-tuning at each site", "Once: the metrics of the site's copy and their intervals.")


def _privately(dp: Mapping[str, Any], whose: str) -> Iterator[Left]:
    before = "Names of its columns and the number of its rows; ranges were declared beforehand."
    yield Left(f"Before training{whose}", before)
    if dp["unit"] == "site":
        yield Left(f"In each round{whose}", "The change of the model's weights, scaled down where it was too long.")
        judging = "Histograms of scores by outcome, sums of errors, its own metrics, without noise."
    else:
        yield Left(f"For preprocessing{whose}", "Sums over its training rows, with noise.")
        yield Left(f"In each round{whose}", "The change of the model's weights, learned with noise in every step.")
        judging = "Once, for the last model: a coarse histogram of scores by outcome, with noise."
    yield Left(f"For judging{whose}", judging)


def _rounds(arms: Mapping[str, Mapping[str, Any]]) -> Iterator[Left]:
    """Yield what each rule had the sites send; with the arms' names where they differ."""
    by_text: dict[str, list[str]] = {}
    for name, arm in arms.items():
        beside = left_of_normalisation(arm["model"])
        text = sent_by(arm["algorithm"]["kind"]) + (f"; {beside}" if beside else "")
        by_text.setdefault(text, []).append(name)
    for text, names in by_text.items():
        whose = "" if len(by_text) == 1 else f" (arm{'s' * (len(names) > 1)} {listed(names)})"
        yield Left(f"In each round{whose}", sentence(text))


def _sums(how: Mapping[str, Any]) -> str:
    parts = ["counts of its categories"]
    if how["scale"] == "standard" or how["impute"] == "mean":
        parts.append("the number of values, their sum and the sum of their squares")
    if how["impute"] == "median":
        parts.append(f"a histogram of {whole(how['median_bins'])} bins")
    if how["scale"] == "min-max":
        parts.append("the smallest and largest value")
    return "; ".join(parts)


def _judging(spec: Mapping[str, Any]) -> str:
    if spec["model"]["kind"] == "linear":
        return "sums of predictions, outcomes and errors over its test rows, and of their products; its own metrics"
    return (
        "two histograms of the model's scores on its test rows (with and without the outcome), counts of right and "
        "wrong decisions, sums of errors and of their products; its own metrics"
    )


def _amount(execution: ExecutionView) -> str:
    counted_runs = [run for run in execution.runs if run.table and run.rounds and run.sites]
    if not counted_runs:
        return ""
    sent, received = (sum(map(of, counted_runs)) for of in (_sent, _received))
    exchanges = sum(len(line.participants) for run in counted_runs for line in run.table if line.round > 0) or 1
    per = f", {size(sent / exchanges)} a site and round" if exchanges > 1 else ""
    runs = counted(len(counted_runs), "federated run")
    return sentence(f"In numbers: over {runs} the sites sent {size(sent)} in all{per}, and received {size(received)}")


def _sent(run: RunView) -> int:
    return sum(line.sent for line in run.table)


def _received(run: RunView) -> int:
    return sum(line.received for line in run.table)


def _seen(execution: ExecutionView) -> str:
    """Return what a curious hub could make of it; with the arms' names where they differ."""
    by_text: dict[str, list[str]] = {}
    for name, runs in execution.arms.items():
        by_text.setdefault(seen(runs), []).append(name)
    if len(by_text) == 1:
        return next(iter(by_text))
    return " ".join(f"In arm{'s' * (len(names) > 1)} {listed(names)}: {text}" for text, names in by_text.items())
