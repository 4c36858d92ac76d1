"""A hospital that takes part through a stock Flower SuperNode.

The SuperNode starts a process for each message, so all that a site needs lies in its home and is read again each time.
What is asked, and by whom, is the hub's word; which table is read, under which policy, is the node config's, which the
hospital writes. What computes is what is installed here: the app that Flower brings along only calls :func:`answered`.
"""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from filelock import FileLock

from medfl.errors import MedflError, PlanError, SiteError, StoreError
from medfl.learn.data.tables import read_table
from medfl.messages import SECURE, SUMMED, Refusal, Reply, Request
from medfl.privacy.ledger import Ledger, Limit
from medfl.privacy.secure.identity import Identity
from medfl.privacy.secure.member import Member
from medfl.privacy.secure.unmasked import FolderUnmasked
from medfl.site import peers, plugins
from medfl.site.answer import Site
from medfl.site.log import logged
from medfl.site.memory import FolderVault
from medfl.site.policy import Facts, Verdict
from medfl.site.purse import Purse, secret_in
from medfl.site.remembered import Remembered
from medfl.site.rules_reading import read
from medfl.site.share import NUMBER, Share
from medfl.site.written import Written
from medfl.spec.checks import SITE
from medfl.spec.study import Study

if TYPE_CHECKING:
    import pandas as pd

    from medfl.run.flower.app import Message

log = logging.getLogger("medfl.site")
POLICY, IDENTITY = "policy.toml", "identity"
KEYS = ("site", "data", "home")
"""What a node config must say."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a hospital's node config says.

    Parameters
    ----------
    site
        The site's name in the study.
    data
        Its table, CSV or Parquet.
    home
        Its home, made by ``medfl flower site``.
    plugin
        A Python file of its own to load first, such as one that registers a torch model.
    """

    site: str
    data: Path
    home: Path
    plugin: Path | None = None

    @classmethod
    def named(cls, config: Mapping[str, Any]) -> Self:
        """Read a node config.

        Raises
        ------
        PlanError
            If a word is missing, or there is no such home.
        """
        missing = [key for key in KEYS if not isinstance(config.get(key), str) or not config[key]]
        if missing:
            raise PlanError(
                "the node config does not say all that MEDfl must know",
                where="flower-supernode --node-config",
                received=f"no {', '.join(missing)}",
                remedy="""write --node-config 'site="NAME" data="TABLE.csv" home="FOLDER"'""",
            )
        data, home = (Path(config[key]).expanduser() for key in ("data", "home"))
        plugin = str(config.get("plugin") or "")
        place = cls(config["site"], data, home, plugin=Path(plugin).expanduser() if plugin else None)
        place.require()
        return place

    def require(self) -> None:
        """Refuse a place where no site can be.

        Raises
        ------
        PlanError
            If the name is none, there is no such home or no such table, or others can read the home.
        """
        if not SITE.fullmatch(self.site):
            raise PlanError("a site cannot be called so", where="site", received=repr(self.site[:80]))
        if not (self.home / IDENTITY).is_file():
            raise PlanError(
                "the site has no home there",
                where="home",
                received=str(self.home),
                remedy=f"make one: medfl flower site {self.site} --data TABLE.csv --home FOLDER",
            )
        if stat.S_IMODE(self.home.stat().st_mode) & 0o077:
            raise PlanError(
                "the site's home can be read by others", where=str(self.home), remedy=f"chmod 700 {self.home}"
            )
        if not self.data.is_file():
            raise PlanError(
                "there is no such table",
                where="data",
                received=str(self.data),
                remedy="name a CSV or Parquet file by its whole path, readable for who runs the SuperNode",
            )

    def opened(self, request: Request) -> Site:
        """Open the site for a request; what is wrong with the study's text is left to the site to say."""

        def table() -> pd.DataFrame:
            asked = Study.model_validate_json(request.study).data
            return read_table(self.data, columns=asked.columns, missing=asked.missing, decimal=asked.decimal)

        policy = self.policy()
        allowed = policy.budget
        purse = Purse(
            self.site,
            Ledger(self.home / "ledger", self.home / "anchor.json"),
            secret=secret_in(self.home / "secret"),
            limit=None if allowed is None else Limit(allowed.epsilon, allowed.delta),
        )
        folder = self.home / "studies"
        site = Site(self.site, table, vault=FolderVault(self.home / "vault"), policy=policy, base=folder, purse=purse)
        site.member = Member(
            self.site,
            Identity.at(self.home / IDENTITY),
            peers.known(self.home) or {},
            unmasked=FolderUnmasked(self.home / "unmasked"),
        )
        return site

    def present(self) -> str:
        """Return the site's name, where all that it needs is there."""
        self.policy()
        Identity.at(self.home / IDENTITY)
        return self.site

    def policy(self) -> Written:
        """Return the policy that the site has written.

        Raises
        ------
        SpecError
            If it has written none, or one that is none.
        """
        rules, memory = read(self.home / POLICY), Remembered(self.home / "told")
        return Stranger(rules, memory) if peers.known(self.home) is None else Written(rules, memory)


