"""What a bundle says of itself to people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from medfl.bundles.kept import scaled_by_ends
from medfl.store.views import ExecutionView

if TYPE_CHECKING:
    from medfl.bundles.archive import Piece


def readme(view: ExecutionView, pieces: Iterable[Piece]) -> str:
    """Return the page that a bundle opens with."""
    return "\n".join(_page(view, pieces)) + "\n"


def left_out(view: ExecutionView) -> tuple[str, ...]:
    """Return what the store knows and a bundle does not tell, in sentences."""
    texts = [
        "Rows of patients: they never reached the journal.",
        "The smallest and largest value of each column: each is the value of somebody.",
        "Where the study's files were on the machine that ran it.",
    ]
    if any(scaled_by_ends(run) for run in view.every):
        texts += [
            "Preprocessing that was fitted from smallest and largest values, and with it model.json: whoever has the "
            "store takes the usable model with medfl export."
        ]
    return tuple(texts)


def _page(view: ExecutionView, pieces: Iterable[Piece]) -> Iterator[str]:
    yield f"# Bundle of the study {view.study}"
    yield ""
    yield " ".join((view.question or "No question was written down.").split())
    yield ""
    yield f"Execution `{view.execution}`, study digest `{view.digest}`."
    yield ""
    yield "Everything here is told from `journal.jsonl`. `manifest.json` lists every file with its SHA-256, and"
    yield "`signature.json` signs that list (Ed25519). To look whether all of it is as it was signed, and then whether"
    yield "the study gives the same models again:"
    yield ""
    yield "    medfl verify BUNDLE.zip --signer FINGERPRINT"
    yield "    medfl reproduce BUNDLE.zip"
    yield ""
    yield "The fingerprint has to come from whoever made the bundle by another way than the bundle."
    yield "`ro-crate-metadata.json` describes the files for machines (RO-Crate 1.1)."
    yield ""
    yield "## Files"
    yield ""
    yield from (f"- `{piece.name}`: {piece.about}." for piece in sorted(pieces, key=lambda one: one.name))
    yield ""
    yield "## Left out"
    yield ""
    yield from (f"- {text}" for text in left_out(view))
