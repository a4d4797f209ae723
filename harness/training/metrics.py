"""Figures of merit of a classifier over a whole test split, by scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

METRICS = ("accuracy", "balanced_accuracy", "auroc", "macro_f1")


@frozen
class Metrics:
    """What was computed, in [0, 1], and why the others are `undefined`, both by name."""

    values: dict[str, float]
    undefined: dict[str, str] = field(factory=dict)


def classification_metrics(outputs: NDArray[np.float64], labels: NDArray[np.int64], num_classes: int) -> Metrics:
    """Return the `METRICS` of *outputs* `[N, 1]` (binary, of the positive class) or `[N, num_classes]`, before any
    sigmoid or softmax, against *labels* `int64 [N]`; against labels `[N, L]` those of `multilabel_metrics`.

    Balanced accuracy is the mean recall of the classes that *labels* hold. Macro F1 is over the classes that are held
    or guessed. AUROC is the macro mean of each class against the rest, by the order of its softmax share; undefined
    where a class has no image.
    """
    from sklearn.metrics import accuracy_score, f1_score

    if labels.ndim > 1:
        return multilabel_metrics(outputs, labels)
    guessed = (outputs[:, 0] > 0).astype("int64") if outputs.shape[1] == 1 else outputs.argmax(axis=1)
    values = {
        "accuracy": float(accuracy_score(labels, guessed)),
        "balanced_accuracy": _balanced_accuracy(labels, guessed),
        "macro_f1": float(f1_score(labels, guessed, average="macro", zero_division=0)),
    }
    reason = _no_auroc(outputs, labels, num_classes)
    if reason is not None:
        return Metrics(values, {"auroc": reason})
    return Metrics({**values, "auroc": _auroc(outputs, labels)})


def multilabel_metrics(outputs: NDArray[np.float64], labels: NDArray[np.int64]) -> Metrics:
    """Return the `METRICS` of *outputs* `[N, L]`, before any sigmoid, against *labels* `int64 [N, L]` of 0 and 1.

    Each is the mean over the labels, as in MedMNIST's evaluator (J. Yang et al., Scientific Data 10:41, 2023), which
    has accuracy and AUROC: of the accuracy at a probability of 0.5, the balanced accuracy, and the AUROC; undefined
    where all images, or none, have one of the labels. Macro F1 is over the labels that are held or guessed, of images
    that have them; undefined without any.
    """
    import numpy as np
    from sklearn.metrics import accuracy_score, f1_score

    guessed = (outputs > 0).astype("int64")
    each = range(labels.shape[1])
    values = {
        "accuracy": float(accuracy_score(labels.ravel(), guessed.ravel())),
        "balanced_accuracy": float(np.mean([_balanced_accuracy(labels[:, k], guessed[:, k]) for k in each])),
    }
    undefined = {"macro_f1": _no_label_f1(labels, guessed), "auroc": _no_label_auroc(outputs, labels)}
    if undefined["macro_f1"] is None:
        told = np.flatnonzero((labels | guessed).any(axis=0))
        values["macro_f1"] = float(f1_score(labels, guessed, labels=told, average="macro", zero_division=0))
    if undefined["auroc"] is None:
        values["auroc"] = float(np.mean([_auroc(outputs[:, [k]], labels[:, k]) for k in each]))
    return Metrics(values, {name: reason for name, reason in undefined.items() if reason is not None})


def _balanced_accuracy(labels: NDArray[np.int64], guessed: NDArray[np.int64]) -> float:
    """As scikit-learn's balanced_accuracy_score has it, which warns of each class that is guessed and not there."""
    from sklearn.metrics import recall_score

    held = sorted(set(labels.tolist()))
    return float(recall_score(labels, guessed, labels=held, average="macro", zero_division=0))


def _no_label_f1(labels: NDArray[np.int64], guessed: NDArray[np.int64]) -> str | None:
    return None if (labels | guessed).any() else "no test image has any of the labels, and none was guessed"


def _no_label_auroc(outputs: NDArray[np.float64], labels: NDArray[np.int64]) -> str | None:
    import numpy as np

    lacking = {
        "no image with": np.flatnonzero(~labels.any(axis=0)),
        "no image without": np.flatnonzero(labels.all(axis=0)),
    }
    told = [f"{what} label {', '.join(map(str, found))}" for what, found in lacking.items() if found.size]
    if told:
        return f"the test split has {' and '.join(told)}"
    return None if np.isfinite(outputs).all() else "the model's outputs are not finite"


def _no_auroc(outputs: NDArray[np.float64], labels: NDArray[np.int64], num_classes: int) -> str | None:
    import numpy as np

    absent = sorted(set(range(num_classes)) - set(labels.tolist()))
    if absent:
        return f"the test split has no image of class {', '.join(map(str, absent))}"
    return None if np.isfinite(outputs).all() else "the model's outputs are not finite"


def _auroc(outputs: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    import numpy as np
    from scipy.special import logsumexp
    from sklearn.metrics import roc_auc_score

    if outputs.shape[1] == 1:
        return float(roc_auc_score(labels, outputs[:, 0]))
    # The logit of a class's softmax share: of the same order, but sure outputs do not all become 1.
    classes = range(outputs.shape[1])
    margins = [outputs[:, k] - logsumexp(np.delete(outputs, k, axis=1), axis=1) for k in classes]
    return float(np.mean([roc_auc_score(labels == k, margins[k]) for k in classes]))
