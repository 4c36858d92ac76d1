"""How contributions became one model, for the methods section: the rule, its paper and settings, who was asked."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from medfl.publish.wording import counted, percent, sentence
from medfl.spec.algorithm import AlgorithmPart
from medfl.spec.discover import algorithms, kind_of


def federation(spec: Mapping[str, Any]) -> str:
    """Return the sentences on a spec's algorithm."""
    algorithm = spec["algorithm"]
    settings = {name: value for name, value in algorithm.items() if name not in AlgorithmPart.model_fields}
    needed, some = algorithm.get("min_sites"), algorithm.get("fraction") is not None
    whom = "every site that was asked" if some else "every site"
    quorum = f"{whom} had to answer" if needed is None else f"at least {counted(needed, 'site')} had to answer"
    texts = [
        f"The sites' models were combined over {counted(algorithm['rounds'], 'round')} by {citation(algorithm['kind'])}"
        f"{settings_in_words(settings)}; in every round {quorum}",
    ]
    if some:
        texts.append(_participation(algorithm))
    part = _installed(algorithm["kind"])
    if part is not None and part.single_contributions:
        texts.append("The rule compared the sites' single contributions, which the hub therefore saw")
    if part is not None and part.keeps:
        texts.append(f"Each site kept {part.keeps}, from round to round and never sent it")
    return " ".join(map(sentence, texts))


def _participation(algorithm: Mapping[str, Any]) -> str:
    least = max(algorithm.get("min_asked") or 1, algorithm.get("min_sites") or 1)
    bound = f", and {counted(least, 'site')} at least," if least > 1 else ""
    return (
        f"Each round asked {percent(algorithm['fraction'])} of the sites{bound} drawn at random from the seed; metrics "
        "along the way are of those, the final ones of all sites"
    )


def sent_by(kind: str) -> str:
    """Return what a rule has each site send in a round; for one that is not installed here, what all rules do."""
    part = _installed(kind) or AlgorithmPart
    if part.sends == AlgorithmPart.sends:
        return (
            "the change of the model's weights after training on its rows, multiplied by the number of training rows; "
            "that number; the mean training loss"
        )
    return part.sends.format(size="")


def citation(kind: str) -> str:
    """Return an algorithm's name and paper, the first line of its own file, as "FedAvg (McMahan et al. 2017, …)"."""
    part = _installed(kind)
    told = (sys.modules[part.__module__].__doc__ or "") if part else ""
    name, found, paper = told.strip().partition("\n")[0].rstrip(".").partition(": ")
    return f"{name[:1].lower() + name[1:] if ' ' in name else name} ({paper})" if found else kind


def _installed(kind: str) -> type[AlgorithmPart] | None:
    return next((part for part in algorithms() if kind_of(part) == kind), None)


_SYMBOLS = MappingProxyType({"beta1": "β₁", "beta2": "β₂", "tau": "τ", "mu": "μ"})


def settings_in_words(settings: Mapping[str, Any]) -> str:
    """Return settings as " with β₁ 0.9, τ 0.001"; a table of a kind as its kind and its own settings."""
    named = {_SYMBOLS.get(name, name.replace("_", " ")): value for name, value in settings.items()}
    pairs = [f"{name} {_value(value)}" for name, value in named.items()]
    return f" with {', '.join(pairs)}" if pairs else ""


def _value(value: Any) -> str:
    if isinstance(value, Mapping) and "kind" in value:
        own = settings_in_words({name: inner for name, inner in value.items() if name != "kind"})
        return f"{value['kind']}{own.replace(' with ', ' (', 1)})" if own else str(value["kind"])
    return f"{value:g}" if isinstance(value, float) else str(value)
