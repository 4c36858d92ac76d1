"""What a round over a hub costs, measured: ``python bench/round.py``.

A hub and enrolled sites as processes on this machine, TLS, keys and a database on disk. Prints the seconds of a round
in clear and under masks, the processor time of each part, the legs of one request, the traffic and memory of an agent
that has nothing to do; with ``--soak`` the memory of all parts over many rounds. Ends with code 1 where a limit is
missed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from consortium import Consortium, Counting, megabytes_of, patients, seconds_of
from legs import legs

LIMITS = {3: 1.0, 20: 6.0}
"""Seconds of a round in clear, for so many sites at most."""
QUIET, LIGHT, GROWN = 1.0, 200.0, 1.1
"""kB a second of an idle site, MB of its agent, and how much a process may grow in the second half of a soak."""
ELSEWHERE = "measured elsewhere: stock Flower 15 s, NVFlare 2.5 s; bare stream without TLS, keys or persistence 0.02 s"


def main() -> int:
    asked = _asked()
    sites = [f"site-{number:02d}" for number in range(1, asked.sites + 1)]
    missed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="medfl-bench-") as folder, ExitStack() as stack:
        there = Consortium(Path(folder) / "all", stack)
        there.start()
        counting = Counting(there.hub.about.port)
        for number, site in enumerate(sites):
            there.enrol(site)
            there.equip(site, patients(120, number))
        there.enrol("idle", port=counting.port)
        there.enrol("probe")
        for site in (*sites, "idle"):
            there.answer(site)
        print(f"{asked.sites} sites, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} ({ELSEWHERE})")
        if not asked.soak:
            missed += rounds(there, sites, asked.rounds)
            print("legs of one request and its answer, ms (median)")
            for name, spent in legs(there.hub, there.homes["probe"], size=asked.bytes, times=asked.times).items():
                print(f"  {name:28s} {spent * 1e3:8.1f}")
            missed += idle(there, counting, asked.idle)
        else:
            missed += soak(there, sites, asked.soak)
    for one in missed:
        print(f"MISSED: {one}")
    return 1 if missed else 0


def rounds(there: Consortium, sites: list[str], number: int) -> list[str]:
    """Print seconds a round, and where the processor time goes; return what is over the limit."""
    missed = []
    for secure in (False, True):
        study = there.study("masked" if secure else "clear", sites, rounds=number, secure=secure)
        before: dict[str, float] = {}
        after: dict[str, float] = {}
        first = last = 0
        took: list[float] = []
        for done, gaps in there.watched(study):
            took = gaps
            if 2 <= done < number:
                spent = {name: seconds_of(pids) for name, pids in there.parts().items()}
                if not before:
                    before, first = spent, done
                after, last = spent, done
        middle = statistics.median(took)
        print(f"{study.stem}: {middle:.2f} s a round (median of {len(took)}; {min(took):.2f} to {max(took):.2f})")
        parts = {name: (after[name] - before.get(name, 0.0)) / max(last - first, 1) for name in after}
        shown = {name: parts[name] for name in ("superlink", "hub", "coordinator")}
        shown["all sites"] = sum(parts[site] for site in sites)
        told = ", ".join(f"{name} {spent * 1e3:.0f}" for name, spent in shown.items())
        print(f"  processor time a round, ms: {told}; together {sum(shown.values()) * 1e3:.0f}")
        limit = next((most for size, most in LIMITS.items() if len(sites) <= size), None)
        if limit is not None and middle > limit:
            missed.append(f"{middle:.2f} s a round with {len(sites)} sites ({study.stem}); at most {limit:g}")
    return missed


def idle(there: Consortium, counting: Counting, seconds: float) -> list[str]:
    """Print what an agent sends and weighs that has nothing to do."""
    before = counting.bytes
    time.sleep(seconds)
    rate = (counting.bytes - before) / seconds / 1e3
    parts = there.parts()
    fresh = megabytes_of(parts["idle"])
    # The first process of a site is its agent; its worker ends after ten minutes without a request.
    sites = [pids for name, pids in parts.items() if name.startswith("site-")]
    worked, worker = max(megabytes_of(pids[:1]) for pids in sites), max(megabytes_of(pids[1:]) for pids in sites)
    print(f"idle: {rate:.2f} kB/s a site; its agent {fresh:.0f} MB before any work, {worked:.0f} MB after it", end="")
    print(f", and {worker:.0f} MB its worker until that ends")
    missed = [f"{rate:.2f} kB/s of an idle site; at most {QUIET:g}"] if rate > QUIET else []
    return missed + [f"{mb:.0f} MB of an idle agent; at most {LIGHT:g}" for mb in (fresh, worked) if mb > LIGHT]


def soak(there: Consortium, sites: list[str], number: int) -> list[str]:
    """Print the memory of all parts at the start, in the middle and at the end of many rounds."""
    marks = {number // 20: "start", number // 2: "middle", number - 2: "end"}
    seen: dict[str, dict[str, float]] = {}
    study = there.study("soak", sites, rounds=number, secure=False)
    took: list[float] = []
    for done, gaps in there.watched(study):
        took = gaps
        for mark, name in marks.items():
            if done >= mark and name not in seen:
                seen[name] = {part: megabytes_of(pids) for part, pids in there.parts().items()}
    half = len(took) // 2
    print(f"{len(took) + 1} rounds: {statistics.median(took[:half]):.2f} s a round in the first half, ", end="")
    print(f"{statistics.median(took[half:]):.2f} s in the second")
    print(f"  resident MB     {'start':>8s} {'middle':>8s} {'end':>8s}")
    missed = []
    for part in ("hub", "superlink", "coordinator", *sites):
        sizes = [seen[name].get(part, 0.0) for name in marks.values()]
        print(f"  {part:14s} " + " ".join(f"{size:8.0f}" for size in sizes))
        if sizes[2] > sizes[1] * GROWN:
            missed.append(f"{part} grew from {sizes[1]:.0f} to {sizes[2]:.0f} MB in the second half")
    return missed


def _asked() -> argparse.Namespace:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--sites", type=int, default=3)
    words.add_argument("--rounds", type=int, default=12)
    words.add_argument("--soak", type=int, default=0, metavar="ROUNDS", help="only watch memory over so many rounds")
    words.add_argument("--idle", type=float, default=40.0, metavar="SECONDS")
    words.add_argument("--bytes", type=int, default=30_000, help="size of the request and the answer of the legs")
    words.add_argument("--times", type=int, default=15)
    return words.parse_args()


if __name__ == "__main__":
    sys.exit(main())
