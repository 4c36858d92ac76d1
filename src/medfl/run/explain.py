"""Says in plain language what a study will do, before it does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, TypeAlias

from medfl.errors import listed
from medfl.events import DataPrepared, Event, Noticed, SiteFailed
from medfl.run.explain_guards import guarded, needed
from medfl.run.explain_norms import NORMALISED, beside_weights
from medfl.run.explain_parts import judged_in_parts, leaves_in_parts
from medfl.run.explain_privacy import leaves_privately, promised
from medfl.run.explain_start import start_sentence
from medfl.run.plan import RunPlan
from medfl.run.preparing import Setting
from medfl.spec.algorithm import AlgorithmPart
from medfl.spec.discover import titled
from medfl.spec.harmonising import sentences as harmonised
from medfl.spec.model import MLP, Linear, Logistic, Model, ModelPart, Torch
from medfl.spec.study import Study
from medfl.spec.training import Training

_UNREAD = (
    "The sites that hold the data; which rows train and which test is settled once their tables are read for the run."
)
BASELINES = "baselines"
"""What the study itself is called beside its arms, where none of them is like it."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What preparing the tables gave.

    Parameters
    ----------
    study
        The arm they were prepared for; others that read them alike share it.
    setting
        What the tables look like.
    events
        What was told meanwhile: rows a site, notices, who does not take part.
    """

    study: Study
    setting: Setting
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """Sentences under a heading."""

    title: str
    sentences: tuple[str, ...]


def explain(study: Study, plans: Iterable[RunPlan], *, prepared: Sequence[Prepared] = ()) -> tuple[Section, ...]:
    """Return what will happen: who, on what, how often, what leaves a site, what is assumed; and where arms differ.

    Parameters
    ----------
    study
        What is asked.
    plans
        Its runs.
    prepared
        What the tables look like, where they were opened: once for each :func:`reading` of them.
    """
    known = {reading(one.study): one for one in prepared}
    told = {name: (arm, known.get(reading(arm))) for name, arm in _variants(study).items()}

    def said(how: _Say) -> tuple[str, ...]:
        return tuple(_merged({name: how(*one) for name, one in told.items()}))

    return (
        Section("What is asked", said(_asked)),
        Section("Who takes part", said(_who)),
        *_columns({name: _columns_of(*one) for name, one in told.items()}),
        Section("How it is trained", _training(study, tuple(plans))),
        Section("What leaves a site", said(_leaves)),
        Section("How it is judged", said(_judged)),
        Section("What is assumed", said(_assumed)),
    )


def reading(study: Study) -> tuple[str, ...]:
    """Return what makes two arms prepare their tables alike, and build models of one size."""
    split = study.evaluation.model_dump_json(include={"test_fraction", "split_seed", "test_ids", "id_column"})
    parts = (study.data, study.preprocess, study.model)
    grouped = study.evaluation.model_dump_json(include={"subgroups"})
    rounds = str(study.algorithm.rounds) if study.model.start is not None else ""
    # Under differential privacy ranges are declared, and noise follows from batches and rounds.
    dp = study.privacy.dp
    private = "" if dp is None else f"{dp.model_dump_json()}{study.training.model_dump_json()}{study.algorithm.rounds}"
    dumped = (part.model_dump_json() for part in parts)
    return (rounds, *dumped, split, grouped, str(study.algorithm.min_sites), private)


def model_sentence(model: Model) -> str:
    """Name a model in words."""
    match model:
        case Logistic():
            return "a logistic regression"
        case Linear():
            return "a linear regression"
        case MLP():
            layers = "-".join(map(str, model.hidden))
            extras = [f"dropout {model.dropout:g}"] if model.dropout else []
            extras += ["layer normalisation"] if model.layer_norm else []
            tail = f" with {' and '.join(extras)}" if extras else ""
            return f"a multilayer perceptron with hidden layers {layers} ({model.activation}){tail}"
        case Torch():
            options = ", ".join(f"{name} {value}" for name, value in model.options.items())
            text = f"your PyTorch module {model.name!r}" + (f" ({options})" if options else "")
            return f"{text} with batch normalisation {NORMALISED[model.batch_norm]}" if model.batch_norm else text
        case ModelPart():
            settings = ", ".join(f"{name} {value}" for name, value in model.settings.items())
            return titled(model.kind) + (f" ({settings})" if settings else "")


def training_sentence(how: Training) -> str:
    """Describe local training in words."""
    names = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}
    length = (
        f"{how.local_steps} steps" if how.local_steps is not None else f"{how.epochs} epoch{'s' * (how.epochs > 1)}"
    )
    told = {"optimizer", "learning_rate", "batch_size", "local_epochs", "local_steps"}
    others = how.model_dump(exclude=told, exclude_defaults=True)
    return ", ".join(
        [
            f"{length} of {names[how.optimizer]} a round",
            f"learning rate {how.learning_rate:g}",
            f"batches of {how.batch_size}",
            *(_set(name, value) for name, value in others.items()),
        ]
    )


def _set(name: str, value: Any) -> str:
    """Spell a setting: "momentum 0.9", "class_weight no: 1, yes: 3", and a switch by its name alone."""
    match value:
        case True:
            return name
        case {"kind": kind, **rest}:
            settings = ", ".join(_set(str(key), inner) for key, inner in rest.items())
            return f"{name} {kind}" + (f" ({settings})" if settings else "")
        case Mapping():
            return f"{name} {', '.join(f'{key}: {inner:g}' for key, inner in value.items())}"
        case float():
            return f"{name} {value:g}"
    return f"{name} {value}"


_Sentences: TypeAlias = tuple[str, ...]
_Say: TypeAlias = Callable[[Study, Prepared | None], _Sentences]


def _variants(study: Study) -> dict[str, Study]:
    """Return the arms by name and, where no arm is like it, the study that the baselines follow."""
    base = study.overridden({})
    needed = study.evaluation.baselines and base not in study.arms.values()
    alike = base.overridden({"algorithm": {"fraction": None, "min_asked": None}})  # a baseline has no rounds to ask in
    return study.arms | ({BASELINES: alike} if needed else {})


def _merged(said: Mapping[str, _Sentences]) -> Iterator[str]:
    """Yield what all arms say once, and what some say with their names before it."""
    abreast = zip_longest(*said.values())
    for sentence in dict.fromkeys(one for row in abreast for one in row if one is not None):
        names = [name for name, sentences in said.items() if sentence in sentences]
        yield sentence if len(names) == len(said) else f"{_capital(_named(names))}: {sentence}"


def _named(names: Sequence[str]) -> str:
    """Return "arm 'a'", "arms 'a' and 'b'", "the baselines", "arm 'a' and the baselines"."""
    arms = [repr(name) for name in names if name != BASELINES]
    parts = [f"arm{'s' * (len(arms) > 1)} {listed(arms, 12)}"] if arms else []
    return " and ".join([*parts, *(["the baselines"] if BASELINES in names else [])])


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _asked(study: Study, _: Prepared | None) -> _Sentences:
    question = study.study.question or "No question is written down: add one as question in [study]."
    return (question, f"The outcome is {study.data.target!r}{_positive(study)}.")


def _positive(study: Study) -> str:
    return f", counted as a yes where it is {study.data.positive}" if study.data.positive else ""


def _who(study: Study, prepared: Prepared | None) -> _Sentences:
    rows = [event.sites for event in _told(prepared) if isinstance(event, DataPrepared)]
    if not rows:
        return (_UNREAD, *_asked_each_round(study, None))
    lines = [
        f"{name}: {part['train_rows']} rows to train on, {part['test_rows']} to test on."
        for name, part in rows[0].items()
    ]
    shown = lines if len(lines) <= 12 else [*lines[:10], f"… and {len(lines) - 10} more sites."]
    head = "one site" if len(lines) == 1 else f"{len(lines)} sites"
    dealt = f", dealt out from one table ({study.data.simulate.partition.kind})" if study.data.simulate else ""
    return (f"{head[0].upper()}{head[1:]}{dealt}; each keeps its rows.", *shown, *_asked_each_round(study, len(lines)))


def _asked_each_round(study: Study, sites: int | None) -> Iterator[str]:
    rule = study.algorithm
    if rule.fraction is None:
        return
    least = max(rule.min_asked or 1, rule.min_sites or 1)
    who = (
        f"{rule.fraction:.4g} of the sites" + (f", {least} at least" if least > 1 else "")
        if sites is None
        else f"{rule.asked(sites)} of {sites} sites"
    )
    yield (
        f"Each round asks {who}, drawn anew from the seed. Metrics along the way come from those that were asked; "
        "the last model is judged at all sites."
    )


def _columns(said: Mapping[str, _Sentences]) -> Iterator[Section]:
    """Yield one section for each way of taking the columns; it names the arms where there are several."""
    ways: dict[_Sentences, list[str]] = {}
    for name, sentences in said.items():
        ways.setdefault(sentences, []).append(name)
    for sentences, names in ways.items():
        yield Section("On which columns" + (f" ({_named(names)})" if len(ways) > 1 else ""), sentences)


def _columns_of(study: Study, prepared: Prepared | None) -> _Sentences:
    if prepared is None:
        named = ", ".join(study.data.features) if study.data.features else f"all columns but {study.data.target!r}"
        return (f"Features: {named}.", *_harmonised(study))
    setting = prepared.setting
    names = [feature.name for feature in setting.agreement.features]
    explained = [event.explained for event in prepared.events if isinstance(event, DataPrepared)]
    head = f"{len(names)} columns become {len(setting.recipe.feature_names)} numbers a row: {', '.join(names)}."
    return (head, *(explained[0] if explained else ()), *_harmonised(study))


def _harmonised(study: Study) -> Iterator[str]:
    for told in harmonised(study.data.harmonise or {}, study.data.units):
        yield f"{_capital(told)}. The site does this when it reads its rows, before anything else."


def _training(study: Study, runs: tuple[RunPlan, ...]) -> tuple[str, ...]:
    lines = []
    for name, arm in study.arms.items():
        algorithm = arm.algorithm
        settings = algorithm.model_dump(exclude=set(AlgorithmPart.model_fields), exclude_none=True)
        values = ", ".join(_set(key, value) for key, value in settings.items())
        rule = f"{algorithm.kind} ({values})" if values else algorithm.kind
        head = f"Arm {name!r}: " if study.arm else ""
        text = (
            f"{head}{model_sentence(arm.model)}; {algorithm.rounds} rounds of {rule}; "
            f"at each site {training_sentence(arm.training)}."
        )
        lines.append(_capital(text))
        if arm.model.start is not None:
            lines.append(_capital(f"{head}{start_sentence(arm.model.start)}"))
    repeats = len(study.seeds)
    again = (
        f"Everything is repeated {repeats} times, with seeds {study.seeds[0]} to {study.seeds[-1]}. "
        if repeats > 1
        else f"Once, with seed {study.seeds[0]}. "
    )
    weighing = sum(run.role == "coalition" for run in runs)
    of_which = f", {weighing} of them by only some of the sites, to tell what each contributes" if weighing else ""
    return (*lines, f"{again}That makes {len(runs)} run{'s' * (len(runs) > 1)} in all{of_which}.")


def _leaves(study: Study, prepared: Prepared | None) -> _Sentences:
    layout = prepared.setting.model(study.model).layout if prepared is not None else None
    size = f" ({layout.learned} numbers)" if layout is not None else ""
    sites = None if prepared is None else len(prepared.setting.sites)
    dp = study.privacy.dp
    if dp is not None:
        told = (
            leaves_privately(study, dp, size=size),
            promised(study, dp, told=_told(prepared), size=None if layout is None else layout.learned),
        )
        return (*told[0], "Never: a row of a table.", *guarded(study, sites), *told[1])
    filled = study.preprocess.impute in ("median", "most-frequent")
    sums = "sums, sums of squares" + (", histograms and counts" if filled else " and counts")
    return (
        "Before training: column names, types, categories, smallest and largest value, counts of missing values; then "
        f"{sums} for preprocessing.",
        f"Each round: {study.algorithm.sends.format(size=size)}.",
        *(beside_weights(layout) if layout is not None else ()),
        *_singly(study),
        "For judging: histograms of the model's scores by outcome, error sums, and the site's own metrics.",
        *leaves_in_parts(study),
        "Never: a row of a table.",
        *guarded(study, sites),
    )


def _singly(study: Study) -> Iterator[str]:
    rule = study.algorithm
    if rule.single_contributions:
        yield f"The hub compares the sites' contributions one by one ({rule.kind}): they cannot be hidden in a sum."
    if rule.keeps:
        yield f"Kept at each site from round to round and never sent: {rule.keeps}."


def _judged(study: Study, prepared: Prepared | None) -> _Sentences:
    how = study.evaluation
    kind = _outcome_kind(study, prepared)
    if how.test_ids is not None:
        kept = f"On the rows whose {how.id_column} each site has listed for testing"
    elif study.privacy.dp is not None and study.privacy.dp.within_sites:
        kept = f"On the rows that each {study.privacy.dp.unit} is drawn for with a chance of {how.test_fraction:.0%}"
    else:
        draw = "one split for all repeats" if how.split_seed is not None else "drawn anew for each repeat"
        stratified = "" if kind == "regression" else ", stratified by outcome where possible"
        kept = f"On {how.test_fraction:.0%} of each site's rows{stratified} ({draw})"
    against = {
        "centralised": "all rows in one place (possible in simulation only)",
        "local-only": "each site alone",
    }
    compared = " and with ".join(against[name] for name in how.baselines)
    point = (
        "the point of the pooled ROC that is furthest from chance"
        if how.threshold == "youden"
        else f"probability {how.threshold:g}"
    )
    return (
        f"{kept}; a patient counts as positive from {point}." if kind in ("binary", "") else f"{kept}.",
        f"Compared with {compared}."
        if compared
        else "Compared with nothing: name baselines in [evaluation] to see what federating gains.",
        *judged_in_parts(study),
    )


def _outcome_kind(study: Study, prepared: Prepared | None) -> str:
    """Return what is predicted, as far as it is known; else nothing."""
    if prepared is not None:
        return prepared.setting.agreement.outcome.kind
    return "regression" if isinstance(study.model, Linear) else study.data.outcome or ""


def _assumed(study: Study, prepared: Prepared | None) -> _Sentences:
    gone = [
        f"Site {event.site} does not take part: {_ended(event.reason)}"
        for event in _told(prepared)
        if isinstance(event, SiteFailed)
    ]
    notes = [
        f"{event.site}: {event.text}." if event.site else f"{event.text[:1].upper()}{event.text[1:]}."
        for event in _told(prepared)
        if isinstance(event, Noticed)
    ]
    assumed = () if prepared is None else prepared.setting.agreement.notes
    shown = notes if len(notes) <= 12 else [*notes[:10], f"… and {len(notes) - 10} more notices."]
    least = needed(study, None if prepared is None else len(prepared.setting.sites))
    quorum = (
        f"Every site{' that is asked' * (study.algorithm.fraction is not None)} must answer in every round, or the run "
        "stops."
        if least is None
        else f"A round counts when {least} site{' answers' if least == 1 else 's answer'}."
    )
    return (*assumed, quorum, *gone, *shown)


def _told(prepared: Prepared | None) -> tuple[Event, ...]:
    return prepared.events if prepared is not None else ()


def _ended(reason: str) -> str:
    """Return a reason of several lines as one sentence."""
    text = " ".join(reason.split())
    return text if text.endswith((".", "?", "!")) else f"{text}."
