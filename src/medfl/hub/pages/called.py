"""What files are called that are taken along: words that tell them apart in a folder, in letters of any system."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from types import MappingProxyType

LONGEST = 80
"""Letters of one part of a name."""
FIGURES: Mapping[str, str] = MappingProxyType(
    {
        "course": "Course of training",
        "roc": "ROC curve",
        "pr": "Precision and recall",
        "calibration": "Calibration",
        "decision": "Decision curve",
        "confusion": "Confusion matrix",
        "forest": "Site by site",
        "compared": "Differences between ways of learning",
        "participation": "Who took part",
        "margin": "Margin",
        "groups": "Groups of patients",
        "weights": "Contributions of sites",
        "features": "Features",
    }
)
"""What each kind of figure is called."""


def attached(study: str, *parts: object, ending: str) -> dict[str, str]:
    """Return the header that gives a file its name: ``tumours-fedprox-seed-2.safetensors``.

    Parameters
    ----------
    study
        Name of the study.
    parts
        What else tells it from its neighbours.
    ending
        With its dot.
    """
    named = "-".join(filter(None, (_plain(str(part)) for part in (study, *parts)))) or "study"
    return {"Content-Disposition": f'attachment; filename="{named}{ending}"'}


def unaccented(text: str) -> str:
    """Return a text whose letters have lost their accents: "Klinik Süd" is "Klinik Sud"."""
    bare = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    return "".join(letter for letter in bare if not unicodedata.combining(letter))


def titles(names: Iterable[str]) -> dict[str, tuple[str, int]]:
    """Return what figures are called, by name, with a number from one on where there are several of a kind.

    Parameters
    ----------
    names
        As the report has them: "roc-0", "decision".
    """
    every = list(names)
    kinds = [name.partition("-")[0] for name in every]
    return {
        name: (FIGURES.get(kind, kind), kinds[: place + 1].count(kind) if kinds.count(kind) > 1 else 0)
        for place, (name, kind) in enumerate(zip(every, kinds, strict=True))
    }


def _plain(text: str) -> str:
    """Return a text in ASCII letters, digits, dots and dashes."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", unaccented(text)).strip("-._")[:LONGEST]
