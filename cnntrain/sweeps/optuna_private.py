"""The private attribute of Optuna that we read. If a new version of Optuna breaks, look here.

Written against optuna 5.0.0 and tried with 4. `Study.ask` only begins new trials. A trial that was
begun by a process before is publicly known as a `FrozenTrial`, to which nothing can be reported.
"""

from typing import Any


def reopen_trial(optuna: Any, study: Any, frozen: Any) -> Any:
    """Return the trial of a study of which `frozen` is a snapshot, to go on with it."""
    return optuna.trial.Trial(study, frozen._trial_id)
