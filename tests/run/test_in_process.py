"""The engine for a laptop keeps each site's arithmetic on one thread, as a worker process does."""

from __future__ import annotations

import platform

import numpy as np
import threadpoolctl

from medfl.messages import Refusal, Reply, Request
from medfl.run.in_process import InProcess
from medfl.run.processes import ONE_THREAD
from medfl.run.provenance import machine, versions
from medfl.testing.engine_contract import asked


def threads() -> list[int]:
    return [library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]


def test_arithmetic_is_on_one_thread_while_a_site_answers_and_free_again_after() -> None:
    seen: list[int] = []

    def answer(request: Request) -> Reply | Refusal:
        np.dot(np.ones((64, 64)), np.ones((64, 64)))
        seen.extend(threads())
        return Reply(request=request.id, site=request.site)

    before = threads()
    assert len(list(InProcess({"east": answer, "north": answer}).exchange(asked(["east", "north"])))) == 2
    assert seen
    assert set(seen) == {1}
    assert threads() == before


def test_a_worker_is_told_the_same() -> None:
    assert set(ONE_THREAD.values()) == {"1"}
    assert {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"} <= set(ONE_THREAD)


def test_what_a_run_was_computed_on_is_written_down_and_names_nobody() -> None:
    assert versions("mlp").keys() >= {"medfl", "numpy", "python", "safetensors", "scipy"}
    assert "torch" not in versions("mlp")
    assert platform.machine() in machine()
    assert platform.node() not in machine()
