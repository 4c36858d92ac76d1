"""What cannot be had together with secure aggregation, which shows the hub nothing but sums over sites."""

from __future__ import annotations

from collections.abc import Iterator

from medfl.spec.finding import Finding
from medfl.spec.privacy import FEWEST
from medfl.spec.study import Study

IF_SEEN = "or write secure_aggregation = false in [privacy] if every hospital agrees that the hub sees its updates"


def secrecy(study: Study, *, sites: int | None) -> Iterator[Finding]:
    """Find what secure aggregation, asked for or on by default, does not allow; `sites` is their number, if known."""
    if not study.privacy.hides(sites):
        return
    if sites is not None and sites < FEWEST:
        what = (
            f"secure aggregation needs at least {FEWEST} sites, as of two each can subtract itself; there are {sites}"
        )
        yield Finding(("privacy", "secure_aggregation"), what, "leave secure_aggregation out, or take more sites in")
        return
    rule, why = study.algorithm, _why(study)
    if rule.single_contributions:
        what = (
            f"{rule.kind} compares single contributions of sites; secure aggregation{why} shows the hub only their sum"
        )
        remedy = f"choose a rule of sums (fedavg, fedprox, scaffold, fedadam and others), {IF_SEEN}"
        yield Finding(("algorithm", "kind"), what, remedy)
    if sites is not None and rule.asked(sites) < FEWEST:
        what = f"of {sites} sites a round asks {rule.asked(sites)}; secure aggregation{why} needs at least {FEWEST}"
        yield Finding(("algorithm", "fraction"), what, f"raise fraction, or set min_asked = {FEWEST}, {IF_SEEN}")
    if study.evaluation.contributions is not None:
        what = (
            "what a site contributes is told by training without it; the difference of two such sums is the site's "
            f"own update, which secure aggregation{why} hides"
        )
        yield Finding(("evaluation", "contributions"), what, f"leave contributions out, {IF_SEEN}")


def _why(study: Study) -> str:
    return "" if study.privacy.secure_aggregation else f" (on by default from {FEWEST} sites on)"
