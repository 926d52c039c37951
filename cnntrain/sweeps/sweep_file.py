"""Read a sweep.yaml that may come from an untrusted source; nothing in it is run unasked.

Its content becomes command lines, and settings of programs that run commands. Therefore the words
of jobs must be overrides, jobs must not run in a directory within the sweep, and launcher settings
that may run something, or send jobs elsewhere, must be given again by whoever resumes the sweep.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from cnntrain.errors import SpecError, find_nearest
from cnntrain.files.documents import LARGE_BYTES, explain_damage, read_mapping
from cnntrain.runs.strangers import check_required_keys, check_types
from cnntrain.spec.knobs import Count, NonNegative
from cnntrain.spec.option_files import find_option_files, load_option

PLAN_FIELDS = {
    "overrides": list[str], "flags": list[str], "cwd": str, "sweep": dict, "launcher": dict,
    "sweeper": dict, "varied": list[str], "monitor": str, "jobs": list[list[str]],
    "fixed": list[str], "space": list[str],
}  # fmt: skip
OPTIONAL_KEYS = ("overrides", "flags", "varied", "jobs", "fixed", "space")
LAUNCHER_FIELDS = {
    "name": str, "cluster": str, "n_jobs": int, "address": str, "num_cpus": Count,
    "cpus_per_job": NonNegative, "gpus_per_job": NonNegative,
}  # fmt: skip
# An override of a job: no flag, no verb, and none of Hydra's own settings but hydra.run.dir.
OVERRIDE_PATTERN = re.compile(r"(?!-)(?![+~]*hydra[./](?!run\.dir=))([^=]+=.*|~.+)", re.DOTALL)
# Settings of submitit that SLURM takes as words, and does not run as commands.
HARMLESS_SETTING = re.compile(
    r"slurm_(partition|job_name|account|qos|constraint|comment|gres|exclude|nodelist|time|mem\w*|cpus_per\w*|"
    r"gpus_per\w*|ntasks_per_node|num_gpus|dependency|exclusive|mail_type|mail_user|wckey)|"
    r"timeout_min|mem_gb|nodes|tasks_per_node"
)


def read_plan(file: Path) -> dict[str, Any]:
    """Return the content of a sweep.yaml; raise SpecError if cnntrain cannot have written it."""
    content = check_types(file, read_mapping(file, LARGE_BYTES), PLAN_FIELDS)
    check_required_keys(file, content, [key for key in PLAN_FIELDS if key not in OPTIONAL_KEYS])
    plan = {key: [] for key in ("overrides", "flags", "varied", "jobs")} | content
    for words in (*plan["jobs"], plan.get("fixed", ()), plan.get("space", ())):
        for word in words:
            if not OVERRIDE_PATTERN.fullmatch(word):
                raise explain_damage(file, f"{word!r} is not an override of a job")
    if plan["flags"] and (len(plan["flags"]) != 2 or plan["flags"][0] != "--config-dir"):
        raise explain_damage(file, f"its flags are {' '.join(plan['flags'])}")
    if not all(isinstance(plan[part].get("name"), str) for part in ("launcher", "sweeper")):
        raise explain_damage(file, "its launcher or its sweeper has no name")
    check_types(file, plan["launcher"], LAUNCHER_FIELDS)
    check_working_directory(file, Path(plan["cwd"]))
    return plan


def check_working_directory(file: Path, cwd: Path) -> None:
    """Raise SpecError if jobs would run in a directory within the sweep.

    Programs read files in the directory where they run, and such files could be a stranger's. Jobs
    run where the sweep was begun, which cannot be within the sweep.
    """
    home = file.parent.resolve()
    if not cwd.is_absolute() or cwd.resolve().is_relative_to(home):
        raise explain_damage(file, f"it was begun in {cwd}, which is not a directory outside of it")


def check_launcher(file: Path, launcher: Mapping[str, Any], given_keys: Collection[str]) -> None:
    """Raise SpecError for a launcher setting that may run something or send jobs elsewhere.

    Those that the user has just given, `given_keys`, are allowed.
    """
    options = find_option_files("hydra/launcher")
    if (name := str(launcher["name"])) not in options:
        close = find_nearest(name, options)
        hint = f"hydra.launcher.name={close}" if close else None
        origin = "" if "name" in given_keys else f" in {file}"
        raise SpecError(f"hydra.launcher.name{origin} is {name}", options, hint)
    defaults = load_option(options[name])
    for key, value in launcher.items():
        is_plain = value is None or value == defaults.get(key) or isinstance(value, int | float)
        is_word = HARMLESS_SETTING.fullmatch(key) and isinstance(value, str) and value.isprintable()
        if not (is_plain or is_word or key in given_keys):
            raise SpecError(
                f"{file} sets hydra.launcher.{key}, which may run what a stranger wrote",
                "the same setting in your command, if you trust it",
                f"cnntrain resume {file.parent} 'hydra.launcher.{key}=…'",
            )
