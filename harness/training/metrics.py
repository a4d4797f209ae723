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
    sigmoid or softmax, against *labels* `int64 [N]`.

    Balanced accuracy is the mean recall of the classes that *labels* hold. Macro F1 is over the classes that are held
    or guessed. AUROC is the macro mean of each class against the rest, by the order of its softmax share; undefined
    where a class has no image.
    """
    from sklearn.metrics import accuracy_score, f1_score, recall_score

    guessed = (outputs[:, 0] > 0).astype("int64") if outputs.shape[1] == 1 else outputs.argmax(axis=1)
    values = {
        "accuracy": float(accuracy_score(labels, guessed)),
        # As balanced_accuracy_score has it, which warns of each class that is guessed and not there.
        "balanced_accuracy": float(
            recall_score(labels, guessed, labels=sorted(set(labels.tolist())), average="macro", zero_division=0)
        ),
        "macro_f1": float(f1_score(labels, guessed, average="macro", zero_division=0)),
    }
    reason = _no_auroc(outputs, labels, num_classes)
    if reason is not None:
        return Metrics(values, {"auroc": reason})
    return Metrics({**values, "auroc": _auroc(outputs, labels)})


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
