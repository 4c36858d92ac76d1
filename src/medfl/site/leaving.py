"""What a written policy makes of what is about to leave: words and sums, changed where it says so.

What was changed is noted in plain words, which name rules and never a number. A sum that the hub sees only added up
over sites is left as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from medfl import seeds
from medfl.learn.data.bins import Bins
from medfl.learn.data.cells import OTHER, in_order
from medfl.learn.data.harmonise import Agreement
from medfl.learn.data.outcome import FEW_CLASSES
from medfl.learn.data.schema import Column, Schema
from medfl.learn.model import Outcome
from medfl.learn.statistic import Array, Statistic, total
from medfl.privacy import cells
from medfl.privacy.suppression import Counts
from medfl.site.judgement import coarse, enough, secret_rates
from medfl.site.policy import Release, Verdict
from medfl.site.rules import ANY, Rules
from medfl.spec.harmonising import name_there
from medfl.spec.study import Study


def held_back(rules: Rules, release: Release) -> Verdict | None:
    """Return a no where something cannot be changed so that it may leave."""
    if rules.requires.secure_aggregation and release.statistic.arrays and not release.secure:
        return Verdict(
            False,
            "requires.secure_aggregation",
            "the hub would see this site's own sums, which may leave only in the total over sites",
            "run the study with secure aggregation, or write secure_aggregation = false in [requires]",
        )
    return _rare_class(rules, release)


def changed(rules: Rules, release: Release) -> Release:
    """Return the release with everything changed or taken out as the rules say."""
    leaving = _Leaving(rules, release)
    content, arrays = dict(release.content), dict(release.statistic.arrays)
    if "schema" in content:
        content["schema"] = leaving.schema(Schema.from_json(content["schema"])).to_json()
    if "rows" in content:
        content["rows"] = leaving.rows(content["rows"])
    if "metrics" in content:
        content |= leaving.metrics()
    if "loss" in content and "loss" not in rules.releases.details:
        del content["loss"]
        leaving.note("releases.details", "the training loss stayed")
    if "subgroups" in content:
        content["subgroups"] = leaving.groups(content["subgroups"])
    statistic = leaving.sums(Statistic(arrays))
    if leaving.notes:
        content["policy"] = [f"{text} ({rule} in the site's policy)" for rule, text in leaving.notes]
    return replace(release, content=content, statistic=statistic)


def too_few_rows(rules: Rules, release: Release) -> Verdict | None:
    """Return a no where a study has dropped too many of the rows."""
    least = rules.accepts.minimum_rows
    if len(release.facts.used()["rows/train"]) >= least:
        return None
    return Verdict(
        False,
        "accepts.minimum_rows",
        f"the study leaves fewer than {least} rows to train on",
        "fill missing values instead of dropping rows, or ask the site to lower minimum_rows in [accepts]",
    )


def _rare_class(rules: Rules, release: Release) -> Verdict | None:
    """Refuse to name a class of the outcome that few have: it cannot be left out.

    Where a study declares its classes and all counts come with noise, a refusal would be the one exact answer.
    """
    if release.is_noised:
        return None
    schema, study = release.content.get("schema"), release.study
    columns = Schema.from_json(schema).columns if schema is not None else ()
    column = next((one for one in columns if one.name == study.data.target), None)
    if column is None or not column.categories or _is_a_number(column, study):
        return None
    counts = np.array([*release.facts.counted(study.data.target).values()], np.int64)
    if cells.tellable(counts, fewest=rules.counts.minimum):
        return None
    return Verdict(
        False,
        "counts.minimum",
        f"an outcome has fewer than {rules.counts.minimum} patients at this site",
        'join rare outcomes in the study, such as with data.positive = "> 0", or leave the site out',
    )


def _is_a_number(target: Column, study: Study) -> bool:
    """Say whether an outcome is predicted as a number for sure, so that its values are no classes and need no names."""
    return target.kind == "numeric" and (study.model.kind == "linear" or len(target.categories) > FEW_CLASSES)


def _named(study: Study) -> Iterator[str]:
    """Yield columns that a study names, besides features: that they are there may be told."""
    yield from study.data.categorical
    yield from study.data.units
    yield from (how.column for how in (study.evaluation.subgroups or {}).values())


@dataclass(frozen=True, slots=True)
class _Leaving:
    """One release under the rules; the notes say what was changed."""

    rules: Rules
    release: Release
    notes: list[tuple[str, str]] = field(default_factory=list)

    def note(self, rule: str, text: str) -> None:
        if (rule, text) not in self.notes:
            self.notes.append((rule, text))

    # -- what the table looks like

    def schema(self, schema: Schema) -> Schema:
        details, known = self.rules.releases.details, self.rules.accepts.columns
        named = {*_named(self.release.study)}
        unused = tuple(name for name in schema.unused if "other-columns" in details or name in named)
        theirs = self.release.study.data.translations(self.release.request.site)
        columns = [one for one in schema.columns if known == ANY or name_there(theirs, one.name) in known]
        rows = max(2, self._count(schema.rows, "rows"))
        seen = tuple(
            self._ranged(replace(one, missing=self._missing(one, schema.rows, rows), categories=self._categories(one)))
            for one in columns
        )
        return Schema(seen, rows, unused)

    def _missing(self, column: Column, rows: int, told: int) -> int:
        """Return how many values of a column are said to be missing, of as many rows as are told."""
        if "missing" not in self.rules.releases.details:
            if column.missing:
                self.note("releases.details", "counts of missing values stayed")
            return 0
        there = rows - column.missing
        if there == 0 or (self.rules.counts.treatment == "suppress" and there < self.rules.counts.minimum):
            return told
        # Two rows are there at least, or the hub would take the site for empty.
        return min(self._count(column.missing, f"{column.name} missing"), max(told - 2, 0))

    def _ranged(self, column: Column) -> Column:
        asked = self.release.study.privacy.dp
        is_declared = asked is not None and column.name in asked.ranges
        if self.rules.releases.ranges == "exact" or is_declared or column.minimum is None or column.maximum is None:
            return column
        if self.rules.releases.ranges == "withheld":
            self.note("releases.ranges", "ranges of columns stayed")
            return replace(column, minimum=None, maximum=None)
        self.note("releases.ranges", "ranges of columns were widened to round numbers")
        low, high = cells.outward(column.minimum, column.maximum)
        return replace(column, minimum=low, maximum=high)

    def _categories(self, column: Column) -> tuple[str, ...]:
        """Return the categories that are told; those of the outcome cannot be put together."""
        is_target, asked = column.name == self.release.study.data.target, self.release.study.privacy.dp
        is_declared = asked is not None and column.name in asked.categories
        if not column.categories or is_declared or self.rules.releases.categories == "all":
            return column.categories
        if is_target:
            return () if _is_a_number(column, self.release.study) else column.categories
        counts = self.release.facts.counted(column.name)
        frequent = [name for name in column.categories if counts.get(name, 0) >= self.rules.counts.minimum]
        if len(frequent) == len(column.categories):
            return column.categories
        if self.rules.releases.categories == "pooled":
            self.note("releases.categories", f"rare categories were put together as {OTHER}")
            return in_order([*frequent, OTHER])
        self.note("releases.categories", "rare categories were taken as missing values")
        return tuple(frequent)

    # -- counts

    def rows(self, rows: Mapping[str, Any]) -> dict[str, Any]:
        numbers = {name: self._count(rows[name], name) for name in ("train_rows", "test_rows", "left_out")}
        classes = {name: self._classes(rows[name], name) for name in ("train_classes", "test_classes")}
        return {**numbers, **classes}

    def _classes(self, counts: Mapping[str, int], name: str) -> dict[str, int]:
        if "classes" not in self.rules.releases.details:
            self.note("releases.details", "rows by outcome stayed")
            return {}
        numbers = np.array([*counts.values()], np.int64)
        if self.rules.counts.treatment == "suppress":
            hidden = cells.hidden_in_line(numbers, fewest=self.rules.counts.minimum).any()
            if hidden:
                self.note("counts.minimum", "small counts of patients stayed")
            return {} if hidden else dict(counts)
        return dict(zip(counts, self._blurred(numbers, name).tolist(), strict=True))

    def _count(self, count: int, name: str) -> int:
        """Return a count of which no total is told."""
        if self.rules.counts.treatment != "suppress":
            return int(self._blurred(np.array([count]), name)[0])
        if cells.tellable(np.array(count), fewest=self.rules.counts.minimum):
            return count
        self.note("counts.minimum", "small counts of patients stayed")
        return 0

    def _line(self, counts: Counts, name: str) -> Counts:
        """Return a one-way table of which the total may be known."""
        if self.rules.counts.treatment != "suppress":
            return self._blurred(counts, name)
        hidden = cells.hidden_in_line(counts, fewest=self.rules.counts.minimum)
        if hidden.any():
            self.note("counts.minimum", "small counts of patients stayed")
        return np.where(hidden, 0, counts)

    def _blurred(self, counts: Counts, name: str) -> Counts:
        how = self.rules.counts
        if self.release.is_noised:
            # Only numbers of places are told here, and a draw that comes from the rows would tell of what is in them.
            base = how.base if how.treatment == "round" else max(2, round(2 * how.noise))
            self.note("counts.treatment", f"counts were rounded to multiples of {base}")
            return cells.rounded(counts, base=base)
        # Drawn from the rows themselves: the same whenever the same is asked, so that asking often averages nothing
        # out, and known to nobody who has not got the rows.
        secret = hashlib.sha256(np.sort(self.release.facts.prints()).tobytes() + np.int64(counts).tobytes()).hexdigest()
        draw = seeds.generator(0, site=self.release.request.site, purpose=f"blur {name} in {secret}")
        if how.treatment == "round":
            self.note("counts.treatment", f"counts were rounded to multiples of {how.base}")
            return cells.rounded(counts, base=how.base, draw=draw if how.unbiased else None)
        self.note("counts.treatment", "counts were blurred with noise")
        return cells.noised(counts, scale=how.noise, draw=draw)

    # -- how a model does

    def metrics(self) -> dict[str, Any]:
        """Return those of the site's own metrics that give no small count away."""
        release = self.release
        measured = release.statistic.under("evaluation")
        measured = measured if measured.arrays else release.kept.under("evaluation")
        words = {name: release.content[name] for name in ("metrics", "intervals")}
        listed = self.rules.releases.metrics if "metrics" in self.rules.releases.details else ()
        allowed = {name for name in words["metrics"] if listed == ANY or name in listed}
        if len(allowed) < len(words["metrics"]):
            self.note("releases.metrics", "metrics stayed: not all are released")
        if not self.release.is_noised:
            allowed -= self._secret(measured, words["metrics"])
        metrics = {name: value if name in allowed else None for name, value in words["metrics"].items()}
        spread = "intervals" in self.rules.releases.details
        return {
            "metrics": metrics,
            "intervals": {name: limits for name, limits in words["intervals"].items() if spread and name in allowed},
        }

    def _secret(self, measured: Statistic, metrics: Mapping[str, Any]) -> frozenset[str]:
        """Return the metrics that would give a small count away."""
        fewest = self.rules.counts.minimum
        if not enough(self._outcome, measured, fewest=fewest, test_rows=self._test_rows):
            self.note("counts.minimum_test_rows", "metrics stayed: too few test rows, or too few of an outcome")
            return frozenset(metrics)
        secret = secret_rates(self._outcome, measured, metrics, fewest=fewest)
        if secret:
            self.note("counts.minimum", "metrics of right and wrong decisions stayed: some decision was met too rarely")
        return secret

    def groups(self, said: Mapping[str, Any]) -> dict[str, Any]:
        if "subgroups" not in self.rules.releases.statistics:
            self.note("releases.statistics", "groups of patients stayed")
            return {name: {"withheld": True, "shown": [], "suppressed": []} for name in said}
        if self.rules.releases.categories == "all":
            return dict(said)
        return {name: {**words, "suppressed": []} for name, words in said.items()}

    def _coarse(self, statistic: Statistic, test_rows: int) -> Statistic:
        return coarse(self._outcome, statistic, fewest=self.rules.counts.minimum, test_rows=test_rows)

    @property
    def _test_rows(self) -> int:
        return self.rules.counts.minimum_test_rows

    @property
    def _agreement(self) -> Agreement:
        return Agreement.from_json(self.release.request.content["agreement"])

    @property
    def _outcome(self) -> Outcome:
        return self._agreement.outcome

    # -- sums

    def sums(self, statistic: Statistic) -> Statistic:
        """Return the sums that leave: all of them in a sum over sites, made safe where the hub sees them alone."""
        allowed = self.rules.releases.statistics
        arrays: dict[str, Array] = {}
        for kind in dict.fromkeys(name.partition("/")[0] for name in statistic.arrays):
            part = statistic.under(kind)
            if kind not in allowed:
                self.note("releases.statistics", f"{kind} stayed, and was told as zero")
                # Of the same names and shapes: what is summed securely must look alike at every site.
                part = Statistic({name: np.zeros_like(array) for name, array in part.arrays.items()})
                if kind == "subgroups" and not self.release.secure:
                    continue
            elif not self.release.secure and not self.release.is_noised:
                part = self._in_clear(kind, part)
            arrays |= part.prefixed(kind).arrays
        return Statistic(arrays)

    def _in_clear(self, kind: str, part: Statistic) -> Statistic:
        match kind:
            case "sums":
                return Statistic(dict(self._prepared(part)))
            case "evaluation":
                safe = self._coarse(part, self._test_rows)
                if any((safe[name] != array).any() for name, array in part.arrays.items()):
                    self.note("counts.minimum", "histograms of scores were coarsened")
                return safe
            case "subgroups":
                return self._each_coarse(part, self.rules.counts.minimum)
            case "importance":
                return self._each_coarse(part, self._test_rows)
        return part

    def _each_coarse(self, part: Statistic, test_rows: int) -> Statistic:
        """Make safe what was counted of each group, or with each feature shuffled."""
        by_prefix: dict[str, dict[str, Array]] = {}
        for name, array in part.arrays.items():
            prefix, _, last = name.rpartition("/")
            by_prefix.setdefault(prefix, {})[last] = array
        return total(self._coarse(Statistic(one), test_rows).prefixed(prefix) for prefix, one in by_prefix.items())

    def _prepared(self, part: Statistic) -> Iterator[tuple[str, Array]]:
        """Yield the sums that preprocessing is fitted from, with the counts among them made safe."""
        agreement, rows = self._agreement, int(part["rows"][0])
        told_rows = self._count(rows, "train_rows")
        for name, array in part.arrays.items():
            match name:
                case "rows":
                    yield name, np.array([told_rows])
                case "count":
                    missing = [self._count(rows - int(count), f"{name} {at}") for at, count in enumerate(array)]
                    yield name, np.maximum(told_rows - np.array(missing, np.int64), 0)
                case "classes":
                    yield name, self._line(array, "train_classes")
                case "categories":
                    yield name, self._lines(array, [len(column.categories) for column in agreement.categorical], name)
                case "histograms":
                    bins = partial(Bins.over, most=self.release.study.preprocess.median_bins)
                    yield name, self._lines(array, [bins(column).number for column in agreement.numeric], name)
                case _:
                    yield name, array

    def _lines(self, array: Counts, lengths: list[int], name: str) -> Counts:
        """Return tables that are laid end to end."""
        ends = pairwise(accumulate(lengths, initial=0))
        parts = [self._line(array[start:end], f"{name} {start}") for start, end in ends]
        return np.concatenate([np.zeros(0, np.int64), *parts])
