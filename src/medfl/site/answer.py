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
from medfl.site.guard import as_promised, require_in_order, require_private
from medfl.site.judgement import told
from medfl.site.limits import is_out_of_memory, out_of_memory
from medfl.site.looking import Looking
from medfl.site.memory import Vault
from medfl.site.policy import AllButRows, Policy, Release, Verdict
from medfl.site.purse import Purse
from medfl.site.secrecy import PROTOCOL, masked, require_seen, taken_part
from medfl.site.sound import require_sound
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
    purse
        What it has to spend on studies with differential privacy; without one it takes part in none.
    """

    def __init__(
        self,
        name: str,
        table: Callable[[], Table],
        *,
        vault: Vault,
        policy: Policy | None = None,
        base: Path | None = None,
        purse: Purse | None = None,
    ) -> None:
        self.name = name
        self.member: Member | None = None
        """Its part in secure aggregation; the pool of all rows in a simulation has none."""
        self._purse = purse
        self._policy = policy or AllButRows()
        self.desk = Desk(name, table, base or Path(), columns=self._policy.columns, purse=purse)
        self._vault = vault

    def answer(self, request: Request) -> Reply | Refusal:
        """Answer a request, or say why not.

        This is the boundary at which anything that goes wrong at a site becomes a sentence: errors on purpose travel as
        they are, since they name no value; of any other only its kind travels, and the trace stays here.
        """
        began = time.perf_counter()
        try:
            return replace(self._reply(request), seconds=time.perf_counter() - began)
        except MedflError as error:
            refusal = Refusal(request=request.id, site=self.name, code=error.code, complaints=error.complaints)
            return self._policy.tells(refusal, request)
        except Exception as error:
            log.exception("site %s failed at %s", self.name, request.id)
            if is_out_of_memory(error):
                short = out_of_memory(request.task)
                return Refusal(request=request.id, site=self.name, code=short.code, complaints=short.complaints)
            return Refusal(
                request=request.id, site=self.name, code=SiteError.code, complaints=(_redacted(error, request),)
            )

    def _reply(self, request: Request) -> Reply:
        """Do the work; the policy has the first word, and the last on what is plain. Then it is masked, where asked."""
        if request.site != self.name:
            raise WireError("a site was sent what is meant for another", received=repr(request.site[:80]))
        study, algorithm = self.desk.study(request.study)
        require_sound(request, study)
        facts = Looking(self.desk, study, request)
        _require(self._policy.admits(request, study, facts=facts), self.name)
        if request.task in PROTOCOL:
            return taken_part(self._identified(), request)
        content, sums = self._work(study, algorithm, request)
        release = self._released(
            Release(
                request=request,
                study=study,
                content=content,
                statistic=sums.without("kept"),
                kept=sums.under("kept"),
                facts=facts,
                secure=SECURE in request.content,
            )
        )
        reply = Reply(request=request.id, site=self.name, content=release.content, arrays=release.statistic.arrays)
        if release.secure:
            return masked(self._identified(), request, reply)
        known = None if self.member is None else self.member.known
        require_seen(study, reply, request, known=known)
        return reply

    def _released(self, release: Release) -> Release:
        """Return what the policy makes of what is about to leave."""
        found = self._policy.releases(release)
        if isinstance(found, Release):
            return found
        _require(found, self.name)
        return release

    def _identified(self) -> Member:
        if self.member is None:
            raise RefusedError(
                "the site has no identity, and so no part in secure aggregation",
                where=self.name,
                remedy="give it one, or set secure_aggregation = false in [privacy]",
            )
        return self.member

    def _work(self, study: Study, algorithm: Algorithm, request: Request) -> tuple[dict[str, Any], Statistic]:
        """Return what the site would say, and the sums that would leave; and those that stay, under ``kept``."""
        require_private(study, request, self._purse)
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
            case "stopped":
                raise WireError("that a run was stopped is told to a site's reception", where=request.id)
            case "consider":
                raise WireError("whether a study may use a site is for its reception to say", where=request.id)

    def _train(self, study: Study, algorithm: Algorithm, request: Request) -> tuple[dict[str, Any], Statistic]:
        """Judge the incoming model, where asked to, and train from it."""
        prepared = self.desk.prepared(study, request)
        words: dict[str, Any] = {}
        evaluation = Statistic()
        if study.privacy.dp is not None:
            require_in_order(request, newest=self._vault.newest(request.run))
        memory = before = self._vault.recall(request.run, request.round - 1)
        layout = prepared.model.layout
        guard = self.desk.guard(study, request)
        if "judge" in request.content and guard is None:
            words, evaluation = self._judged(prepared, with_own(request.arrays["weights"], layout, memory), request)
        local = _local(prepared, study, request)
        if guard is not None:
            private, words["privacy"] = guard.training(prepared.usable[0], memory)
            local = replace(local, private=private)
        update, memory = around(algorithm, layout).at_site(request.arrays, local, memory, request.seed)
        update = as_promised(update, study, request, self._purse, memory=before)
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
        words, sums = self._judged(prepared, trained.weights, request)
        return words, sums.prefixed("kept")

    def _fine_tuned(self, study: Study, request: Request) -> tuple[dict[str, Any], Statistic]:
        """Go on from the last global model by itself and keep the copy; only its metrics leave."""
        prepared = self.desk.prepared(study, request)
        start = self._completed(prepared, request)
        local = _by_itself(prepared, study, request)
        trained = local.train(start, seed=request.seed, purpose="fine-tune")
        _refuse_non_finite(Statistic({"weights": trained.weights}), local.how, where="[evaluation.fine_tune]")
        self._vault.keep(f"{request.run}.fine-tuned", request.round, {"weights": trained.weights})
        words, sums = self._judged(prepared, trained.weights, request)
        return words, sums.prefixed("kept")

    def _evaluated(self, study: Study, request: Request) -> tuple[dict[str, Any], Statistic]:
        """Judge the model; where it is the last one also by groups of patients and with features shuffled, if asked."""
        prepared, how = self.desk.prepared(study, request), request.content["judge"]
        asked = how.get("subgroups")
        groupings = shown(prepared, self.desk.groups(study, request), fewest=study.evaluation.fewest) if asked else {}
        named = {"subgroups": {name: may.words for name, may in groupings.items()}} if asked else {}
        if asked == "names":
            return named, Statistic()
        weights = self._completed(prepared, request)
        guard = self.desk.guard(study, request)
        if guard is not None:
            scores = prepared.recipe.restored(prepared.model.scores(weights, prepared.test.features))
            truth = prepared.truth()
            return guard.judged(scores, truth, prepared.agreement.outcome)
        words, statistic = self._judged(prepared, weights, request)
        if asked:
            scores = prepared.recipe.restored(prepared.model.scores(weights, prepared.test.features))
            names = asked if isinstance(asked, dict) else None
            sums = by_group(prepared, scores, groupings, threshold=how["threshold"], names=names)
            words, statistic = words | named, statistic + sums.prefixed("subgroups")
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
        scores = prepared.recipe.restored(prepared.model.scores(weights, prepared.test.features))
        truth = prepared.recipe.restored(prepared.test.outcome)
        statistic = judge.measure(outcome, scores, truth, threshold=how["threshold"], brief=how["brief"])
        words = told(outcome, statistic, how=how, seed=request.seed, site=self.name)
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
            remedy=verdict.remedy or f"ask {site} to change its policy, or change the study",
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
