"""The methods section of a paper, written from the spec: past tense, every setting that a reader would ask for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

from pydantic import ValidationError

from medfl.publish.dropped import methods_of_dropped
from medfl.publish.federating import federation, settings_in_words
from medfl.publish.guarding import guards
from medfl.publish.methods_of_parts import methods_of_parts
from medfl.publish.normalising import normalisation_in_words
from medfl.publish.policies import held_back, methods_of_policies
from medfl.publish.starting import start_in_words
from medfl.publish.tables import outcome_of
from medfl.publish.wording import counted, listed, percent, sentence, whole
from medfl.spec.discover import titled
from medfl.spec.harmonising import SiteColumns, sentences
from medfl.spec.merging import merge
from medfl.spec.preprocess import OneHot
from medfl.spec.study import Study
from medfl.store.views import RunView

Spec: TypeAlias = Mapping[str, Any]
Say: TypeAlias = Callable[[Spec], str]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph under a run-in heading."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Setting:
    """What the spec alone does not say, as far as a run has found it out.

    Parameters
    ----------
    sites
        Names of the sites.
    rows
        Rows of all their tables.
    features
        The columns learned from.
    outcome
        "binary", "multiclass", "regression", or empty where not known.
    versions
        Of Python and the packages.
    secure
        Whether secure aggregation was in force where the spec does not say.
    kept
        What policies held back or changed, and where.
    dropped
        What is to be said of sites that were left out; empty where none was.
    """

    sites: tuple[str, ...] = ()
    rows: int | None = None
    features: tuple[str, ...] = ()
    outcome: str = ""
    versions: Mapping[str, str] | None = None
    secure: bool = False
    kept: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dropped: str = ""


def methods(spec: Spec, setting: Setting | None = None) -> tuple[Paragraph, ...]:
    """Return the methods of a study (its canonical JSON, decoded) as paragraphs.

    Where arms differ, the sentence that differs is given once for each.
    """
    known, each = setting or Setting(), arms_of(spec)
    first = next(iter(each.values()))
    paragraphs = (
        Paragraph("Data", _data(first, known)),
        Paragraph("Preprocessing", _by_arm(each, _preprocessing)),
        Paragraph("Model and local training", f"{_by_arm(each, _model)} {_by_arm(each, _training)}"),
        Paragraph(
            "Federation",
            f"{_by_arm(each, federation)} {_by_arm(each, partial(_privacy, known))} {known.dropped}".rstrip(),
        ),
        Paragraph("Disclosure control", methods_of_policies(known.kept)),
        Paragraph("Comparators", _baselines(first)),
        Paragraph("Evaluation", _evaluation(first, known)),
        Paragraph("Statistics", _statistics(spec, each, first)),
        Paragraph("Further comparisons", _by_arm(each, methods_of_parts)),
        Paragraph("Software", _software(known)),
    )
    return tuple(paragraph for paragraph in paragraphs if paragraph.text)


def setting_of(run: RunView, *, among: Iterable[RunView] = ()) -> Setting:
    """Return what a run has found out about its setting.

    Parameters
    ----------
    run
        The run.
    among
        All runs that are told of together, for the sites that were left out of some of them; itself where empty.
    """
    features = run.agreement.get("features", ())
    rows = [site.rows for site in run.sites.values() if site.rows is not None]
    return Setting(
        sites=tuple(run.sites),
        rows=sum(rows) if rows else None,
        features=tuple(str(each["name"]) if isinstance(each, Mapping) else str(each) for each in features),
        outcome=outcome_of(run),
        versions=run.versions,
        secure=run.secure,
        kept=held_back(run.notices),
        dropped=methods_of_dropped(tuple(among) or [run]),
    )


def arms_of(spec: Spec) -> Mapping[str, Spec]:
    """Return each arm as a spec of its own, with the defaults of what it overrides spelled out.

    An algorithm that is not installed here has no defaults to spell out: then the arms are told as they were written.
    """
    try:
        return {name: json.loads(arm.canonical) for name, arm in Study.model_validate(dict(spec)).arms.items()}
    except ValidationError:
        arms = spec.get("arm") or ({"name": "base"},)
        return {
            arm["name"]: merge(spec, {part: change for part, change in arm.items() if part != "name"}) for arm in arms
        }


def _by_arm(each: Mapping[str, Spec], say: Say) -> str:
    texts = {name: say(arm) for name, arm in each.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return " ".join(f"In arm {name}: {text[:1].lower()}{text[1:]}" for name, text in texts.items())


def _data(spec: Spec, known: Setting) -> str:
    data = spec["data"]
    kinds = {
        "binary": "The binary outcome",
        "multiclass": "The categorical outcome",
        "regression": "The numeric outcome",
    }
    kind = kinds.get(known.outcome or data.get("outcome", ""), "The outcome")
    rule = f" (positive where {data['positive']})" if data.get("positive") else ""
    features = known.features or tuple(data.get("features") or ())
    columns = (
        f"{counted(len(features), 'column')} ({listed(features, at_most=40)})" if features else "all other columns"
    )
    units = ", ".join(f"{column} in {unit}" for column, unit in (data.get("units") or {}).items())
    texts = [f"{kind} {data['target']}{rule} was predicted from {columns}"]
    texts += [f"Units: {units}"] if units else []
    texts += [_sites(data, known)]
    harmonise = {site: SiteColumns.model_validate(dict(table)) for site, table in (data.get("harmonise") or {}).items()}
    if told := list(sentences(harmonise, data.get("units") or {})):
        texts += ["Columns were harmonised at the sites before any other step", *told]
    if data.get("missing"):
        texts += [f"Cells reading {listed([repr(text) for text in data['missing']])} were taken as missing"]
    return " ".join(map(sentence, texts))


def _sites(data: Spec, known: Setting) -> str:
    count = len(known.sites) or len(data.get("sites") or ())
    holders = counted(count, "site") if count else "several sites"
    total = f" with {whole(known.rows)} rows in all" if known.rows is not None else ""
    simulated = data.get("simulate")
    if simulated is None:
        return f"the rows were held by {holders}{total}"
    source = _source(simulated)
    return f"this was a simulation: {source} was dealt to {holders}{total} {_dealt(simulated)}"


def _source(simulated: Spec) -> str:
    if simulated.get("bundled"):
        return f"the {simulated['bundled']} data set that ships with scikit-learn"
    return f"the table {simulated['table'].rsplit('/', 1)[-1]}" if simulated.get("table") else "one table"


def _dealt(simulated: Spec) -> str:
    partition = simulated.get("partition") or {"kind": "iid"}
    match partition["kind"]:
        case "dirichlet":
            alpha = f"α = {partition.get('alpha', 0.5):g}"
            return f"by class proportions drawn from a Dirichlet distribution with {alpha} (Hsu et al. 2019)"
        case "quantiles":
            return f"as consecutive quantiles of {partition['column']}, so that the sites differ"
        case "column":
            return f"by the values of {partition['column']}, which was not used as a feature"
        case _:
            return "at random, in equal number"


_IMPUTED = MappingProxyType(
    {
        "none": "No column had missing values",
        "drop": "Rows with a missing value were left out",
        "mean": "Missing numbers were replaced by the column's mean over all sites",
        "median": "Missing numbers were replaced by the column's median over all sites, read from summed histograms of "
        "{bins} bins",
        "most-frequent": "Missing numbers were replaced by the column's most frequent value over all sites",
        "mean-per-site": "Missing numbers were replaced by the column's mean at the site",
        "median-per-site": "Missing numbers were replaced by the column's median at the site",
        "most-frequent-per-site": "Missing numbers were replaced by the column's most frequent value at the site",
    }
)
_SCALED = MappingProxyType(
    {
        "none": "Features were not scaled",
        "standard": "Features were scaled to mean 0 and standard deviation 1, computed from sums over all sites' "
        "training rows",
        "min-max": "Features were scaled to the range from 0 to 1 over all sites' training rows",
        "standard-per-site": "Each site scaled its features to mean 0 and standard deviation 1 over its own training "
        "rows",
        "min-max-per-site": "Each site scaled its features to the range from 0 to 1 over its own training rows",
    }
)


def _preprocessing(spec: Spec) -> str:
    how = spec["preprocess"]
    impute = _IMPUTED.get(how["impute"], how["impute"]).format(bins=whole(how["median_bins"]))
    categories = "" if how["impute"] in ("none", "drop") else "missing categories by the most frequent one"
    encode = how["encode"]
    encoded = "Categories, if any, became their position in sorted order"
    if encode["kind"] == "one-hot":
        dropped = OneHot.model_validate(encode).drops_first(spec["model"]["kind"])
        reference = ", the first category in sorted order being the reference" if dropped else ""
        encoded = f"Categories, if any, became one 0/1 column each over the union of all sites' categories{reference}"
    texts = [f"{impute}, {categories}" if categories else impute, encoded, _SCALED.get(how["scale"], how["scale"])]
    return " ".join(map(sentence, texts))


def _model(spec: Spec) -> str:
    model = spec["model"]
    match model["kind"]:
        case "logistic":
            text = "The model was a logistic regression"
        case "linear":
            text = "The model was a linear regression"
        case "mlp":
            extras = [f"dropout {model['dropout']:g}"] if model.get("dropout") else []
            extras += ["layer normalisation"] if model.get("layer_norm") else []
            layers = counted(len(model["hidden"]), "hidden layer")
            units = listed(map(str, model["hidden"]))
            added = f", {listed(extras)}" if extras else ""
            shape = f"{layers} of {units} units, {model['activation']} activation{added}"
            text = f"The model was a multilayer perceptron with {shape}"
        case "torch":
            text = f"The model was the PyTorch module {model['name']}{settings_in_words(model.get('options', {}))}"
        case kind:
            own = {name: value for name, value in model.items() if name not in ("kind", "start")}
            text = f"The model was {titled(kind)}{settings_in_words(own)}"
    return " ".join(filter(None, (sentence(text), normalisation_in_words(model), start_in_words(model))))


_OPTIMISERS = MappingProxyType(
    {
        "sgd": "stochastic gradient descent",
        "adam": "Adam (Kingma & Ba 2015)",
        "adamw": "AdamW (Loshchilov & Hutter 2019)",
    }
)


def _training(spec: Spec) -> str:
    how = spec["training"]
    shown = {
        "learning rate": how["learning_rate"],
        "momentum": how.get("momentum") or None,
        "β₁": how.get("beta1"),
        "β₂": how.get("beta2"),
        "ε": how.get("eps"),
        "weight decay": how.get("weight_decay") or None,
    }
    settings = ", ".join(f"{name} {value:g}" for name, value in shown.items() if value is not None)
    nesterov = " with Nesterov momentum" if how.get("nesterov") else ""
    length = (
        counted(how["local_steps"], "step")
        if how.get("local_steps") is not None
        else f"{counted(how.get('local_epochs') or 1, 'pass', 'passes')} over its training rows"
    )
    asked = " that was asked" if spec["algorithm"].get("fraction") is not None else ""
    optimiser = _OPTIMISERS.get(how["optimizer"], how["optimizer"])
    texts = [
        f"In each round each site{asked} took {length} by {optimiser}{nesterov} ({settings}) in batches of "
        f"{how['batch_size']}"
    ]
    if how.get("clip_norm") is not None:
        texts += [f"Gradients were clipped to a Euclidean norm of {how['clip_norm']:g}"]
    if how.get("class_weight"):
        texts += [_weights(how["class_weight"])]
    return " ".join(map(sentence, texts))


def _weights(weights: Any) -> str:
    if weights == "balanced":
        return "Classes were weighted in the loss in inverse proportion to their rows over all sites"
    return f"Classes were weighted in the loss: {', '.join(f'{name} {value:g}' for name, value in weights.items())}"


def _privacy(known: Setting, spec: Spec) -> str:
    return " ".join(guards(spec.get("privacy") or {}, secure=known.secure))


def _baselines(spec: Spec) -> str:
    steps = spec["training"].get("local_steps") is not None
    budget = "for as many steps as all sites took together" if steps else "for as many passes as the federation made"
    texts = {
        "centralised": f"the same model was trained on all sites' training rows in one place, {budget}",
        "local-only": "each site trained the same model on its own training rows alone, as long as in the federation",
    }
    return " ".join(sentence(texts[name]) for name in spec["evaluation"].get("baselines", ()) if name in texts)


def _evaluation(spec: Spec, known: Setting) -> str:
    how = spec["evaluation"]
    if how.get("test_ids"):
        texts = [
            f"Each site kept the rows whose {how.get('id_column', 'ID')} it had listed for testing; the lists stayed "
            "there"
        ]
    else:
        split = (
            f"one split (seed {how['split_seed']}) for all repeats"
            if how.get("split_seed") is not None
            else "a split of its own for each repeat"
        )
        texts = [
            f"Each site kept {percent(how['test_fraction'])} of its rows for testing, stratified by outcome where each "
            f"class had enough rows, by {split}"
        ]
    if known.outcome == "regression":
        return " ".join(map(sentence, [*texts, "Errors are given in the outcome's own unit"]))
    if known.outcome != "multiclass":
        threshold = how.get("threshold", 0.5)
        point = (
            "from the point of the pooled ROC curve with the largest Youden index"
            if threshold == "youden"
            else f"from a predicted probability of {threshold:g}"
        )
        texts += [f"A patient counted as positive {point}"]
    texts += [
        "Pooled ROC and precision-recall curves were read from the sum of the sites' score histograms "
        "(2\u202f048 bins), so that no score left a site with its row"
    ]
    return " ".join(map(sentence, texts))


def _statistics(spec: Spec, each: Mapping[str, Spec], first: Spec) -> str:
    repeats, seed = spec["study"].get("repeats", 1), spec["study"].get("seed", 0)
    samples = first["evaluation"].get("bootstrap", 0)
    if repeats == 1:
        texts = [f"The study was run once, with seed {seed}"]
        if samples:
            texts += [
                f"Intervals are 95 % bootstrap percentile intervals over test rows ({whole(samples)} samples); they do "
                "not cover the randomness of training"
            ]
        return " ".join(map(sentence, texts))
    texts = [
        f"The study was repeated {counted(repeats, 'time')}, with seeds {seed} {'and' if repeats == 2 else 'to'} "
        f"{seed + repeats - 1}; means over the repeats are given with 95 % t-intervals",
    ]
    if len(each) > 1 or first["evaluation"].get("baselines"):
        one_split = first["evaluation"].get("split_seed") is not None or first["evaluation"].get("test_ids")
        test = (
            "the paired t-test, which speaks of the randomness of training on this one split"
            if one_split
            else "the corrected resampled t-test (Nadeau & Bengio 2003), as the repeats' training rows overlap"
        )
        texts += [
            f"Ways of learning were compared over the same seeds by {test}, with Holm's correction over all comparisons"
        ]
    return " ".join(map(sentence, texts))


def _software(known: Setting) -> str:
    if not known.versions:
        return ""
    names = {
        "medfl": "MEDfl",
        "python": "Python",
        "numpy": "NumPy",
        "pandas": "pandas",
        "scipy": "SciPy",
        "torch": "PyTorch",
    }
    ordered = sorted(known.versions.items(), key=lambda item: (item[0] != "medfl", item[0] != "python", item[0]))
    used: Sequence[str] = [f"{names.get(package, package)} {version}" for package, version in ordered]
    return sentence(f"{listed(used, at_most=20)} did the arithmetic")
