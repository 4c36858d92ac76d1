"""Finds the engines that other packages bring.

The entry points of group ``medfl.engines`` name them: ``folders = "acme_medfl.folders:Folders"``. What an entry names
is called with an :class:`OtherEnd` and returns an :class:`~medfl.run.engine.Engine`; where that is a context manager,
it is left when the runs are done, however they ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from medfl.errors import SystemFault
from medfl.messages import Refusal, Reply, Request
from medfl.run.engine import Engine
from medfl.run.threads import single_threaded

GROUP = "medfl.engines"
Answer = Callable[[Request], Reply | Refusal]


@dataclass(frozen=True, slots=True)
class OtherEnd:
    """What an engine is told of the sites that it reaches.

    It is made of plain text and bytes, so that it can be made again in another process or on another machine. There
    the study's tables must be at the same places, and so must the folder in which sites keep what they never send.

    Parameters
    ----------
    sites
        Their names, sorted.
    module
        Name of the module that answers for them.
    opening
        What that is told first: the study, and where the tables are.
    """

    sites: tuple[str, ...]
    module: str
    opening: bytes

    def answer(self) -> Answer:
        """Return what answers for these sites in this process, one request after the other.

        Its arithmetic is kept on one thread, without which sums would be other sums. It is not to be called from two
        threads at once.
        """
        answers: Answer = import_module(self.module).answering(self.opening)

        def answer(request: Request) -> Reply | Refusal:
            with single_threaded():
                return answers(request)

        return answer


def installed(*, taken: Iterable[str]) -> Mapping[str, EntryPoint]:
    """Return the entry points of engines by name, sorted.

    Raises
    ------
    SystemFault
        If two have one name, or one has a name that is taken.
    """
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        if point.name in taken or found.setdefault(point.name, point).value != point.value:
            other = found[point.name].value if point.name in found else "MEDfl itself"
            raise SystemFault(
                f"two installed engines are called {point.name!r}",
                where=f"entry points of group {GROUP!r}",
                received=f"{other} and {point.value}",
                remedy="give one of them another name, or uninstall its package",
            )
    return found


def opened(point: EntryPoint, end: OtherEnd, stack: ExitStack) -> Engine:
    """Open an engine; `stack` ends it."""
    engine: Engine = point.load()(end)
    if isinstance(engine, AbstractContextManager):
        entered: Engine = stack.enter_context(engine)
        return entered
    return engine
