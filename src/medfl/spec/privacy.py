"""What may leave a site."""

from __future__ import annotations

from medfl.spec.part import Part


class Privacy(Part):
    """Protection of what sites send."""

    secure_aggregation: bool | None = None
    """Hide each site's contribution in the sum. Left out: on where this version has it."""
