"""A site: the one function that runs in simulation and in hospitals alike.

:meth:`Site.answer` asks the policy, learns, asks the policy again, and replies. It is a pure function of the request,
the site's table and what the site kept from the round before, so a request that comes twice is answered twice the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from medfl import seeds
from medfl.errors import Complaint, DivergedError, MedflError, RefusedError, SiteError, WireError
from medfl.learn.algorithm import Algorithm, Local, Stage
from medfl.learn.data.sheet import Table
from medfl.learn.metrics import judge
from medfl.learn.model import Floats
from medfl.learn.normalised import around, with_own
from medfl.learn.statistic import Statistic
from medfl.learn.transfer import schedule
from medfl.messages import SECURE, Refusal, Reply, Request
from medfl.privacy.secure.member import Member
from medfl.site.breakdown import by_feature, by_group, shown
from medfl.site.desk import Desk, Prepared
from medfl.site.memory import Vault
from medfl.site.policy import AllButRows, Policy, Verdict
from medfl.site.secrecy import PROTOCOL, masked, require_seen, taken_part
from medfl.spec.study import Study
from medfl.spec.training import LocalTraining

log = logging.getLogger("medfl.site")


class Site:
    """One hospital.

    Parameters
    ----------
    name
        The site's name.
    table
        Opens its table.
    vault
        Keeps the site's memory between rounds.
    policy
        What it allows.
    base
        Folder that the study's relative paths start from at this site.
    """

    def __init__(
        self,
        name: str,
        table: Callable[[], Table],
        *,
        vault: Vault,
        policy: Policy | None = None,
        base: Path | None = None,
    ) -> None:
        self.name = name
        self.desk = Desk(name, table, base or Path())
        self._vault = vault
        self.member: Member | None = None
        """Its part in secure aggregation; the pool of all rows in a simulation has none."""
        self._policy = policy or AllButRows()

    def answer(self, request: Request) -> Reply | Refusal:
        """Answer a request, or say why not.

        This is the boundary at which anything that goes wrong at a site becomes a sentence: errors on purpose travel as
        they are, since they name no value; of any other only its kind travels, and the trace stays here.
        """
        began = time.perf_counter()
        try:
            _require(self._policy.admits(request), self.name)
            reply = self._hidden(request) if request.task in PROTOCOL else self._worked(request)
            return replace(reply, seconds=time.perf_counter() - began)
        except MedflError as error:
            return Refusal(request=request.id, site=self.name, code=error.code, complaints=error.complaints)
        except Exception as error:
            log.exception("site %s failed at %s", self.name, request.id)
            return Refusal(
                request=request.id, site=self.name, code=SiteError.code, complaints=(_redacted(error, request),)
            )

    def _worked(self, request: Request) -> Reply:
        """Do the work, ask the policy what of it may leave, and mask what may be read in a sum only."""
        content, statistic = self._work(request)
        reply = Reply(request=request.id, site=self.name, content=content, arrays=statistic.arrays)
        _require(self._policy.releases(reply), self.name)
        if SECURE in request.content:
            return masked(self._member_or_refuse(), request, reply)
        known = None if self.member is None else self.member.known
        require_seen(self.desk.study(request.study)[0], reply, request, known=known)
        return reply

    def _hidden(self, request: Request) -> Reply:
        """Take part in secure aggregation; nothing of it is about a row."""
        return taken_part(self._member_or_refuse(), request)

    def _member_or_refuse(self) -> Member:
        if self.member is None:
            raise RefusedError(
                "the site has no identity, and so no part in secure aggregation",
                where=self.name,
                remedy="give it one, or set secure_aggregation = false in [privacy]",
            )
        return self.member

    def _work(self, request: Request) -> tuple[dict[str, Any], Statistic]:
        study, algorithm = self.desk.study(request.study)
        match request.task:
            case "describe":
                return {"schema": self.desk.schema(study).to_json()}, Statistic()
            case "prepare":
                return self.desk.summed(study, request)
            case "train":
                return self._train(study, algorithm, request)
            case "evaluate":
                return self._evaluated(study, request)
            case "alone":
                return self._alone(study, request)
            case "fine-tune":
                return self._fine_tuned(study, request)
            case "keys" | "unmask":
                raise WireError("a step of secure aggregation is no work of its own", where=request.id)

    def _train(self, study: Study, algorithm: Algorithm, request: Request) -> tuple[dict[str, Any], Statistic]:
        """Judge the incoming model, where asked to, and train from it."""
        prepared = self.desk.prepared(study, request)
        words: dict[str, Any] = {}
        evaluation = Statistic()
        memory = self._vault.recall(request.run, request.round - 1)
        layout = prepared.model.layout
        if "judge" in request.content:
            words, evaluation = self._judged(prepared, with_own(request.arrays["weights"], layout, memory), request)
        local = _local(prepared, study, request)
        update, memory = around(algorithm, layout).at_site(request.arrays, local, memory, request.seed)
        _refuse_non_finite(update, study.training)
        self._vault.keep(request.run, request.round, memory)
        if "loss" in update.arrays:
            words["loss"] = float(update["loss"] / update["weight"])
        return words, update.prefixed("update") + evaluation

    def _alone(self, study: Study, request: Request) -> tuple[dict[str, Any], Statistic]:
        """Train without anybody else; only metrics leave."""
        prepared = self.desk.prepared(study, request)
        trained = _local(prepared, study, request).train(request.arrays["weights"], seed=request.seed)
        _refuse_non_finite(Statistic({"weights": trained.weights}), study.training)
        words, _ = self._judged(prepared, trained.weights, request)
        return words, Statistic()

    def _fine_tuned(self, study: Study, request: Request) -> tuple[dict[str, Any], Statistic]:
        """Go on from the last global model by itself and keep the copy; only its metrics leave."""
        prepared = self.desk.prepared(study, request)
        start = self._completed(prepared, request)
        local = _by_itself(prepared, study, request)
        trained = local.train(start, seed=request.seed, purpose="fine-tune")
        _refuse_non_finite(Statistic({"weights": trained.weights}), local.how, where="[evaluation.fine_tune]")
        self._vault.keep(f"{request.run}.fine-tuned", request.round, {"weights": trained.weights})
        words, _ = self._judged(prepared, trained.weights, request)
        return words, Statistic()

    def _evaluated(self, study: Study, request: Request) -> tuple[dict[str, Any], Statistic]:
        """Judge the model; where it is the last one also by groups of patients and with features shuffled, if asked."""
        prepared, how = self.desk.prepared(study, request), request.content["judge"]
        asked = how.get("subgroups")
        groupings = shown(prepared, self.desk.groups(study, request), fewest=study.evaluation.fewest) if asked else {}
        told = {"subgroups": {name: may.words for name, may in groupings.items()}} if asked else {}
        if asked == "names":
            return told, Statistic()
        weights = self._completed(prepared, request)
        words, statistic = self._judged(prepared, weights, request)
        if asked:
            scores = prepared.recipe.restored(prepared.model.scores(weights, prepared.test.features))
            names = asked if isinstance(asked, dict) else None
            sums = by_group(prepared, scores, groupings, threshold=how["threshold"], names=names)
            words, statistic = words | told, statistic + sums.prefixed("subgroups")
        if repeats := how.get("importance"):
            sums = by_feature(prepared, weights, repeats=repeats, seed=request.seed, site=self.name)
            statistic += sums.prefixed("importance")
        return words, statistic

    def _completed(self, prepared: Prepared, request: Request) -> Floats:
        """Return the weights of a request, with the layers that this site keeps for itself after its round."""
        weights, layout = request.arrays["weights"], prepared.model.layout
        return with_own(weights, layout, self._vault.recall(request.run, request.round)) if layout.own else weights

    def _judged(self, prepared: Prepared, weights: Floats, request: Request) -> tuple[dict[str, Any], Statistic]:
        """Judge weights on the test rows: metrics for people, sums for the pooled figures."""
        how, outcome = request.content["judge"], prepared.agreement.outcome
        samples, threshold = how["samples"], how["threshold"]
        scores = prepared.recipe.restored(prepared.model.scores(weights, prepared.test.features))
        truth = prepared.recipe.restored(prepared.test.outcome)
        statistic = judge.measure(outcome, scores, truth, threshold=threshold, brief=how["brief"])
        words: dict[str, Any] = {
            "metrics": judge.metrics(outcome, statistic, threshold=threshold, brief=how["brief"]),
            "intervals": {},
        }
        if samples:
            generator = seeds.generator(request.seed, site=self.name, purpose="bootstrap")
            words["intervals"] = judge.intervals(
                outcome, statistic, samples=samples, generator=generator, threshold=threshold
            )
        return words, statistic.prefixed("evaluation")


def _local(prepared: Prepared, study: Study, request: Request) -> Local:
    # A baseline's one request stands for all rounds of the federation that it is compared with.
    stages = schedule.stages(
        study.model.start,
        prepared.model.layout,
        how=study.training,
        first=request.round,
        rounds=request.content.get("rounds", 1),
    )
    return Local(
        prepared.model, prepared.train, study.training, prepared.class_weights, request.site, request.round, stages
    )


def _by_itself(prepared: Prepared, study: Study, request: Request) -> Local:
    """Return what fine-tuning sees of this site: its own length, rate and frozen layers, all else as in training."""
    asked = study.evaluation.fine_tune
    if asked is None:
        raise WireError("a site was asked to fine-tune by a study that does not ask for it", where=request.id)
    length = {"local_epochs": asked.local_epochs, "local_steps": asked.local_steps}
    rate = {} if asked.learning_rate is None else {"learning_rate": asked.learning_rate}
    how = study.training.model_copy(update=length | rate)
    stage = Stage(how, schedule.held_still(asked.freeze, prepared.model.layout))
    return replace(_local(prepared, study, request), how=how, stages=(stage,))


def _require(verdict: Verdict, site: str) -> None:
    if not verdict.allowed:
        raise RefusedError(
            f"the site's policy says no: {verdict.reason}",
            where=f"rule {verdict.rule}",
            remedy=f"ask {site} to change its policy, or change the study",
        )


def _refuse_non_finite(update: Statistic, how: LocalTraining, *, where: str = "[training]") -> None:
    if all(np.isfinite(array).all() for array in update.arrays.values()):
        return
    rate, clipped = how.learning_rate, "" if where == "[training]" else " in [training]"
    raise DivergedError(
        "training left the finite numbers",
        received=f"NaN or infinite weights with learning_rate = {rate:g}",
        remedy=f"lower learning_rate in {where} (try {rate / 10:g}) or set clip_norm = 1.0{clipped}; "
        "the model of the last finished round is kept",
    )


def _redacted(error: Exception, request: Request) -> Complaint:
    return Complaint(
        f"the site failed at the stage {request.task!r}",
        received=type(error).__name__,
        remedy="the full trace is in the site's own log; report it if it comes again",
    )
