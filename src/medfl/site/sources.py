"""Opens the sites of a study: one file each, one data frame each, or one table dealt out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from medfl.errors import DataError, PlanError, listed
from medfl.learn.data.partition import deal
from medfl.learn.data.sheet import Part, Sheet, Table
from medfl.learn.data.tables import as_frame, bundled, read_table
from medfl.privacy.secure.identity import Identity
from medfl.privacy.secure.member import Member
from medfl.privacy.secure.unmasked import Unmasked, UnmaskedHere
from medfl.site.answer import Site
from medfl.site.memory import FolderVault
from medfl.site.policy import Policy
from medfl.site.pooled import NAME as POOL
from medfl.site.purse import purse_in
from medfl.site.remembered import Remembered
from medfl.site.rules_reading import read
from medfl.site.written import Written
from medfl.spec.checks import SITE as SITE_NAME
from medfl.spec.data import Data, Simulate
from medfl.spec.study import Study

if TYPE_CHECKING:
    import pandas as pd

POLICY = "policy.toml"
"""What a site's own policy is called, in its folder."""
IDENTITY = "identity"
"""The file, beside the sites' folders, that their identities are derived from."""
MEMORY = ".policy"
"""Where a policy remembers what was told; no run can be called so."""

Tables = Mapping[str, object] | object
"""A data frame for each site by name, or one data frame to be dealt out."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where tables come from.

    Parameters
    ----------
    base
        Folder that the study's relative paths start from.
    vaults
        Folder where simulated sites keep what they never send.
    tables
        Data frames passed from Python, instead of files.
    policy
        A policy for every site that has none of its own: a file ``policy.toml`` in its folder of `vaults`.
    """

    base: Path
    vaults: Path
    tables: Tables | None = None
    policy: Path | None = None

    def sites(self, study: Study) -> dict[str, Site]:
        """Return the study's sites by name, sorted.

        Raises
        ------
        DataError
            If the one table to be dealt out cannot be read or dealt. (A site's own file is opened by the site.)
        PlanError
            If the study does not say where the rows are.
        SpecError
            If a policy is none.
        """
        openers = self._openers(study)
        _require_names(openers)
        sites = {name: self._site(name, openers[name]) for name in sorted(openers)}
        introduce(sites, Identity.at(self.vaults / IDENTITY))
        return sites

    def _site(self, name: str, table: Callable[[], Table]) -> Site:
        folder = self.vaults / name
        policy = self._policy(folder)
        purse = purse_in(self.vaults, name, allowance=None if policy is None else policy.budget)
        return Site(name, table, vault=FolderVault(folder), policy=policy, base=self.base, purse=purse)

    def _policy(self, folder: Path) -> Policy | None:
        """Return the policy that a site has written or, where it has none, the one for all."""
        own = folder / POLICY
        path = own if own.is_file() else self.policy
        return None if path is None else Written(read(path), Remembered(folder / MEMORY))

    def _openers(self, study: Study) -> dict[str, Callable[[], Table]]:
        data = study.data
        if data.simulate is not None:
            return _dealt(self._one_table(data, data.simulate), data, data.simulate, study.study.seed)
        if isinstance(self.tables, Mapping):
            return {str(name): partial(as_frame, table) for name, table in self.tables.items()}
        if self.tables is not None:
            raise PlanError(
                "one table was passed, and the study does not say how to deal it out",
                where="[data]",
                remedy="pass a mapping of site name to data frame, or add [data.simulate] with sites and partition",
            )
        if data.sites is None:
            raise PlanError(
                "the study does not say where the rows are",
                where="[data]",
                remedy="add [data.sites] with one file a site, or [data.simulate] with a table to deal out, "
                "or pass data frames to medfl.simulate",
            )
        return {name: partial(self._file, data, path) for name, path in data.sites.items()}

    def _file(self, data: Data, path: str) -> pd.DataFrame:
        return read_table(self.base / path, columns=data.columns, missing=data.missing, decimal=data.decimal)

    def _one_table(self, data: Data, simulate: Simulate) -> pd.DataFrame:
        if self.tables is not None:
            return as_frame(self.tables)
        if simulate.bundled is not None:
            return bundled(simulate.bundled)
        if simulate.table is None:
            raise PlanError(
                "there is no table to deal out",
                where="[data.simulate]",
                remedy='add table = "FILE.csv", or pass a data frame to medfl.simulate',
            )
        return self._file(data, simulate.table)


def introduce_one(sites: Mapping[str, Site], name: str, vaults: Path, *, unmasked: Unmasked) -> Site:
    """Return one of several simulated sites, introduced to the others, with a memory that outlives its process."""
    introduce({name: sites[name]}, Identity.at(vaults / IDENTITY), others=sites, unmasked=unmasked)
    return sites[name]


def introduce(
    sites: Mapping[str, Site],
    root: Identity,
    *,
    others: Collection[str] = (),
    unmasked: Unmasked | None = None,
) -> None:
    """Give simulated sites their part in secure aggregation, as enrolment does with real ones.

    Parameters
    ----------
    sites
        Sites by name; each gets to know all others.
    root
        What their identities are derived from, so that every process of the simulation has the same.
    others
        Names of sites of other processes.
    unmasked
        Where they note what they helped to unmask; in memory where None.
    """
    identities = {name: Identity(root.derived("simulated site", name)) for name in {*sites, *others}}
    directory = {name: identity.public for name, identity in sorted(identities.items())}
    for name, site in sites.items():
        site.member = Member(name, identities[name], directory, unmasked=unmasked or UnmaskedHere())


def _dealt(frame: pd.DataFrame, data: Data, simulate: Simulate, seed: int) -> dict[str, Callable[[], Table]]:
    if data.target not in frame.columns:
        raise DataError(
            "the table has no such column",
            where="[data] target",
            received=data.target,
            remedy=f"the columns are: {', '.join(map(str, frame.columns))}",
        )
    if simulate.partition.kind == "column":
        left = frame.drop(columns=[simulate.partition.column], errors="ignore")
    else:
        left = frame
    whole = Sheet(left)
    parts = deal(frame, simulate, target=data.target, seed=seed)
    return {name: partial(Part, whole, rows) for name, rows in parts.items()}


def require_own_files(study: Study) -> None:
    """Refuse two sites that read one file of this machine; over a hub, one word names a data set at each hospital.

    Raises
    ------
    PlanError
        If there are two.
    """
    first: dict[str, str] = {}
    for name, file in (study.data.sites or {}).items():
        if first.setdefault(file, name) != name:
            raise PlanError(
                f"{name} reads the same file as {first[file]}: the same people would count twice",
                where="[data.sites]",
                received=repr(file),
                remedy=f"give {name} its own file; data sets of enrolled hospitals may have one name: medfl submit",
            )


def _require_names(names: Collection[str]) -> None:
    """Refuse names that could be taken for a path, or for the pool of all rows; they come from data and from Python."""
    if not names:
        raise PlanError("there is no site", where="tables", remedy="pass one data frame for each site, by name")
    strange = [name for name in names if not SITE_NAME.fullmatch(name) or name == POOL]
    if strange:
        raise PlanError(
            "a site cannot be called so",
            where="site names",
            received=listed(map(repr, strange)),
            remedy="use up to 80 letters, digits, dots, dashes and underscores, beginning with a letter or digit"
            f"; {POOL} is kept for the centralised baseline",
        )
