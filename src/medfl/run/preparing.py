"""Before the first round: what the tables look like, what all sites share, and preprocessing fitted over them."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from medfl.errors import DataError
from medfl.events import DataDescribed, DataPrepared, Event, Noticed
from medfl.learn.data.grouping import unknown_columns
from medfl.learn.data.harmonise import Agreement, harmonise
from medfl.learn.data.preprocess import fit
from medfl.learn.data.recipe import Recipe, explain
from medfl.learn.data.schema import Schema
from medfl.learn.model import Model
from medfl.learn.models import build
from medfl.run.asking import Answers, Asking, changed_by_policy, said
from medfl.run.checkpoint import Checkpoint
from medfl.run.guarded import readable, told
from medfl.spec.model import Model as ModelPart
from medfl.spec.study import Study


@dataclass(frozen=True, slots=True)
class Setting:
    """What every later request takes as given.

    Parameters
    ----------
    sites
        Who takes part, sorted.
    agreement
        Columns, categories and outcome that all sites share.
    recipe
        The fitted preprocessing.
    content
        Both, as every request carries them.
    largest
        Training rows of the largest site.
    """

    sites: tuple[str, ...]
    agreement: Agreement
    recipe: Recipe
    content: dict[str, Any]
    largest: int

    def model(self, part: ModelPart) -> Model:
        """Return the model, bound to the input's width and the outcome."""
        return build(part, features=len(self.recipe.feature_names), outcome=self.agreement.outcome)


def prepare(
    asking: Asking, sites: Sequence[str], *, before: Checkpoint | None = None
) -> Generator[Event, None, Setting]:
    """Describe, agree, fit.

    Parameters
    ----------
    asking
        The hub's voice.
    sites
        Who is asked.
    before
        Where the run goes on. What all had agreed on holds where one of them is not there to say it again: it is asked
        for the next round as the others are.

    Raises
    ------
    DataError
        With all that does not fit together, over all sites.
    """
    study = Study.model_validate_json(asking.study)
    began = time.perf_counter()
    described = yield from asking.ask("describe", sites)
    if before is not None and before.agreement and before.recipe and set(described.sites) < set(before.sites):
        return (yield from _as_before(asking, described, before, time.perf_counter() - began))
    agreement = _agree(study, described)
    yield from changed_by_policy(asking.run, described)
    yield DataDescribed(
        run=asking.run,
        sites=_fingerprints(described),
        agreement=agreement.to_json(),
        seconds=time.perf_counter() - began,
    )
    began = time.perf_counter()
    content: dict[str, Any] = {"agreement": agreement.to_json()}
    summed = yield from asking.ask("prepare", described.sites, content=content)
    yield from told(asking.run, "prepare", summed)
    sums = readable(summed.total.under("sums"), agreement, study)
    recipe = fit(sums, agreement, preprocess=study.preprocess, model_kind=study.model.kind)
    yield DataPrepared(
        run=asking.run,
        sites=said(summed, "rows"),
        recipe=recipe.to_json(),
        explained=tuple(explain(recipe)),
        seconds=time.perf_counter() - began,
    )
    yield from _notices(asking.run, study, summed)
    yield from changed_by_policy(asking.run, summed)
    largest = max(rows["train_rows"] for rows in said(summed, "rows").values())
    return Setting(summed.sites, agreement, recipe, content | {"recipe": recipe.to_json()}, largest)


def _as_before(
    asking: Asking, described: Answers, before: Checkpoint, seconds: float
) -> Generator[Event, None, Setting]:
    """Take what was agreed on before; that who is there has the same table is for the reader of the event to see."""
    agreement, recipe = Agreement.from_json(before.agreement), Recipe.from_json(before.recipe)
    run, prints = asking.run, _fingerprints(described)
    yield DataDescribed(run=run, sites=prints, agreement=agreement.to_json(), seconds=seconds)
    for site in asking.present(sorted(set(before.sites) - set(described.sites))):
        text = "it was not there when the run went on; what its table was prepared by stays as it was"
        yield Noticed(run=run, site=site, text=text)
    content = {"agreement": agreement.to_json(), "recipe": recipe.to_json()}
    return Setting(tuple(sorted(before.sites)), agreement, recipe, content, before.largest)


def _agree(study: Study, described: Answers) -> Agreement:
    schemas = {site: Schema.from_json(schema) for site, schema in said(described, "schema").items()}
    keep = study.data.one_class or ("keep" if study.data.simulate is not None else "refuse")
    complaints = list(unknown_columns(schemas, study.evaluation))
    try:
        agreed = harmonise(schemas, study.data, model_kind=study.model.kind, keep_one_class=keep == "keep")
    except DataError as error:
        raise DataError.of([*error.complaints, *complaints]) from error
    if complaints:
        raise DataError.of(complaints)
    return agreed


def _fingerprints(described: Answers) -> dict[str, dict[str, Any]]:
    """Return what identifies each site's table without saying a value of it."""
    schemas = {site: Schema.from_json(schema) for site, schema in said(described, "schema").items()}
    return {
        site: {
            "rows": schema.rows,
            "schema": schema.digest,
            "missing": {column.name: column.missing for column in schema.columns if column.missing},
        }
        for site, schema in schemas.items()
    }


def _notices(run: str, study: Study, summed: Answers) -> Generator[Event, None, None]:
    for site, rows in said(summed, "rows").items():
        if rows["left_out"]:
            text = f"{rows['left_out']} rows were left out: the outcome or a feature is missing"
            yield Noticed(run=run, site=site, text=text)
        if rows["train_rows"] < study.training.batch_size:
            count = "1 training row is" if rows["train_rows"] == 1 else f"{rows['train_rows']} training rows are"
            text = f"{count} fewer than a batch of {study.training.batch_size}"
            yield Noticed(run=run, site=site, text=f"{text}: each step uses all of them")
        for part in ("train", "test"):
            present = [name for name, count in rows[f"{part}_classes"].items() if count]
            if len(present) == 1:
                text = f"all {part} rows have one outcome ({present[0]})"
                yield Noticed(run=run, site=site, text=text + (": its AUC is not defined" if part == "test" else ""))
