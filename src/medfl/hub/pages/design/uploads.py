"""Tables that a page sends, for one person on this machine: kept for their owner only, limited, never overwritten."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Depends, File, Form, UploadFile, params
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from medfl.errors import MedflError, PlanError, RefusedError, StoreError
from medfl.hub.pages.bench import Bench
from medfl.hub.pages.called import unaccented
from medfl.hub.pages.design.drafts import Drafts
from medfl.hub.pages.design.mapping import with_site
from medfl.hub.pages.design.page import design_page
from medfl.hub.pages.drawn import Drawn
from medfl.hub.pages.forms import forms
from medfl.hub.people.access import may
from medfl.hub.people.permits import Action
from medfl.private import make_private

LARGEST = 100_000_000
"""Bytes of a table that is sent."""
WHOLE = 2_000_000_000
"""Bytes of all tables that were sent."""
ENDINGS = (".csv", ".parquet", ".xlsx")
_CHUNK = 1 << 20


def sent_tables(bench: Bench, drafts: Drafts, drawn: Drawn, guarded: params.Depends) -> APIRouter:
    """Return the address that tables are sent to; its size is looked at before anything of it is read."""
    routes = forms(Depends(_small), guarded)

    @routes.post("/drafts/{name}/upload", dependencies=[may(Action.CHANGE_DRAFT)])
    def upload(
        request: Request,
        name: str,
        table: Annotated[UploadFile, File()],
        revision: Annotated[int, Form()],
        site: Annotated[str, Form(max_length=80)] = "",
    ) -> Response:
        """Send a table, and name it as a site of a draft."""
        if bench.uploads is None:
            raise RefusedError("tables stay at their sites: none is sent to a hub", remedy="name the site's data set")
        try:
            _added(bench.uploads, drafts, Sent(name, revision, site.strip(), table))
        except MedflError as error:
            # Told in the draft, so that whoever sent it is where the next try is made.
            page = design_page(bench, drafts.read(name))
            return drawn.page(request, "design", page, status=400, refused=error.complaints)
        return RedirectResponse(f"/drafts/{name}#tables", status_code=303)

    return routes


def loaded_again() -> APIRouter:
    """Return where somebody comes who loads a page again that says why a table was refused."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/drafts/{name}/upload", dependencies=[may(Action.SEE_DRAFT)])
    def back(name: str) -> Response:
        return RedirectResponse(f"/drafts/{name}", status_code=303)

    return routes


@dataclass(frozen=True, slots=True)
class Sent:
    """A table that is sent to a draft: which revision of it the page knew, and the name of the site, or nothing."""

    draft: str
    revision: int
    site: str
    table: UploadFile


def _added(folder: Path, drafts: Drafts, sent: Sent) -> None:
    """Keep a table and name it in its draft; where the draft does not take it, nothing is kept."""
    file = sent.table.filename or ""
    path = keep(folder, file, sent.table.file)
    who = sent.site or re.sub(r"[^A-Za-z0-9-]+", "-", unaccented(Path(file).stem)).strip("-")[:80] or "site"
    try:
        drafts.change(sent.draft, lambda text: with_site(text, who, str(path)), seen=sent.revision, by="")
    except MedflError:
        path.unlink(missing_ok=True)
        raise


def keep(folder: Path, name: str, body: BinaryIO) -> Path:
    """Write a table down under a name of its own, and return where.

    Parameters
    ----------
    folder
        Where tables are kept.
    name
        What it was called; only its letters, digits, dots and dashes count.
    body
        Its bytes.

    Raises
    ------
    PlanError
        If it is too large, by itself or with all that are kept already, empty, or not called like a table.
    StoreError
        If it cannot be written.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", unaccented(Path(name.replace("\\", "/")).name)).lstrip(".-")[-80:]
    if Path(plain).suffix.lower() not in ENDINGS or not Path(plain).stem:
        raise PlanError("not called like a table", received=name[:80], remedy=f"send a file {' or '.join(ENDINGS)}")
    make_private(folder)
    left = WHOLE - sum(one.stat().st_size for one in folder.iterdir() if one.is_file())
    bound = (LARGEST, _too_large()) if left >= LARGEST else (left, _full(folder, left))
    path = _free(folder, plain)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            size = _copied(body, file, *bound)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise StoreError("the table cannot be kept", where=str(folder), received=error.strerror or "") from error
    except PlanError:
        path.unlink(missing_ok=True)
        raise
    if not size:
        path.unlink()
        raise PlanError("the file is empty", received=plain, remedy="choose a table with a header line and rows")
    return path


async def _small(request: Request) -> None:
    """Refuse what says that it is too large, or does not say how large it is, before it is read."""
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > LARGEST:
        raise _too_large()


def _copied(body: BinaryIO, file: BinaryIO, most: int, refusal: PlanError) -> int:
    size = 0
    while chunk := body.read(_CHUNK):
        size += len(chunk)
        if size > most:
            raise refusal
        file.write(chunk)
    return size


def _free(folder: Path, name: str) -> Path:
    """Return a path that nothing has yet."""
    path, number = folder / name, 2
    while path.exists():
        path = folder / f"{Path(name).stem}-{number}{Path(name).suffix}"
        number += 1
    return path


def _full(folder: Path, left: int) -> PlanError:
    return PlanError(
        "all tables that were sent would be too large together",
        where=str(folder),
        received=f"room for {max(left, 0) // 1_000_000} MB of {WHOLE // 1_000_000} is left",
        remedy="delete tables there that no study needs, or write the path of this one into the study instead",
    )


def _too_large() -> PlanError:
    return PlanError(
        "the table is too large to be sent",
        remedy=f"up to {LARGEST // 1_000_000} MB; write the path of the file into the study instead",
    )
