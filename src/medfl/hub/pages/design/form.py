"""A study as a form: every key of the spec's language as a field, with its help, its default and what is wrong with it.

The form is read from the language itself, so a new key or a new algorithm has its field without a line here.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_origin

from pydantic.fields import FieldInfo

from medfl.hub.pages.design.shape import OPTIONAL, Widget, spelled, widget_of
from medfl.spec.anatomy import bare, chosen, element_of, kind_of, members, named, parts_of, tag_of, words_of
from medfl.spec.finding import Finding
from medfl.spec.lines import KeyPath
from medfl.spec.part import Part
from medfl.spec.study import PARTS, Study

STEPS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "study": ("Question", "What do you want to know, and how often is the whole repeated?"),
        "data": ("Outcome and data", "Which column is predicted, from which, and where the rows are."),
        "preprocess": ("Preparing", "How the sites bring their columns to one scale. Only sums leave a site for it."),
        "model": (
            "Model",
            "What is learned. Begin with a logistic regression: it shows what each column does.",
        ),
        "training": ("Training at a site", "How a hospital trains between two exchanges."),
        "algorithm": ("Learning together", "How the hospitals’ changes become one model, and how often."),
        "privacy": ("Privacy", "What the hub can read, and what is promised to a patient."),
        "evaluation": ("Judging", "On which rows a model is judged, and what it is compared with."),
    }
)
"""Title and lead of each step, in the order of the path."""
FIRST: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "study": frozenset({"name", "question", "repeats"}),
        "data": frozenset(
            {
                "target",
                "positive",
                "features",
                "sites",
                "simulate",
                "simulate.bundled",
                "simulate.table",
                "simulate.sites",
                "simulate.names",
                "simulate.partition",
            }
        ),
        "preprocess": frozenset({"impute", "scale"}),
        "model": frozenset({"hidden"}),
        "training": frozenset({"learning_rate", "batch_size", "local_epochs"}),
        "algorithm": frozenset({"rounds", "mu", "server_learning_rate", "fraction"}),
        "privacy": frozenset({"secure_aggregation", "dp", "dp.unit", "dp.epsilon", "dp.ranges"}),
        "evaluation": frozenset({"test_fraction", "baselines", "threshold"}),
    }
)
"""Fields that are seen at once; the others are one click away."""
LONG: Mapping[str, str] = MappingProxyType({"dp": "differential privacy"})
"""Keys whose names are abbreviations, spelled out."""

Tables: TypeAlias = Mapping[str, Any]
Presence: TypeAlias = Literal["always", "there", "absent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One key.

    Parameters
    ----------
    path
        With dots; it names the field in the page and in what is sent.
    label, help
        What it is called, and the sentence of the reference.
    widget, words
        How it is entered, and the words to choose from.
    value, usual
        As it is written; its default, in words.
    wrong
        What is wrong with it.
    first
        Whether it is seen at once.
    """

    path: str
    label: str
    help: str
    widget: Widget
    words: tuple[str, ...]
    value: str
    usual: str
    wrong: tuple[str, ...]
    first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A table of keys.

    Parameters
    ----------
    path, label, help
        As for a field.
    tag, kinds, kind
        The key that names its kind, the kinds there are with a sentence each, and the one it is.
    presence
        Whether the table must be there, or is, or is not.
    fields, groups
        What is in it.
    wrong
        What is wrong with it as a whole.
    first
        Whether it is seen at once.
    """

    path: str
    label: str
    help: str
    tag: str = ""
    kinds: tuple[tuple[str, str], ...] = ()
    kind: str = ""
    presence: Presence = "always"
    fields: tuple[Field, ...] = ()
    groups: tuple[Group, ...] = ()
    wrong: tuple[str, ...] = ()
    first: bool = True

    @property
    def faulty(self) -> bool:
        """Whether anything in it is wrong."""
        return bool(self.wrong) or any(one.wrong for one in self.fields) or any(one.faulty for one in self.groups)

    @property
    def texts(self) -> tuple[str, ...]:
        """What is seen of it at once, in words: its kind, and the labels and help of its first fields."""
        shown = [field for field in self.fields if field.first or field.value or field.wrong]
        own = (self.help, *(about for kind, about in self.kinds if kind == self.kind), self.kind)
        return (*own, *(text for field in shown for text in (field.label, field.help)))

    @property
    def more(self) -> bool:
        """Whether there is something that is not seen at once."""
        return any(not one.first for one in self.fields) or any(not one.first for one in self.groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step on the way to a study."""

    name: str
    title: str
    lead: str
    group: Group


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmForm:
    """An arm: its name, and the steps in which it differs."""

    number: int
    name: str
    wrong: tuple[str, ...]
    groups: tuple[Group, ...]

    @property
    def faulty(self) -> bool:
        """Whether anything in it is wrong."""
        return bool(self.wrong) or any(one.faulty for one in self.groups)


def steps_of(tables: Tables, found: Sequence[Finding]) -> tuple[Step, ...]:
    """Return the form of a study's tables, however broken they are."""
    reader = _Reader(found)
    return tuple(
        Step(
            name=name,
            title=title,
            lead=lead,
            group=reader.group(Study.model_fields[name], (name,), tables.get(name), usual=None),
        )
        for name, (title, lead) in STEPS.items()
    )


