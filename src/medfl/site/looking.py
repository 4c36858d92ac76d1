"""What a policy may look at of a site's table before it decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from medfl.learn.data import positive
from medfl.learn.data.cells import Texts
from medfl.learn.data.clean import Clean
from medfl.learn.data.prints import Prints
from medfl.learn.data.schema import MOST_CATEGORIES, Column
from medfl.messages import Request
from medfl.site.desk import Desk
from medfl.spec.study import Study


@dataclass(frozen=True, slots=True)
class Looking:
    """Reads what a policy asks for from the desk, when it asks.

    Parameters
    ----------
    desk
        Has the table.
    study, request
        What is about to be answered.
    """

    desk: Desk
    study: Study
    request: Request

    def prints(self) -> Prints:
        """Return a number for each row of the table, by which it is known again."""
        return self.desk.sheet().prints()

    def counted(self, column: str) -> Mapping[str, int]:
        """Return how many rows have each category of a column; for the target, each class."""
        sheet, data = self.desk.translated(self.study), self.study.data
        if column == data.target and data.positive is not None:
            rule = positive.parse(data.positive)
            yes = rule.holds(sheet.cells(column, data.missing), column)
            return {label: int((yes == value).sum()) for value, label in enumerate(rule.classes(column))}
        texts = sheet.texts(column, data.missing)
        return dict(zip(texts.distinct, texts.counts.tolist(), strict=True))

    def used(self) -> Mapping[str, Prints]:
        """Return the rows that an answer is about, by ``rows/part``, ``class/part/name`` and ``group/part/name``.

        Before the sites have agreed on anything, ``missing/column``.
        """
        if "agreement" not in self.request.content:
            return self._missing()
        train, test = self.desk.parts(self.study, self.request)
        # Both together, too: what is told of each part can be added up, and the same of all rows but one taken away.
        parts = {"train": [train], "test": [test], "all": [train, test]}
        sets = {f"rows/{name}": np.concatenate([part.kept for part in of]) for name, of in parts.items()}
        for name, of in parts.items():
            # Under differential privacy what is told of a class comes with noise: only the places are looked at.
            for label in sorted({label for part in of if part.usable is None for label in _labels(part)}):
                members = [part.kept[part.outcome == label] for part in of if part.outcome is not None]
                sets[f"class/{name}/{label:g}"] = np.concatenate(members)
        for grouping, groups in self.desk.groups(self.study, self.request).items():
            for place, name in enumerate(groups.names):
                sets[f"group/test/{grouping}/{name}"] = test.kept[groups.codes == place]
        prints = self.prints()
        return {name: prints[rows] for name, rows in sets.items()}

    def _missing(self) -> Mapping[str, Prints]:
        """Return the rows without a value in each column; which spellings mean that is for the study to say."""
        prints, sheet = self.prints(), self.desk.translated(self.study)
        cells = {column.name: sheet.cells(column.name, self.study.data.missing) for column in self._columns}
        return {
            f"missing/{name}": prints[found.codes < 0 if isinstance(found, Texts) else np.isnan(found.values)]
            for name, found in cells.items()
        }

    @property
    def _columns(self) -> tuple[Column, ...]:
        return self.desk.schema(self.study).columns


def _labels(part: Clean) -> list[float]:
    """Return the classes of these rows; none where the outcome is a number with many values."""
    found: list[float] = [] if part.outcome is None else np.unique(part.outcome).tolist()
    return found if len(found) <= MOST_CATEGORIES else []
