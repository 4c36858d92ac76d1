"""Makes the pictures of the documentation from those that the browser tests leave: cut to what is told, and small.

It is for after ``make browser``; ``make pictures`` does both.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

from PIL import Image

ROOT = Path(__file__).parents[1]
FROM, TO = ROOT / "build" / "screenshots", ROOT / "docs" / "images"
WIDTH = 1200
"""Pixels; wider pictures are made narrower."""
MOST = 150_000
"""Bytes of a picture."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What is taken of a picture: so many pixels from its top on, as they are in the screenshot."""

    name: str
    height: int = 860
    top: int = 0


SHOWN = MappingProxyType(
    {
        "design": Cut("design-light", 811),
        "watch": Cut("watch-light", 811),
        "results": Cut("results-threshold-light", 750),
        "clinician-home": Cut("home-empty-light", 740),
        "clinician-plan": Cut("plan-light", 900),
        "clinician-watch": Cut("watch-light", 1710),
        "clinician-results": Cut("results-light", 950),
        "clinician-threshold": Cut("results-threshold-light", 870),
        "clinician-calibration": Cut("results-calibration-light"),
        "coordinator-sites": Cut("sites-light", 1000),
        "coordinator-launch": Cut("launch-light", 860),
        "site-studies": Cut("site-studies-light", 540),
        "site-study": Cut("site-study-light", 800),
        "site-log": Cut("site-log-light", 900),
    }
)
"""The pictures of docs/images, by name."""


def main() -> None:
    """Make every picture anew, or say which cannot be made."""
    lacking = [cut.name for cut in SHOWN.values() if not (FROM / f"{cut.name}.png").exists()]
    if lacking:
        sys.exit(f"No such picture in {FROM}: {', '.join(lacking)}. The browser tests leave them: make browser")
    TO.mkdir(exist_ok=True)
    for name, cut in SHOWN.items():
        with Image.open(FROM / f"{cut.name}.png") as picture:
            (TO / f"{name}.png").write_bytes(small(picture, cut))


def small(picture: Image.Image, cut: Cut) -> bytes:
    """Return a part of a picture as a PNG of few colours, and of fewer where it would be too large."""
    part = picture.convert("RGB").crop((0, cut.top, picture.width, min(picture.height, cut.top + cut.height)))
    if part.width > WIDTH:
        part = part.resize((WIDTH, round(part.height * WIDTH / part.width)), Image.Resampling.LANCZOS)
    for colours in (256, 128, 64, 32, 16):
        written = BytesIO()
        part.quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(written, "PNG", optimize=True)
        if written.tell() <= MOST:
            return written.getvalue()
    sys.exit(f"{cut.name} is larger than {MOST} bytes in whatever colours: cut less of it")


if __name__ == "__main__":
    main()
