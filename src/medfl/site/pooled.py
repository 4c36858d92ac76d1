"""All rows in one place, for the centralised baseline: possible in simulation, and the thing a federation avoids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from medfl.learn.model import Examples
from medfl.messages import Request
from medfl.site.answer import Site
from medfl.site.desk import Desk, Prepared
from medfl.site.memory import FolderVault
from medfl.spec.study import Study

NAME = "all-rows"


class PooledDesk(Desk):
    """The prepared rows of all sites, one after the other; each site scales its own where scaling is per site."""

    def __init__(self, sites: Mapping[str, Site]) -> None:
        super().__init__(NAME, next(iter(sites.values())).desk.sheet, Path())
        self._sites = sites

    def prepared(self, study: Study, request: Request) -> Prepared:
        """Let every site prepare its rows as it would for the federation, and put them together."""
        parts = [
            self._sites[name].desk.prepared(study, replace(request, site=name))
            for name in request.content.get("pooled", self._sites)
        ]
        return replace(
            parts[0], train=_joined([part.train for part in parts]), test=_joined([part.test for part in parts])
        )


def pooled(sites: Mapping[str, Site], vault: Path) -> Site:
    """Return one site that has the rows of all of them; a request says whose of them it is about."""
    site = Site(NAME, next(iter(sites.values())).desk.sheet, vault=FolderVault(vault / NAME))
    site.desk = PooledDesk(sites)
    return site


def _joined(parts: list[Examples]) -> Examples:
    return Examples(np.concatenate([part.features for part in parts]), np.concatenate([part.outcome for part in parts]))
