"""What a study promised under differential privacy and what it spent: for report, methods and model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medfl.publish.wording import sentence
from medfl.store.views import RunView

Spec = Mapping[str, Any]
DEPLOYMENTS = ("hub", "flower-app")
"""Engines whose sites are hospitals of their own; those of all others draw noise from the run's seed, so that a run can
be repeated."""
_WHOM = {"record": "a single row", "patient": "all rows of a patient", "site": "a whole site"}


def dp_of(spec: Spec) -> Spec | None:
    """Return the differential privacy of a spec; None where it has none."""
    found: Spec | None = (spec.get("privacy") or {}).get("dp")
    return found


def method(dp: Spec) -> str:
    """Return how privacy was kept, for a methods section."""
    usual = "δ = 1e-05" if dp["unit"] == "site" else f"δ at most 1e-05 and a tenth of 1 / {dp['unit']}s trained on"
    delta = f"δ = {dp['delta']:g}" if dp.get("delta") else usual
    added = "Rényi differential privacy" if dp["accountant"] == "rdp" else "privacy loss distributions"
    texts = [
        f"Each run kept to differential privacy with ε = {dp['epsilon']:g} ({delta}) for {_WHOM[dp['unit']]}, added up "
        f"by {added} (Google dp-accounting)",
        *(_between(dp) if dp["unit"] == "site" else _within(dp)),
    ]
    return " ".join(map(sentence, texts))


def seen(dp: Spec, runs: Sequence[RunView]) -> str:
    """Return what whoever runs the hub could still make of what left."""
    spent = [run.privacy.epsilon for run in runs if run.privacy is not None and run.privacy.epsilon is not None]
    told = f" The runs spent up to ε = {max(spent):.3g} each." if spent else ""
    if dp["unit"] == "site":
        who = (
            "the hub, which added the noise, saw the updates without it"
            if dp.get("noise") == "central"
            else "only sums were seen"
        )
        return (
            f"Differential privacy of whole sites was in force: from the models alone little can be told of whether a "
            f"site took part. {sentence(who)} Numbers of rows and metrics were not covered.{told}{_simulated(runs)}"
        )
    return (
        f"Differential privacy was in force at each site: whoever runs the hub saw noisy sums and noisy updates, from "
        f"which little can be told of {_WHOM[dp['unit']]}, whatever else is known of it. What holds for the site as a "
        f"whole, such as how its patients differ from others', may still show. The number of rows was "
        f"told.{told}{_simulated(runs)}"
    )


def limits(dp: Spec, run: RunView) -> str:
    """Return what a model card says of the guarantee."""
    kept = run.privacy
    if kept is None or kept.epsilon is None:
        return f"- Trained under differential privacy for {_WHOM[dp['unit']]}; what was spent is not recorded."
    delta = "" if kept.delta is None else f", δ = {kept.delta:.2g}"
    spent = (
        f"- Trained under differential privacy for {_WHOM[dp['unit']]}: ε = {kept.epsilon:.3g}{delta} spent in this run"
    )
    also = (
        "."
        if dp["unit"] == "site"
        else "; other runs on the same rows add to it. Its metrics were read from noisy sums."
    )
    return f"{spent}{also}{_simulated([run])}"


def _simulated(runs: Sequence[RunView]) -> str:
    """Say of a simulation that its noise hides nothing from whoever knows the seed."""
    if any(run.engine in DEPLOYMENTS for run in runs):
        return ""
    return (
        " The sites were simulated: their noise follows from the run's seed, and whoever knows that can take it off "
        "again. The promise holds where hospitals draw noise of their own."
    )


def _within(dp: Spec) -> tuple[str, ...]:
    return (
        f"Sites trained by DP-SGD (Abadi et al. 2016) with Poisson sampling, gradients of each {dp['unit']} clipped to "
        f"a Euclidean norm of {dp['clip_norm']:g} and Gaussian noise in every step, each site's noise solved from its "
        "own rows",
        f"whether a {dp['unit']} was tested on was drawn for each by itself, not stratified",
        "sums for preprocessing and the histograms that metrics are read from were released with Gaussian noise, "
        "within ranges and categories declared beforehand",
    )


def _between(dp: Spec) -> tuple[str, ...]:
    who = "the hub" if dp.get("noise") == "central" else "the sites together"
    quantile = dp.get("clip_quantile")
    later = f", later to one that followed their {quantile:.0%} quantile (Andrew et al. 2021)," if quantile else ""
    return (
        f"each site's update was clipped to a Euclidean norm of {dp['clip_norm']:g}{later} and counted once, "
        f"and {who} added Gaussian noise to the sum of each round (McMahan et al. 2018); metrics were not part of "
        "the guarantee",
    )
