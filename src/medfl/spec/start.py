"""What training starts from, and how fast each layer then learns."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from medfl.spec.part import FrozenDict, Part, Table

ALL_BUT_HEAD = "all-but-head"
BUNDLED = "bundled"
Freeze: TypeAlias = Literal["all-but-head"] | tuple[str, ...]
"""Layers that stay as they are, by name; or all of them but the last."""
SOURCES = ("model", "run", "weights")


class Start(Part):
    """Weights learned elsewhere, instead of weights drawn at random, and how fast each layer learns from there."""

    model: str | None = Field(default=None, min_length=1)
    """Folder of an exported model (medfl export), relative to the spec's file; only the hub needs it."""
    run: str | None = Field(default=None, min_length=1)
    """Id, or its beginning, of a finished run of an arm or of the centralised baseline, in the same store."""
    weights: str | None = Field(default=None, min_length=1)
    """A safetensors file with tensors named as the model's own; or "bundled": those a torch factory brings along."""
    new_head: bool = False
    """Draw the last layer anew: for another outcome, or another number of classes."""
    freeze: Freeze = ()
    """Layers that stay as they are, such as ["layer1"]; or "all-but-head"."""
    rates: Table[Annotated[float, Field(gt=0.0)]] = Field(default_factory=FrozenDict)
    """Factor of the learning rate for each layer named, such as { layer1 = 0.1 }; 1 for the others."""
    unfreeze_every: int | None = Field(default=None, ge=1)
    """Train the head alone first and one layer more after each so many rounds (Howard & Ruder 2018, section 3.3)."""
    probe_rounds: int | None = Field(default=None, ge=1)
    """Train the head alone for so many rounds, then everything (LP-FT, Kumar et al. 2022, section 3.4)."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other: keep one of them")
        if not given:
            raise ValueError('nothing to start from: name one of model = "FOLDER", run = "RUN", weights = "FILE"')
        if self.bundled and self.new_head:
            raise ValueError(
                "bundled weights come with the head that the factory makes for this outcome: leave new_head out"
            )
        return self

    @model_validator(mode="after")
    def _one_schedule(self) -> Self:
        if self.unfreeze_every is not None and self.probe_rounds is not None:
            raise ValueError("unfreeze_every and probe_rounds exclude each other: keep one of them")
        if self.freeze == ALL_BUT_HEAD and (self.unfreeze_every or self.probe_rounds):
            key = "unfreeze_every" if self.unfreeze_every else "probe_rounds"
            raise ValueError(f'freeze = "all-but-head" leaves {key} nothing to unfreeze: keep one of them')
        return self

    @property
    def bundled(self) -> bool:
        """Whether a torch factory brings the weights along."""
        return self.weights == BUNDLED

    @property
    def source(self) -> str:
        """What is started from, as its key and value."""
        name = next(name for name in SOURCES if getattr(self, name) is not None)
        return f"{name} {getattr(self, name)}"

    @property
    def steers(self) -> bool:
        """Whether some layers learn differently from others."""
        return bool(self.freeze or self.rates or self.unfreeze_every or self.probe_rounds)
