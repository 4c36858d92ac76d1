"""Says in plain language under which protection something leaves a site, and what a curious hub can still learn."""

from __future__ import annotations

from collections.abc import Iterator

from medfl.privacy.secure.graph import quorum
from medfl.spec.privacy import FEWEST
from medfl.spec.study import Study


def guarded(study: Study, sites: int | None) -> Iterator[str]:
    """Yield sentences on the protection in force among so many sites; None where their number is not known.

    What differential privacy promises is told elsewhere; here, that there is none.
    """
    asked, private = study.privacy.secure_aggregation, study.privacy.dp is not None
    if study.privacy.hides(sites):
        yield (
            "Secure aggregation is in force: sums and updates leave a site masked, and the hub can read only their sum "
            f"over {_summed(study, sites)}."
        )
        if not private:
            yield (
                "A curious hub still learns that sum, each site's own metrics, numbers of rows and schema, and from "
                "the model whatever a model says about the rows it was trained on."
            )
    elif sites is None and asked is None:
        yield (
            f"Secure aggregation is in force if {FEWEST} sites or more take part: then the hub can read only sums over "
            "the sites; otherwise whoever runs it sees each site's update."
        )
    else:
        why = "" if asked is False else f" (there are fewer than {FEWEST} sites)"
        yield f"Secure aggregation is not in force{why}: whoever runs the hub sees each site's update."
    if not private:
        yield "Differential privacy is not in force: the model may remember rows it was trained on."


def needed(study: Study, sites: int | None) -> int | None:
    """Return how many sites must answer for a round to count: what the study says, or what a secure sum needs, if more.

    None where all that are asked must.
    """
    least = study.algorithm.min_sites
    if least is None or sites is None or not study.privacy.hides(sites):
        return least
    return max(least, quorum(study.algorithm.asked(sites)))


def _summed(study: Study, sites: int | None) -> str:
    least, asked = needed(study, sites), study.algorithm.fraction is not None
    if least is None:
        return "all sites that a round asks" if asked else "all sites"
    if sites is None:
        return (
            "the sites that answered. A site can drop out, as long as more than two thirds of those that are asked stay"
        )
    of = study.algorithm.asked(sites)
    if least >= of:
        return f"the {of} sites that a round asks: each of them must answer"
    return f"the sites that answered. A site can drop out at any moment, as long as {least} of {of} stay"
