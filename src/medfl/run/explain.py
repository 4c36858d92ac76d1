"""Says in plain language what a study will do, before it does it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from medfl.events import DataPrepared, Event, Noticed
from medfl.run.plan import RunPlan
from medfl.run.preparing import Setting
from medfl.spec.model import MLP, Linear, Logistic, Model, Torch
from medfl.spec.study import Study
from medfl.spec.training import Training


@dataclass(frozen=True, slots=True)
class Section:
    """Sentences under a heading."""

    title: str
    sentences: tuple[str, ...]


def explain(
    study: Study, plans: Iterable[RunPlan], *, setting: Setting | None = None, events: Iterable[Event] = ()
) -> tuple[Section, ...]:
    """Return what will happen: who, on what, how often, what leaves a site, what is assumed.

    Parameters
    ----------
    study
        What is asked.
    plans
        Its runs.
    setting
        What the tables look like, where they were opened.
    events
        What preparing the tables told: rows a site, notices.
    """
    told = tuple(events)
    runs = tuple(plans)
    return (
        Section("What is asked", _asked(study)),
        Section("Who takes part", _who(study, told)),
        Section("On which columns", _columns(study, setting, told)),
        Section("How it is trained", _training(study, runs)),
        Section("What leaves a site", _leaves(study, setting)),
        Section("How it is judged", _judged(study)),
        Section("What is assumed", _assumed(study, setting, told)),
    )


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
            return f"your PyTorch module {model.name!r}"


def training_sentence(how: Training) -> str:
    """Describe local training in words."""
    names = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}
    length = (
        f"{how.local_steps} steps" if how.local_steps is not None else f"{how.epochs} epoch{'s' * (how.epochs > 1)}"
    )
    return (
        f"{length} of {names[how.optimizer]} a round, learning rate {how.learning_rate:g}, batches of {how.batch_size}"
    )


def _asked(study: Study) -> tuple[str, ...]:
    question = study.study.question or "No question is written down: add one as question in [study]."
    return (question, f"The outcome is {study.data.target!r}{_positive(study)}.")


def _positive(study: Study) -> str:
    return f", counted as a yes where it is {study.data.positive}" if study.data.positive else ""


def _who(study: Study, told: tuple[Event, ...]) -> tuple[str, ...]:
    rows = [event.sites for event in told if isinstance(event, DataPrepared)]
    if not rows:
        return ("The sites that hold the data; their tables were not opened.",)
    lines = [
        f"{name}: {part['train_rows']} rows to train on, {part['test_rows']} to test on."
        for name, part in rows[0].items()
    ]
    shown = lines if len(lines) <= 12 else [*lines[:10], f"… and {len(lines) - 10} more sites."]
    head = "one site" if len(lines) == 1 else f"{len(lines)} sites"
    dealt = f", dealt out from one table ({study.data.simulate.partition.kind})" if study.data.simulate else ""
    return (f"{head[0].upper()}{head[1:]}{dealt}; each keeps its rows.", *shown)


def _columns(study: Study, setting: Setting | None, told: tuple[Event, ...]) -> tuple[str, ...]:
    if setting is None:
        named = ", ".join(study.data.features) if study.data.features else f"all columns but {study.data.target!r}"
        return (f"Features: {named}.",)
    names = [feature.name for feature in setting.agreement.features]
    explained = [event.explained for event in told if isinstance(event, DataPrepared)]
    head = f"{len(names)} columns become {len(setting.recipe.feature_names)} numbers a row: {', '.join(names)}."
    return (head, *(explained[0] if explained else ()))


def _training(study: Study, runs: tuple[RunPlan, ...]) -> tuple[str, ...]:
    lines = []
    for name, arm in study.arms.items():
        algorithm = arm.algorithm
        settings = algorithm.model_dump(exclude={"kind", "rounds", "min_sites"})
        values = ", ".join(
            f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in settings.items()
        )
        rule = f"{algorithm.kind} ({values})" if values else algorithm.kind
        head = f"Arm {name!r}: " if study.arm else ""
        text = (
            f"{head}{model_sentence(arm.model)}; {algorithm.rounds} rounds of {rule}; "
            f"at each site {training_sentence(arm.training)}."
        )
        lines.append(text[0].upper() + text[1:])
    repeats = len(study.seeds)
    again = (
        f"Everything is repeated {repeats} times, with seeds {study.seeds[0]} to {study.seeds[-1]}. "
        if repeats > 1
        else f"Once, with seed {study.seeds[0]}. "
    )
    return (*lines, f"{again}That makes {len(runs)} run{'s' * (len(runs) > 1)} in all.")


def _leaves(study: Study, setting: Setting | None) -> tuple[str, ...]:
    size = f" ({setting.model(study.model).layout.size} numbers)" if setting is not None else ""
    filled = any(arm.preprocess.impute in ("median", "most-frequent") for arm in study.arms.values())
    sums = "sums, sums of squares" + (", histograms and counts" if filled else " and counts")
    return (
        "Before training: column names, types, categories, smallest and largest value, counts of missing values; then "
        f"{sums} for preprocessing.",
        f"Each round: the change of the model's weights{size} times the number of training rows, that number, and the "
        "training loss.",
        "For judging: histograms of the model's scores by outcome, error sums, and the site's own metrics.",
        "Never: a row of a table.",
        "Secure aggregation and differential privacy are not in force: whoever runs the hub sees each site's update.",
    )


def _judged(study: Study) -> tuple[str, ...]:
    how = study.evaluation
    if how.test_ids is not None:
        kept = f"On the rows whose {how.id_column} each site has listed for testing"
    else:
        draw = "one split for all repeats" if how.split_seed is not None else "drawn anew for each repeat"
        kept = f"On {how.test_fraction:.0%} of each site's rows, stratified by outcome where possible ({draw})"
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
        f"{kept}; a patient counts as positive from {point}.",
        f"Compared with {compared}."
        if compared
        else "Compared with nothing: name baselines in [evaluation] to see what federating gains.",
    )


def _assumed(study: Study, setting: Setting | None, told: tuple[Event, ...]) -> tuple[str, ...]:
    notes = [
        f"{event.site}: {event.text}." if event.site else f"{event.text}."
        for event in told
        if isinstance(event, Noticed)
    ]
    assumed = [] if setting is None else list(setting.agreement.notes)
    shown = notes if len(notes) <= 12 else [*notes[:10], f"… and {len(notes) - 10} more notices."]
    needed = study.algorithm.min_sites
    quorum = (
        "Every site must answer in every round, or the run stops."
        if needed is None
        else f"A round counts when {needed} sites answer."
    )
    return (*assumed, quorum, *shown)
