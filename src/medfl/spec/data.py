"""Which tables, which columns, which outcome."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from medfl.spec.harmonising import SiteColumns, Translation
from medfl.spec.part import FrozenDict, Part, Table, tagged


class IID(Part):
    """Every site gets rows at random, in equal number."""

    kind: Literal["iid"] = "iid"


class Dirichlet(Part):
    """Each class is shared out by proportions drawn from a Dirichlet distribution (Yurochkin et al. 2019).

    Small α: sites that differ much.
    """

    kind: Literal["dirichlet"] = "dirichlet"
    alpha: float = Field(default=0.5, gt=0.0)
    """Concentration."""
    min_rows: int = Field(default=10, ge=2)
    """Fewest rows a site may get; proportions are drawn again until all have them."""


class Quantiles(Part):
    """Sites are consecutive quantiles of a column: a real shift between them."""

    kind: Literal["quantiles"] = "quantiles"
    column: str
    """The numeric column."""


class ByColumn(Part):
    """One site for each value of a column."""

    kind: Literal["column"] = "column"
    column: str
    """The column; it is not used as a feature."""


Partition = Annotated[IID | Dirichlet | Quantiles | ByColumn, Field(discriminator="kind"), tagged("kind", "iid")]


class Simulate(Part):
    """One table, dealt out to sites; in simulation only."""

    table: str | None = None
    """A CSV, Parquet or Excel file, relative to the spec's file. Left out when a data frame is passed in Python."""
    bundled: Literal["breast-cancer", "digits"] | None = None
    """A data set that ships inside a dependency, instead of a file."""
    sites: int | None = Field(default=None, ge=1, le=100_000)
    """Number of sites; with kind "column" it follows from the data."""
    names: tuple[str, ...] | None = None
    """Names of the sites, in order; site-01, site-02… where left out."""
    partition: Partition = IID()
    """How rows are dealt."""

    @model_validator(mode="after")
    def _one_source_and_a_count(self) -> Self:
        if self.table is not None and self.bundled is not None:
            raise ValueError("table and bundled exclude each other: keep one of them")
        if self.names is not None and self.sites is not None and len(self.names) != self.sites:
            raise ValueError(
                f"sites says {self.sites} but names has {len(self.names)}: make them agree or leave one out"
            )
        if self.partition.kind != "column" and self.sites is None and self.names is None:
            raise ValueError("sites is missing: say how many sites the table is dealt to")
        return self

    @property
    def named(self) -> tuple[str, ...]:
        """Names of the sites; none where these, or their number, follow from the data."""
        if self.names is not None or self.partition.kind == "column":
            return self.names or ()
        # As many digits as make the names sort like the numbers.
        digits = max(2, len(str(self.sites)))
        return tuple(f"site-{number:0{digits}}" for number in range(1, (self.sites or 0) + 1))


class Data(Part):
    """The outcome, the features, and where the rows are."""

    target: str = Field(min_length=1)
    """The column to predict."""
    positive: str | None = None
    """How a raw value becomes a yes: a comparison such as "> 0", or the value itself."""
    outcome: Literal["binary", "multiclass", "regression"] | None = None
    """The kind of outcome; inferred from the target and the model where left out."""
    features: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Columns to learn from; all but the target where left out."""
    categorical: tuple[str, ...] = ()
    """Columns whose numbers are codes, not quantities. Text columns are categorical anyway."""
    columns: tuple[str, ...] | None = None
    """Column names, for files that have no header line."""
    missing: tuple[str, ...] = ()
    """Further spellings of a missing value; empty cells, NA and NaN always are."""
    decimal: Literal[".", ","] | None = None
    """What stands before decimals in CSV files; left out: a point, or a comma where semicolons or tabs separate cells
    and the numbers can be read in no other way."""
    units: Table[str] = Field(default_factory=FrozenDict)
    """Unit of a column, as text; shown and compared between sites. What converts is `harmonise`."""
    one_class: Literal["refuse", "keep"] | None = None
    """What to do with a site that has one outcome only; left out: "keep" where rows are dealt out, else "refuse"."""
    sites: Table[str] | None = None
    """One file for each site, relative to the spec's file."""
    simulate: Simulate | None = None
    """One table dealt out to simulated sites, instead of `sites`."""
    harmonise: Table[SiteColumns] | None = Field(default=None, min_length=1)
    """For each site whose table is written otherwise: the names, units and codes that its columns have there."""

    @model_validator(mode="after")
    def _sites_or_simulate(self) -> Self:
        if self.sites is not None and self.simulate is not None:
            raise ValueError("data.sites and data.simulate exclude each other: keep one of them")
        if self.sites is not None and not self.sites:
            raise ValueError("data.sites is empty: name at least one site and its file")
        return self

    def translations(self, site: str) -> dict[str, Translation]:
        """Return how a site's columns are read, by the study's names of them; nothing where they are as they are."""
        found = (self.harmonise or {}).get(site)
        return {} if found is None else found.columns
