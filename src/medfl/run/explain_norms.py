"""Says in plain language where a torch module's batch normalisation is, and what of it leaves a site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from medfl.errors import listed
from medfl.learn.model import Layout

NORMALISED: Mapping[str, str] = MappingProxyType(
    {
        "shared": "whose running statistics are pooled over the sites",
        "local": "that stays at each site and is never sent (FedBN)",
        "group": "replaced by group normalisation, in which rows do not meet",
    }
)
"""What ``batch_norm`` of a model means, behind "with batch normalisation"."""


def beside_weights(layout: Layout) -> Iterator[str]:
    """Yield what leaves a site beside its weights, and which layers do not; nothing of a model without either."""
    if any(name not in layout.own for name in layout.running):
        yield (
            "With it: the running statistics of its normalisations (means and second moments of what its training "
            "rows become inside the model), times the number of rows; they are pooled apart from the weights."
        )
    if layout.own:
        yield f"Kept at each site and never sent: its batch normalisation ({listed(layout.own, 4)})."