@dataclass(frozen=True, slots=True)
class Stranger(Written):
    """The policy of a site that has not been told who the others are, and so cannot know how many they are.

    Two hospitals may work without secure aggregation; but that there are two is the hub's word only.
    """

    def admits(self, request: Request, study: Study, *, facts: Facts) -> Verdict:
        """Refuse to send numbers in clear unless the study itself says so; else as any policy."""
        in_clear = request.task in SUMMED and SECURE not in request.content
        if in_clear and study.privacy.secure_aggregation is None:
            return Verdict(
                False,
                "peers",
                "the hub asks for numbers in clear, and this site has not been told who takes part",
                "add the other hospitals' cards there: medfl flower peer CARD --home HOME; or, if all agree that the "
                "hub sees each one's updates, set secure_aggregation = false in [privacy]",
            )
        return Written.admits(self, request, study, facts=facts)


def answered(message: Message, config: Mapping[str, Any], study: Path | None = None) -> Message:
    """Return the reply to a message that Flower has brought.

    This is a boundary: Flower would send the text of any error to the hub, and that text may hold a value.

    Parameters
    ----------
    message
        What came.
    config
        The node config: ``site``, ``data``, ``home``, and ``plugin`` where the site has one. A node of Flower's own
        simulation has ``partition-id`` and ``num-partitions`` instead.
    study
        The file of the study that came along, for simulated nodes.
    """
    # Flower is an extra.
    from medfl.run.flower.app import refused, replied

    try:
        place = _place(config, study)
        with _at_home(place.home):
            plugins.load([place.plugin] if place.plugin else [])
            folder = place.home / "postbox"
            return replied(message, partial(answer, place), site=place.present, folder=folder)
    except MedflError as error:
        return refused(message, error)
    except Exception as error:
        log.exception("a message of Flower's was not answered")
        return refused(message, _redacted(error))


def answer(place: Place | Share, request: Request) -> Reply | Refusal:
    """Open the site and let it answer, so that what is wrong with its home is an answer too."""
    try:
        site = place.opened(request)
    except MedflError as error:
        return Refusal(request=request.id, site=request.site, code=error.code, complaints=error.complaints)
    return site.answer(request)


def _place(config: Mapping[str, Any], study: Path | None) -> Place | Share:
    if study is not None and NUMBER in config and "site" not in config:
        return Share.named(config, study)
    return Place.named(config)


@contextmanager
def _at_home(folder: Path) -> Iterator[None]:
    """Be the only one at this home; what goes wrong with its files is told without more than their place."""
    try:
        with FileLock(folder / "lock", mode=0o600), logged(folder):
            yield
    except OSError as error:
        log.exception("the site's home cannot be used")
        raise StoreError(
            "the site's home cannot be used",
            where=str(folder),
            received=type(error).__name__,
            remedy="see the SuperNode's own log, free some space, or mend its permissions",
        ) from error


def _redacted(error: Exception) -> SiteError:
    return SiteError(
        "the site's app failed",
        received=type(error).__name__,
        remedy="the full trace is in the SuperNode's own log; report it if it comes again",
    )
