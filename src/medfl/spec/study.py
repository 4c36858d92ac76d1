"""The study: what is asked, in one frozen value.

The same value comes from TOML, from clicks and from Python, and has one canonical text and one digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeAlias, Union

from pydantic import Field, SerializeAsAny, model_validator

from medfl.spec.algorithm import AlgorithmPart
from medfl.spec.data import Data
from medfl.spec.discover import algorithms, models
from medfl.spec.evaluation import Evaluation
from medfl.spec.merging import Override, merge
from medfl.spec.model import MLP, Linear, Logistic, Torch
from medfl.spec.model import Model as AnyModel
from medfl.spec.part import Part, tagged
from medfl.spec.preprocess import Preprocess
from medfl.spec.privacy import Privacy
from medfl.spec.training import SGD, Training

VERSION = 1
PARTS = ("data", "preprocess", "model", "training", "algorithm", "evaluation", "privacy")

if TYPE_CHECKING:
    Algorithm: TypeAlias = AlgorithmPart
    Model: TypeAlias = AnyModel
else:
    Model = Annotated[
        Union[Logistic, Linear, MLP, Torch, *models()],
        Field(discriminator="kind"),
        tagged("kind", "logistic"),
    ]
    Algorithm = Annotated[Union[algorithms()], Field(discriminator="kind"), tagged("kind", "fedavg")]  # noqa: UP007


def _fedavg() -> AlgorithmPart:
    return next(part for part in algorithms() if part.model_fields["kind"].default == "fedavg")(kind="fedavg")


class Info(Part):
    """What the study is called, what it asks, and how often it is repeated."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")
    """Short name: letters, digits, dots, dashes, underscores."""
    question: str = ""
    """The question, in a sentence a reader understands."""
    seed: int = Field(default=0, ge=0, le=2**53)
    """Seed of the first repeat; each further repeat adds one."""
    repeats: int = Field(default=1, ge=1, le=1000)
    """How often the whole is repeated, each time with another seed."""


class Arm(Part):
    """A variant to compare: the study with some parts overridden."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")
    """The arm's name."""
    data: Override | None = None
    preprocess: Override | None = None
    model: Override | None = None
    training: Override | None = None
    algorithm: Override | None = None
    evaluation: Override | None = None
    privacy: Override | None = None

    @property
    def overrides(self) -> dict[str, Override]:
        """The parts that differ from the study's."""
        return {part: getattr(self, part) for part in PARTS if getattr(self, part) is not None}


class Study(Part):
    """A whole study."""

    version: Literal[1] = 1
    """Version of the spec's language."""
    study: Info
    data: Data
    preprocess: Preprocess = Preprocess()
    model: Model = Logistic()
    """What is learned."""
    training: Training = SGD()
    """How a site trains between two exchanges."""
    algorithm: SerializeAsAny[Algorithm] = Field(default_factory=_fedavg)
    """How the sites' contributions become one model, and how often."""
    evaluation: Evaluation = Evaluation()
    privacy: Privacy = Privacy()
    arm: tuple[Arm, ...] = ()
    """Variants to compare; a study without arms is its own only arm."""

    @model_validator(mode="after")
    def _arms_have_names_of_their_own(self) -> Self:
        names = [arm.name for arm in self.arm]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two arms are called {', '.join(twice)}: give each a name of its own")
        return self

    @property
    def canonical(self) -> str:
        """The study as JSON: keys sorted, defaults spelled out, nothing optional that is absent."""
        return json.dumps(
            self.model_dump(mode="json", exclude_none=True), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )

    @property
    def digest(self) -> str:
        """Sha256 of the canonical text."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()

    @property
    def arms(self) -> dict[str, Study]:
        """Each arm as a study of its own; the study itself, under "base", where it has no arms."""
        if not self.arm:
            return {"base": self}
        return {arm.name: self.overridden(arm.overrides) for arm in self.arm}

    def overridden(self, overrides: Mapping[str, Override]) -> Study:
        """Return the study with parts overridden and no arms.

        Raises
        ------
        pydantic.ValidationError
            If the result is not a study.
        """
        return Study.model_validate(merge(self.model_dump(mode="json", exclude_none=True), overrides))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each repeat."""
        return tuple(self.study.seed + repeat for repeat in range(self.study.repeats))
