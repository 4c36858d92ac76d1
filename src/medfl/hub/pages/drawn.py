"""Contexts as HTML: the templates, and the few words that they share."""

from __future__ import annotations

import json
from dataclasses import fields
from functools import cached_property, partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from medfl.hub.people.access import Access
from medfl.publish.report import glyph, unbroken
from medfl.publish.wording import counted, moment


class Drawn:
    """Draws pages.

    Parameters
    ----------
    access
        Who reads, and what they may do.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    def page(self, request: Request, name: str, context: Any, *, status: int = 200) -> HTMLResponse:
        """Return a whole page."""
        template = self._templates.get_template(f"{name}.html.j2")
        actor = self._access.entrance.actor(request)
        told = {
            "csrf": self._access.entrance.token(request),
            "path": request.url.path,
            "actor": actor,
            "may": partial(self._access.allows, actor),
        }
        return HTMLResponse(template.render(page=context, **told), status_code=status)

    def part(self, name: str, context: Any, **more: object) -> str:
        """Return a part of a page, which replaces the one with the same ids."""
        return self._templates.get_template(f"{name}.html.j2").render(page=context, **more)

    @cached_property
    def _templates(self) -> Environment:
        environment = Environment(
            loader=PackageLoader("medfl.hub.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            extensions=["jinja2.ext.i18n"],
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.install_null_translations(newstyle=True)  # type: ignore[attr-defined]  # the extension brings it
        environment.filters |= {
            "glyph": glyph,
            "counted": counted,
            "prose": unbroken,
            "moment": moment,
            "clock": _clock,
            "numbers": _numbers,
        }
        return environment


def _clock(at: str) -> Markup:
    """Return a time that the browser writes as its reader is used to; without scripts it is UTC."""
    return Markup('<time datetime="{}">{}</time>').format(at, moment(at))


def _numbers(found: Any) -> Markup:
    """Return a context as JSON for a chart, safe within a script element: no "<" is left in it."""
    return Markup(
        json.dumps(found, separators=(",", ":"), default=_fields).replace("<", "\\u003c").replace("&", "\\u0026")
    )


def _fields(one: Any) -> dict[str, Any]:
    """Return a dataclass as JSON writes it; not asdict, which looks at each of some thousand points by itself."""
    return {field.name: getattr(one, field.name) for field in fields(one)}
