"""What the policies of sites held back or changed, as far as it bears on the results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from medfl.events import Noticed
from medfl.publish.wording import counted, listed, sentence

_RULE = re.compile(r"(?P<what>.+) \([\w.]+ in the site's policy\)")


def held_back(notices: Iterable[Noticed]) -> dict[str, tuple[str, ...]]:
    """Return for each thing that a policy held back or changed, in words, the sites where one did."""
    found: dict[str, set[str]] = {}
    for notice in notices:
        if told := _RULE.fullmatch(notice.text):
            found.setdefault(told["what"], set()).add(notice.site)
    return {what: tuple(sorted(sites)) for what, sites in found.items()}


def methods_of_policies(kept: Mapping[str, tuple[str, ...]]) -> str:
    """Return the sentence of the methods text; nothing where no policy changed anything."""
    if not kept:
        return ""
    each = [f"{what} ({listed(sites, at_most=4)})" for what, sites in kept.items()]
    where = counted(len({site for sites in kept.values() for site in sites}), "site")
    return sentence(f"Rules on disclosure at {where} held back or changed part of what was sent: {'; '.join(each)}")
