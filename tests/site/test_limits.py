"""What a site's worker may take: how it is written, what is taken, and what a lack of memory is called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from medfl.errors import OutOfMemoryError, PlanError, by_code
from medfl.events import SiteFailed
from medfl.messages import Refusal, Request
from medfl.site import limits
from medfl.site.answer import Site
from medfl.site.limits import Limits, bytes_in, used
from medfl.site.memory import FolderVault
from medfl.testing.command import typed
from medfl.testing.federation import in_process, rehearse, sites, study


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("4GB", 4 * 10**9),
        ("1.5 g", 1_500_000_000),
        ("2GiB", 2**31),
        ("800mb", 800_000_000),
        ("1TB", 10**12),
        ("600000000", 600_000_000),
    ],
)
def test_amounts_as_people_write_them(text: str, amount: int) -> None:
    assert bytes_in(text) == amount


@pytest.mark.parametrize("text", ["", "much", "4 bananas", "-4GB", "0", "100MB", "1e9"])
def test_what_is_no_amount_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(PlanError, match="4GB or 800MB; at least 500 MB"):
        bytes_in(text)


def test_the_command_line_refuses_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = typed("site", "start", "--home", tmp_path, "--memory", "much")
    assert (said.code, "no amount of memory" in said.err, "Traceback" in said.err) == (2, True, False)
    monkeypatch.setenv("MEDFL_SITE_MEMORY", "64MB")
    said = typed("site", "start", "--home", tmp_path)
    assert (said.code, "cannot work with so much memory" in said.err) == (2, True)


def test_without_a_word_it_is_most_of_the_machine() -> None:
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0.7 * whole < (Limits.usual().memory or 0) < 0.8 * whole
    assert Limits.usual(10**9, 2) == Limits(10**9, 2)
    assert Limits.from_json(Limits(10**9, 2).to_json()) == Limits(10**9, 2)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_takes_no_more_than_it_may() -> None:
    code = (
        "import json, os, resource\nfrom pathlib import Path\nfrom medfl.site.limits import Limits\n"
        "Limits(memory=10**9, cores=1).take()\n"
        "try:\n    bytearray(2 * 10**9)\n    got = True\nexcept MemoryError:\n    got = False\n"
        "score = Path('/proc/self/oom_score_adj').read_text().strip()\n"
        "print(json.dumps([got, os.nice(0), len(os.sched_getaffinity(0)), score]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
    got, nice, cores, score = json.loads(done.stdout)
    assert not got
    assert nice == min(os.nice(0) + limits.NICE, 19)
    assert (cores, score) == (1, "500")


class LikeTorchError(RuntimeError):
    """What PyTorch raises is no MemoryError."""


@pytest.mark.parametrize(
    "error",
    [MemoryError(), LikeTorchError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried …")],
)
def test_a_site_calls_a_lack_of_memory_by_its_name(error: Exception, tmp_path: Path) -> None:
    def table() -> None:
        raise error

    asked = study()
    site = Site("east", table, vault=FolderVault(tmp_path))  # type: ignore[arg-type]
    request = Request(run="r", round=0, site="east", task="describe", study=asked.canonical, seed=7)
    answer = site.answer(request)
    assert isinstance(answer, Refusal)
    assert (answer.code, by_code(answer.code)) == ("memory", OutOfMemoryError)
    assert "out of memory at the stage 'describe'" in answer.reason
    assert "tried" not in answer.reason


def test_a_lack_of_memory_reaches_the_journal_with_site_and_stage(tmp_path: Path) -> None:
    def table() -> pd.DataFrame:
        raise MemoryError

    events, error = rehearse(study(), in_process(sites(tmp_path, {"north": table})))
    (failed,) = [event for event in events if isinstance(event, SiteFailed)]
    assert (failed.site, failed.stage, failed.code) == ("north", "describe", "memory")
    assert "out of memory at the stage 'describe'" in failed.reason
    assert isinstance(error, OutOfMemoryError)
    assert "site north" in str(error)


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    assert used(2**22 + 1) is None
    assert (used(os.getpid()) or 0) > 10**7
