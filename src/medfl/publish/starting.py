"""What training started from, for the methods section and for whoever wants to do it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from medfl.publish.wording import counted, listed, sentence
from medfl.store.views import RunView


def start_in_words(model: Mapping[str, Any]) -> str:
    """Return the sentences on a spec's ``[model.start]``; nothing where first weights were drawn at random."""
    start = model.get("start")
    if not start:
        return ""
    texts = list(_sentences(start))
    if model["kind"] in ("logistic", "linear", "mlp") and (start.get("model") or start.get("run")):
        texts.insert(1, "The first layer was rewritten for this study's columns and scales, matched by name and unit")
    return " ".join(map(sentence, texts))


def started_from(run: RunView) -> str:
    """Return what a run started from with its digest, as one line; nothing where it was drawn at random."""
    return f"{run.start.source}, sha256 {run.start.digest}" if run.start is not None else ""


def _sentences(start: Mapping[str, Any]) -> Iterator[str]:
    yield f"Training started from {_named(start)}, not from random weights{_head(start)}"
    freeze = start.get("freeze", ())
    if freeze == "all-but-head":
        yield "All layers but the last were frozen"
    elif freeze:
        yield f"The layers {listed(freeze)} were frozen" if len(freeze) > 1 else f"Layer {freeze[0]} was frozen"
    rates = [f"{layer} {rate:g}" for layer, rate in start.get("rates", {}).items()]
    if rates:
        yield f"Layers learned at rates of their own, as factors of the learning rate: {listed(rates)}"
    if start.get("unfreeze_every") is not None:
        rounds = "round" if start["unfreeze_every"] == 1 else counted(start["unfreeze_every"], "round")
        yield (
            f"The last layer was trained first and one more layer joined in after every {rounds} "
            "(gradual unfreezing, Howard & Ruder 2018)"
        )
    if start.get("probe_rounds") is not None:
        yield (
            f"The last layer was trained alone for {counted(start['probe_rounds'], 'round')}, then all layers (linear "
            "probing, then fine-tuning, Kumar et al. 2022)"
        )


def _named(start: Mapping[str, Any]) -> str:
    if start.get("model") is not None:
        return f"the exported model {start['model']}"
    if start.get("run") is not None:
        return f"what run {start['run']} had learned"
    bundled = start.get("weights") == "bundled"
    return "the pre-trained weights of the module itself" if bundled else f"the weights in {start.get('weights')}"


def _head(start: Mapping[str, Any]) -> str:
    return "; its last layer was drawn anew" if start.get("new_head") else ""
