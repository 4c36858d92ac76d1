"""A simulated site on Flower: a node that knows its number only, as nodes of Flower's own simulation do.

It has the rows that the study deals to it of a table that came along with MEDfl. Nothing else is read: a study that
comes from elsewhere names no file of this machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from medfl.errors import PlanError
from medfl.messages import Request
from medfl.privacy.secure.unmasked import FolderUnmasked
from medfl.site.answer import Site
from medfl.site.sources import Sources, introduce_one
from medfl.spec.reading import read
from medfl.spec.study import Study

NUMBER, OF = "partition-id", "num-partitions"
"""What Flower calls a simulated node's number, from 0, and how many there are."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a simulated node is.

    Parameters
    ----------
    site
        Its name in the study.
    vaults
        Where simulated sites keep what they never send.
    plugin
        It has none.
    """

    site: str
    vaults: Path
    plugin: Path | None = None

    @property
    def home(self) -> Path:
        """Where it keeps what it must know again when its next message comes."""
        return self.vaults / ".flower" / self.site

    @classmethod
    def named(cls, config: Mapping[str, Any], study: Path) -> Self:
        """Find out which of a study's simulated sites a node is.

        Parameters
        ----------
        config
            The node config; its ``home`` is the folder of what simulated sites keep, ``$MEDFL_HOME`` or ``~/.medfl``
            where it says none, as Flower's own simulation does not.
        study
            The study's file.

        Raises
        ------
        PlanError
            If the study deals no table out that came along, or not to as many sites as there are nodes.
        """
        number, count = config.get(NUMBER), config.get(OF)
        vaults = (
            Path(config.get("home") or os.environ.get("MEDFL_HOME") or "~/.medfl").expanduser().absolute() / "sites"
        )
        sites = sorted(_dealt(read(study).study, vaults))
        if count != len(sites) or not isinstance(number, int) or not 0 <= number < len(sites):
            raise PlanError(
                "there must be a simulated node for each site",
                where="flwr run --federation-config",
                received=f"{NUMBER} {number!r}, {OF} {count!r}; the study has {len(sites)} sites",
                remedy=f"write --federation-config 'num-supernodes={len(sites)}'",
            )
        place = cls(sites[number], vaults)
        place.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return place

    def opened(self, request: Request) -> Site:
        """Open the site for a request: its table is dealt out anew, the same each time."""
        sites = _dealt(Study.model_validate_json(request.study), self.vaults)
        if self.site not in sites:
            raise PlanError("the study deals this site no rows", where=f"site {self.site}")
        return introduce_one(sites, self.site, self.vaults, unmasked=FolderUnmasked(self.home / "unmasked"))

    def present(self) -> str:
        """Return the site's name; all that it needs is there."""
        return self.site


def _dealt(study: Study, vaults: Path) -> dict[str, Site]:
    if study.data.simulate is None or study.data.simulate.bundled is None:
        raise PlanError(
            "a simulated node has no table but those that came along with MEDfl",
            where="[data]",
            remedy="write bundled in [data.simulate]; a hospital's node says which table it reads in its node config",
        )
    # The lists of test patients that a study may name are nowhere: no file of this machine is read.
    return Sources(vaults / ".flower", vaults).sites(study)
