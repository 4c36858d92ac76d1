"""What a study asks for besides differential privacy that would break it, or that it cannot do without."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from medfl.spec.finding import Finding
from medfl.spec.model import BUILT_IN, ModelPart
from medfl.spec.privacy import DifferentialPrivacy
from medfl.spec.study import Study

CLIPPED_RULES = ("fedavg", "fedprox", "fedavgm", "fedadagrad", "fedadam", "fedyogi")
"""Rules whose sites send their update and its weight, and nothing else."""


def guarding(study: Study, whole: Study, *, sites: int | None) -> Iterator[Finding]:
    """Find what does not go with differential privacy among so many sites; `whole` is the study with all its arms."""
    dp = study.privacy.dp
    if dp is None:
        return
    yield from breaking(study)
    yield from _undeclared(study, dp)
    if dp.within_sites:
        yield from _identified(study, dp)
    else:
        yield from _distributed(study, dp, sites)
    if whole.privacy.dp is not None and whole.evaluation.baselines:
        what = "a baseline is trained without noise, and its metrics would tell what the noise of the study hides"
        remedy = "leave baselines out; in a simulation put dp into an arm, so that baselines follow a study without it"
        yield Finding(("evaluation", "baselines"), what, remedy)


def breaking(study: Study) -> Iterator[Finding]:
    """Find what would release more than the budget accounts for; sites look again, whatever the hub has checked."""
    dp = study.privacy.dp
    if dp is not None:
        yield from chain(_further(study), _within(study) if dp.within_sites else _between(study, dp))


def _further(study: Study) -> Iterator[Finding]:
    how = study.evaluation
    asked = {"subgroups": how.subgroups, "contributions": how.contributions, "importance": how.importance}
    for key, value in (asked | {"fine_tune": how.fine_tune}).items():
        if value is not None:
            what = f"{key} would release more of the same rows, and no part of the budget is set aside for it"
            yield Finding(("evaluation", key), what, f"leave {key} out")


def _within(study: Study) -> Iterator[Finding]:
    """Find what breaks the promise to single records or patients."""
    how, training, rule = study.preprocess, study.training, study.algorithm
    if how.impute == "none":
        what = "a table with a missing value would be refused, which tells that somebody has one"
        yield Finding(("preprocess", "impute"), what, 'choose impute = "drop", "mean" or "median"')
    if how.scale == "min-max-per-site":
        what = "a site's smallest and largest values are those of single patients"
        yield Finding(("preprocess", "scale"), what, 'choose scale = "min-max", which takes the declared ranges')
    if how.impute.endswith("-per-site") and how.scale == "standard":
        what = "sums over rows that each site has filled with numbers of its own are not bounded by one unit"
        yield Finding(("preprocess", "scale"), what, 'choose scale = "standard-per-site", "min-max" or "none"')
    if study.evaluation.test_ids is not None:
        what = "how many rows are listed as test rows would be an exact answer about what is in a column"
        yield Finding(("evaluation", "test_ids"), what, "leave it out: each unit is drawn by itself, by test_fraction")
    if training.clip_norm is not None:
        what = "each unit's gradient is clipped already, by clip_norm in [privacy.dp]"
        yield Finding(("training", "clip_norm"), what, "leave it out in [training]")
    if rule.kind == "qfedavg":
        what = "qfedavg weighs sites by their training loss, which is released without noise"
        yield Finding(("algorithm", "kind"), what, "choose a rule that uses updates only, such as fedavg or fedyogi")
    if isinstance(study.model, ModelPart):
        what = f"a model of kind {study.model.kind} does not tell each row's gradient apart"
        yield Finding(("model", "kind"), what, f"choose one of {', '.join(BUILT_IN)}")
    if getattr(study.model, "batch_norm", None) in ("shared", "local"):
        what = "batch normalisation mixes the rows of a batch: one unit's gradient is not its own"
        yield Finding(("model", "batch_norm"), what, 'choose batch_norm = "group"')


def _between(study: Study, dp: DifferentialPrivacy) -> Iterator[Finding]:
    """Find what breaks the promise to whole sites."""
    rule, how = study.algorithm, study.preprocess
    if rule.kind not in CLIPPED_RULES:
        what = f"{rule.kind} needs more of a site than its clipped update"
        yield Finding(("algorithm", "kind"), what, f"choose one of {', '.join(CLIPPED_RULES)}")
    fitted = how.scale == "standard" or how.impute in ("mean", "median", "most-frequent")
    if fitted:
        what = "preprocessing that is fitted over all sites goes out with the model, and tells of single sites"
        key = "scale" if how.scale == "standard" else "impute"
        remedy = 'choose a "-per-site" variant, or scale = "min-max" with declared ranges and impute = "drop"'
        yield Finding(("preprocess", key), what, remedy)
    if study.training.class_weight == "balanced":
        what = "balanced weights come from the classes' counts over all sites, which tell of single sites"
        yield Finding(("training", "class_weight"), what, "write the weights down, or leave class_weight out")
    if study.data.target in dp.ranges and study.data.positive is None:
        what = "a numeric outcome is scaled by its mean and spread over all sites, which tell of single sites"
        yield Finding(("privacy", "dp", "unit"), what, 'choose unit = "record" or "patient"')
    if getattr(study.model, "batch_norm", None) == "shared":
        what = "running means of batch normalisation are averaged without noise"
        yield Finding(("model", "batch_norm"), what, 'choose batch_norm = "local", or leave it out')


def _undeclared(study: Study, dp: DifferentialPrivacy) -> Iterator[Finding]:
    """Find columns of which neither range nor categories are declared, as far as columns are known."""
    known = {*dp.ranges, *dp.categories}
    for position, name in enumerate(study.data.features or ()):
        if name not in known:
            yield Finding(("data", "features", position), f"{_silent(name)}", _remedy(name))
    target = study.data.target
    if study.data.positive is None and target not in known:
        yield Finding(
            ("data", "target"), _silent(target), f"{_remedy(target)}, or say in positive what counts as a yes"
        )


def _silent(name: str) -> str:
    return f"neither a range nor categories are declared for {name}, and looking them up would tell of single patients"


def _remedy(name: str) -> str:
    return f'add {name} = [smallest, largest] to [privacy.dp.ranges] or {name} = ["…"] to [privacy.dp.categories]'


def _identified(study: Study, dp: DifferentialPrivacy) -> Iterator[Finding]:
    """Find IDs of patients among what is learned from."""
    data = study.data
    if dp.patient_id is not None and dp.patient_id in (data.target, *(data.features or ())):
        what = f"{dp.patient_id} tells patients apart and is learned from as well"
        yield Finding(("privacy", "dp", "patient_id"), what, "take it out there")


def _distributed(study: Study, dp: DifferentialPrivacy, sites: int | None) -> Iterator[Finding]:
    if dp.at_hub:
        return
    # Where the number of sites is not known yet, they see to it themselves: none sends its share in clear.
    if not study.privacy.hides(sites) and (sites is not None or study.privacy.secure_aggregation is False):
        what = "each site adds only its share of the noise, which hides nothing unless only the sum is seen"
        remedy = 'set secure_aggregation = true in [privacy], or noise = "central" if the hub is trusted'
        yield Finding(("privacy", "dp", "noise"), what, remedy)
    if study.algorithm.min_sites is None:
        what = "each site adds its share of the noise, and cannot know it without the fewest sites that must answer"
        yield Finding(("algorithm", "min_sites"), what, "set min_sites: with fewer survivors the round does not count")
