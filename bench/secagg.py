"""What secure aggregation costs, measured: ``python bench/secagg.py``.

A model of a million numbers at ten sites: processor time of masking at one site, of unmasking at the hub after two
sites were lost, and bytes sent over those of the model in float32. Beside it the same steps with the helper functions
of Flower's SecAgg+ (``flwr.common.secure_aggregation``, as its client and its workflow call them), on the same vector.
Then two rounds of a thousand sites in one process. Processor time on one thread, the best of some repeats.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
from flwr.common.secure_aggregation.crypto.symmetric_encryption import generate_shared_key
from flwr.common.secure_aggregation.ndarrays_arithmetic import (
    parameters_addition,
    parameters_mod,
    parameters_multiply,
    parameters_subtraction,
)
from flwr.common.secure_aggregation.quantization import dequantize, quantize
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen
from flwr.supercore.primitives.asymmetric import generate_key_pairs
from threadpoolctl import threadpool_limits

from medfl.privacy.secure.graph import neighbourhood
from medfl.testing.secure import cohort

SIZE, SITES = 1_000_000, 10
LOST = ("s002", "s007")
CLIP, TARGET, RANGE = 8.0, 2**22, 2**32


def best(repeats: int, work: Callable[[], object]) -> float:
    """Return the least processor time (s) of some repeats."""
    took = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return min(took)


def ours(vectors: list[np.ndarray], repeats: int) -> None:
    """Print the three figures of a round with two losses, and how wrong the sum is."""
    people = cohort(SITES)
    values = dict(zip(people.names, ({"w": vector} for vector in vectors), strict=True))
    collector = people.collector()
    opening = collector.opening_for("s000")
    member = people.members["s000"]
    first = best(1, lambda: member.masked(opening, values["s000"], asked=b"asked"))
    masking = best(repeats, lambda: member.masked(opening, values["s000"], asked=b"asked"))
    unmasking, wrong = [], 0.0
    for _ in range(max(1, repeats // 2)):
        collector = people.collector()
        sent = people.send(collector, values, LOST)
        began = time.process_time()
        closings = {name: collector.closing_for(name) for name in collector.survivors}
        spent = time.process_time() - began
        shares = {name: people.members[name].shares(*closing) for name, closing in closings.items()}
        began = time.process_time()
        for name, answer in shares.items():
            collector.take_shares(name, *answer)
        total = collector.total()["w"]
        unmasking.append(spent + time.process_time() - began)
        expected = np.sum([values[name]["w"] for name in collector.survivors], axis=0)
        wrong = float(np.abs(total - expected).max() / np.abs(expected).max())
    upload = sum(array.nbytes for array in sent["s000"].values()) / (4 * SIZE)
    extra = sum(array.nbytes for name, array in shares["s000"][1].items())
    print(f"medfl   masking at a site {masking * 1e3:6.1f} ms (the first time {first * 1e3:.1f} ms)")
    print(f"        unmasking at the hub, 2 of {SITES} lost {min(unmasking) * 1e3:6.1f} ms")
    print(f"        upload {upload:.3f} × float32, then {extra} bytes of shares")
    print(f"        error {wrong:.1e} of the largest entry")


def flower(vectors: list[np.ndarray], repeats: int) -> None:
    """Print the same of Flower's helper functions: quantise, one private and nine pairwise masks; 8 + 16 at the hub."""
    own, _ = generate_key_pairs()
    _, other = generate_key_pairs()
    shapes = [vectors[0].shape]
    seed = os.urandom(32)

    def masked() -> list[np.ndarray]:
        found = quantize(parameters_multiply([vectors[0]], 1.0), CLIP, TARGET)
        found = parameters_addition(found, pseudo_rand_gen(seed, RANGE, shapes))
        for _ in range(SITES - 1):
            pair = pseudo_rand_gen(generate_shared_key(own, other), RANGE, shapes)
            found = parameters_addition(found, pair)
        return parameters_mod(found, RANGE)

    def unmasked() -> list[np.ndarray]:
        found = masked_once
        for _ in range(SITES - len(LOST)):
            found = parameters_subtraction(found, pseudo_rand_gen(seed, RANGE, shapes))
        for _ in range(len(LOST) * (SITES - len(LOST))):
            found = parameters_addition(found, pseudo_rand_gen(generate_shared_key(own, other), RANGE, shapes))
        return dequantize(parameters_mod(found, RANGE), CLIP, TARGET)

    masked_once = masked()
    fewer = max(1, repeats // 4)
    print(f"flower  masking at a site {best(fewer, masked) * 1e3:6.1f} ms")
    print(f"        unmasking at the hub, 2 of {SITES} lost {best(fewer, unmasked) * 1e3:6.1f} ms (without shares)")
    print(f"        upload {sum(array.nbytes for array in masked_once) / (4 * SIZE):.3f} × float32")
    rounded = dequantize(quantize([vectors[0]], CLIP, TARGET), CLIP, TARGET)[0]
    wrong = np.abs(rounded - np.clip(vectors[0], -CLIP, CLIP)).max() / np.abs(vectors[0]).max()
    print(f"        error {wrong:.1e} of the largest entry of one site, entries beyond ±{CLIP:g} cut off")


def many_sites(sites: int) -> None:
    """Print the time of two rounds of many sites, all in this process, one in forty lost."""
    people = cohort(sites)
    draw = np.random.default_rng(0)
    values = {name: {"w": draw.normal(size=500), "n": draw.integers(0, 100, 50)} for name in people.names}
    lost, kind = people.names[::40], neighbourhood(sites)
    for round in (1, 2):
        began = time.process_time()
        collector = people.collector(round=round)
        sent = people.send(collector, values, lost)
        masked = time.process_time()
        people.close(collector)
        closed = time.process_time()
        collector.total()
        ended = time.process_time()
        print(
            f"{sites} sites, {kind.degree} neighbours each, round {round}: {ended - began:.1f} s in all;",
            f"a site {(masked - began) / sites * 1e3:.1f} ms to mask,",
            f"{(closed - masked) / sites * 1e3:.1f} ms for shares;",
            f"unmasking {ended - closed:.2f} s; {sent['s001']['bundles'].nbytes / 1e3:.0f} kB of bundles a site",
            flush=True,
        )
    print(f"        a site too exposed: below {kind.unsafe:.0e}; too few shares: below {kind.undone:.0e} a round")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--sites", type=int, default=1000, help="sites of the last part; 0 leaves it out")
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    updates = [generator.normal(size=SIZE) for _ in range(SITES)]
    with threadpool_limits(1):
        ours(updates, arguments.repeats)
        flower(updates, arguments.repeats)
        if arguments.sites:
            many_sites(arguments.sites)
