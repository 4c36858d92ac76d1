"""Under which protection something left a site: for the methods section, the report and the model card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medfl.publish import promises
from medfl.publish.wording import sentence
from medfl.store.views import RunView


def hidden(privacy: Mapping[str, Any], *, secure: bool) -> bool:
    """Say whether contributions were hidden in sums; `secure` says it where the spec leaves it open."""
    asked = privacy.get("secure_aggregation")
    return secure if asked is None else bool(asked)


def guards(privacy: Mapping[str, Any], *, secure: bool) -> Iterator[str]:
    """Yield sentences for the methods section."""
    masked, dp = hidden(privacy, secure=secure), privacy.get("dp")
    if not masked and dp is None:
        text = "No row was part of what a site sent; secure aggregation and differential privacy were not in force"
        yield sentence(text)
        return
    yield sentence(
        "No row was part of what a site sent, and the numbers it sent were masked so that the hub could read only "
        "their sum over the sites (secure aggregation after Bonawitz et al. 2017 and Bell et al. 2020)"
        if masked
        else "No row was part of what a site sent; secure aggregation was not in force"
    )
    yield sentence("Differential privacy was not in force") if dp is None else promises.method(dp)


def seen(runs: Sequence[RunView]) -> str:
    """Return what whoever runs the hub could make of what it saw of one arm's runs."""
    privacy = runs[0].asked("privacy")
    masked, dp = hidden(privacy, secure=runs[0].secure), privacy.get("dp")
    if dp is not None:
        also = (
            " Besides, sums and updates were masked, and only their total over the sites could be read."
            if masked
            else ""
        )
        return f"{promises.seen(dp, runs)}{also}"
    if masked:
        return (
            "Secure aggregation was on: sums and updates left each site masked, and whoever runs the hub could read "
            "only their sum over the sites. A curious one still learned that sum, each site's own metrics, numbers of "
            "rows and schema, and from the model what a model says about the rows it was trained on: no noise was "
            "added. Sites that work together, more than a third of them, could undo it with the hub's help."
        )
    return (
        "Secure aggregation was off, and no noise was added: whoever runs the hub sees each site's own contribution. A "
        "curious one could learn from it how the site's patients differ from the others', and from a small site or a "
        "large model also whether a known patient was among the training rows, or roughly what single rows look like. "
        "Rely on it only where the hub is trusted."
    )
