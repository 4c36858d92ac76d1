"""Under which protection something left a site, for the methods section, the report and the model card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def hidden(privacy: Mapping[str, Any], *, secure: bool) -> bool:
    """Say whether contributions were hidden in sums; `secure` says it where the spec leaves it open."""
    asked = privacy.get("secure_aggregation")
    return secure if asked is None else bool(asked)


def guards(privacy: Mapping[str, Any], *, secure: bool) -> Iterator[str]:
    """Yield clauses for the methods section."""
    if hidden(privacy, secure=secure):
        yield (
            "No row was part of what a site sent, and the numbers it sent were masked so that the hub could read only "
            "their sum over the sites (secure aggregation after Bonawitz et al. 2017 and Bell et al. 2020)"
        )
        yield "Differential privacy was not in force"
    else:
        yield "No row was part of what a site sent; secure aggregation and differential privacy were not in force"


def seen(privacy: Mapping[str, Any], *, secure: bool) -> str:
    """Return what whoever runs the hub could make of what it saw."""
    if hidden(privacy, secure=secure):
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
