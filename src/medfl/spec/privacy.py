"""What may leave a site."""

from __future__ import annotations

from medfl.spec.part import Part

FEWEST = 3
"""Sites below which a sum hides nobody: of two, each can subtract itself."""


class Privacy(Part):
    """Protection of what sites send."""

    secure_aggregation: bool | None = None
    """Hide each site's contribution in the sum over all of them. Left out: on for three or more sites."""

    def hides(self, sites: int | None) -> bool:
        """Say whether so many sites' contributions are hidden in sums; None where their number is not known yet."""
        if self.secure_aggregation is not None:
            return self.secure_aggregation
        return sites is not None and sites >= FEWEST
