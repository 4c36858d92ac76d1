"""What a policy may look at of a site's table before it decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from medfl.learn.data import positive
from medfl.learn.data.cells import Rows
from medfl.learn.data.clean import Clean
from medfl.messages import Request
from medfl.site.desk import Desk
from medfl.site.policy import Prints
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
        sheet, data = self.desk.sheet(), self.study.data
        if column == data.target and data.positive is not None:
            rule = positive.parse(data.positive)
            yes = rule.holds(sheet.cells(column, data.missing), column)
            return {label: int((yes == value).sum()) for value, label in enumerate(rule.classes(column))}
        texts = sheet.texts(column, data.missing)
        return dict(zip(texts.distinct, texts.counts.tolist(), strict=True))

    def used(self) -> Mapping[str, Prints]:
        """Return the rows that an answer is about, by ``kind/name``."""
        train, test = self.desk.parts(self.study, self.request)
        sets = {"rows/train": train.kept, "rows/test": test.kept}
        sets |= {f"class/{name}": rows for name, rows in (*_by_class(train, "train"), *_by_class(test, "test"))}
        for grouping, groups in self.desk.groups(self.study, self.request).items():
            for place, name in enumerate(groups.names):
                sets[f"group/{grouping}/{name}"] = test.kept[groups.codes == place]
        prints = self.prints()
        return {name: prints[rows] for name, rows in sets.items()}


def _by_class(part: Clean, name: str) -> Iterator[tuple[str, Rows]]:
    """Yield the rows of each class; none where the outcome is a number with many values."""
    if part.outcome is None:
        return
    found = np.unique(part.outcome)
    if len(found) <= MOST_CLASSES:
        yield from ((f"{name}/{value:g}", part.kept[part.outcome == value]) for value in found.tolist())


MOST_CLASSES = 64