def arms_of(tables: Tables, found: Sequence[Finding]) -> tuple[ArmForm, ...]:
    """Return the form of the arms: of each, the parts that it overrides, with the study's own values as defaults."""
    reader = _Reader(found)
    every = tables.get("arm", ())
    return tuple(
        ArmForm(
            number=number,
            name=str(arm.get("name", "")),
            wrong=reader.wrong(("arm", number), deep=False) + reader.wrong(("arm", number, "name"), deep=True),
            groups=tuple(
                reader.group(Study.model_fields[part], ("arm", number, part), arm[part], usual=tables.get(part))
                for part in PARTS
                if part in arm
            ),
        )
        for number, arm in enumerate(every if isinstance(every, list) else ())
        if isinstance(arm, Mapping)
    )


class _Reader:
    """Reads tables as a form, and puts what was found wrong where it belongs."""

    def __init__(self, found: Sequence[Finding]) -> None:
        self._found = found

    def group(self, field: FieldInfo, path: KeyPath, value: object, *, usual: object) -> Group:
        """Return the form of one table; `usual` is what its keys are where it does not say."""
        part = _part(field, value, usual)
        words = value if isinstance(value, Mapping) else {}
        before = usual if isinstance(usual, Mapping) else {}
        inner = [(name, one) for name, one in part.model_fields.items() if name != tag_of(part)] if part else []
        return Group(
            path=_dotted(path),
            label=_label(path),
            help=field.description or "",
            tag=tag_of(part) or "" if part and len(parts_of(field)) > 1 else "",
            kinds=tuple((kind_of(one), _about(one)) for one in parts_of(field)) if len(parts_of(field)) > 1 else (),
            kind=kind_of(part) if part else "",
            presence="always" if _must_be(field, path) else "absent" if value is None else "there",
            fields=tuple(
                self._field(one, (*path, name), words.get(name), usual=before.get(name))
                for name, one in inner
                if not _is_group(one)
            )
            if value is not None or _must_be(field, path)
            else (),
            groups=tuple(
                self.group(one, (*path, name), words.get(name), usual=before.get(name))
                for name, one in inner
                if _is_group(one)
            )
            if value is not None or _must_be(field, path)
            else (),
            wrong=self.wrong(path, deep=False),
            first=_first(path),
        )

    def _field(self, field: FieldInfo, path: KeyPath, value: object, *, usual: object) -> Field:
        default = field.get_default(call_default_factory=True) if not field.is_required() else None
        known = usual if usual is not None else default
        return Field(
            path=_dotted(path),
            label=_label(path),
            help=field.description or "",
            widget=widget_of(field),
            words=words_of(field.annotation) or words_of(element_of(field.annotation)),
            value=spelled(value),
            usual=spelled(known) or ("needed" if field.is_required() else OPTIONAL),
            wrong=self.wrong(path, deep=True),
            first=_first(path),
        )

    def wrong(self, path: KeyPath, *, deep: bool) -> tuple[str, ...]:
        """Return what is wrong at a key; `deep` takes in what lies under it."""
        return tuple(
            f"{one.what} → {one.remedy}" if one.remedy else one.what
            for one in self._found
            if one.path == path or (deep and one.path[: len(path)] == path)
        )


def unplaced(found: Sequence[Finding], steps: Sequence[Step], arms: Sequence[ArmForm]) -> Iterator[str]:
    """Yield what is wrong and stands at no field of the form."""
    shown = {text for step in steps for text in _said(step.group)}
    shown |= {text for arm in arms for text in (*arm.wrong, *(t for group in arm.groups for t in _said(group)))}
    for one in found:
        text = f"{one.what} → {one.remedy}" if one.remedy else one.what
        if text not in shown:
            yield f"{_dotted(one.path)}: {text}" if one.path else text


def _said(group: Group) -> Iterator[str]:
    yield from group.wrong
    for field in group.fields:
        yield from field.wrong
    for inner in group.groups:
        yield from _said(inner)


def _part(field: FieldInfo, value: object, usual: object) -> type[Part] | None:
    """Return the part whose keys are shown: what the value asks for, else what is usual."""
    parts = parts_of(field)
    if len(parts) == 1:
        return parts[0]
    tag = tag_of(parts[0]) or ""
    said = isinstance(value, str) or (isinstance(value, Mapping) and tag in value)
    return chosen(field, value if said or usual is None else usual)


def _is_group(field: FieldInfo) -> bool:
    """Say whether a key holds one table, and neither a list of them nor tables under names of the user's."""
    many = any(get_origin(bare(member)) in (tuple, dict) for member in members(field.annotation))
    return bool(parts_of(field)) and not named(field) and not many


def _must_be(field: FieldInfo, path: KeyPath) -> bool:
    return field.is_required() or field.get_default(call_default_factory=True) is not None or len(path) == 1


def _first(path: KeyPath) -> bool:
    below = path[2:] if path[0] == "arm" else path
    return len(below) < 2 or _dotted(below[1:]) in FIRST.get(str(below[0]), ())


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))


def _label(path: KeyPath) -> str:
    text = LONG.get(str(path[-1]), str(path[-1])).replace("_", " ")
    return text[:1].upper() + text[1:]


def _about(part: type[Part]) -> str:
    return " ".join((inspect.getdoc(part) or "").split("\n\n")[0].split())
