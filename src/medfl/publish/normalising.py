"""Batch normalisation of torch modules in words: for the methods section, and for what left each site."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from medfl.publish.wording import sentence

_METHODS = MappingProxyType(
    {
        "shared": "The running statistics of batch normalisation were pooled over the sites by training rows, through "
        "first and second moments, apart from the aggregation of the weights",
        "local": "Batch normalisation, its learned scale and shift included, stayed at each site and was not "
        "aggregated (FedBN, Li et al. 2021)",
        "group": "Each batch normalisation of the module was replaced by group normalisation (Wu & He 2018), which "
        "treats each row by itself",
    }
)


def normalisation_in_words(model: Mapping[str, Any]) -> str:
    """Return the sentence on a spec's ``batch_norm``; nothing where it says nothing of it."""
    asked = model.get("batch_norm")
    return sentence(_METHODS[asked]) if asked else ""


def left_of_normalisation(model: Mapping[str, Any]) -> str:
    """Return what of a torch module's running statistics leaves in a round; nothing for other models."""
    if model["kind"] in ("logistic", "linear", "mlp"):
        return ""
    if model.get("batch_norm") == "local":
        return "its batch normalisation stays"
    return "where the module keeps running statistics, as batch normalisation does, these times the number of rows"
