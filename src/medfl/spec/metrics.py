"""What each metric says, in words: for reports, pages and the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric in plain language.

    Parameters
    ----------
    label
        Its name as the field writes it.
    meaning
        One sentence for a reader who is no statistician.
    low, high
        The range it can take; None where it has no end.
    ideal
        Its value for a perfect model; None where no value is better than another.
    unit
        Empty for plain numbers; "outcome" where it is in the outcome's own unit.
    """

    label: str
    meaning: str
    low: float | None = 0.0
    high: float | None = 1.0
    ideal: float | None = 1.0
    unit: str = ""

    @property
    def higher_is_better(self) -> bool | None:
        """Whether more is better, or less; None where it should be near a value inside its range, or nowhere."""
        if self.ideal is None or self.ideal not in (self.low, self.high):
            return None
        return self.ideal == self.high


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "auc": Metric(
            "AUC",
            "The chance that a person with the outcome gets a higher score than a person without it; 0.5 is guessing. "
            "With several classes, each against the rest, averaged.",
        ),
        "auprc": Metric(
            "AUPRC",
            "Average precision: the positive predictive value, averaged over all sensitivities; guessing gives the "
            "prevalence.",
        ),
        "accuracy": Metric("Accuracy", "Share of people classified correctly."),
        "sensitivity": Metric(
            "Sensitivity",
            "Share of the people with the outcome whom the model finds (recall). "
            "With several classes, averaged over them.",
        ),
        "specificity": Metric(
            "Specificity",
            "Share of the people without the outcome whom the model leaves alone. "
            "With several classes, averaged over them.",
        ),
        "ppv": Metric("PPV", "Among the people called positive, the share who have the outcome (precision)."),
        "npv": Metric("NPV", "Among the people called negative, the share who do not have the outcome."),
        "f1": Metric(
            "F1",
            "Harmonic mean of positive predictive value and sensitivity. With several classes, averaged over them.",
        ),
        "brier": Metric(
            "Brier score",
            "Mean squared distance between the predicted probability and what happened (0 or 1). "
            "With several classes, summed over them, so that it reaches 2.",
            high=None,
            ideal=0.0,
        ),
        "log_loss": Metric(
            "Log loss",
            "Mean surprise at what happened, given the predicted probabilities; confident errors cost most.",
            high=None,
            ideal=0.0,
        ),
        "ece": Metric(
            "Calibration error",
            "Mean distance between predicted and observed share over 20 equal bins of probability (ECE).",
            ideal=0.0,
        ),
        "calibration_slope": Metric(
            "Calibration slope",
            "1 is right; below 1 the predictions are too extreme, above 1 too timid.",
            low=None,
            high=None,
        ),
        "calibration_intercept": Metric(
            "Calibration intercept",
            "Intercept of the same recalibration as the slope; 0 is right when the slope is 1, "
            "and then above 0 means that risks are predicted too low, below 0 too high.",
            low=None,
            high=None,
            ideal=0.0,
        ),
        "prevalence": Metric("Prevalence", "Share of the people tested who have the outcome.", ideal=None),
        "threshold": Metric("Threshold", "Predicted probability from which a person counts as positive.", ideal=None),
        "rmse": Metric(
            "RMSE",
            "Root of the mean squared error; large errors weigh more.",
            high=None,
            ideal=0.0,
            unit="outcome",
        ),
        "mae": Metric("MAE", "Mean size of the error.", high=None, ideal=0.0, unit="outcome"),
        "r2": Metric(
            "R²",
            "Share of the outcome's variance that the model explains; 0 is no better than predicting the mean, "
            "below 0 is worse.",
            low=None,
        ),
        "mean_error": Metric(
            "Mean error",
            "Mean of predicted minus observed: above 0 the model predicts too high, below 0 too low.",
            low=None,
            high=None,
            ideal=0.0,
            unit="outcome",
        ),
    }
)
