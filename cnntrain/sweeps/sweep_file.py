"""sweep.yaml of a sweep that may be anyone's: read as data, and nothing in it run unasked.

What it says becomes command lines, and settings of programs that run commands. So words are
overrides and nothing else, the directory that jobs run in is no part of the sweep, and settings of
a launcher that may run something, or hand jobs to somebody, are said again by whoever resumes.
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
MAY_BE_EMPTY = ("overrides", "flags", "varied", "jobs", "fixed", "space")
LAUNCHER_FIELDS = {
    "name": str, "cluster": str, "n_jobs": int, "address": str, "num_cpus": Count,
    "cpus_per_job": NonNegative, "gpus_per_job": NonNegative,
}  # fmt: skip
# An override: a key, no flag and no verb, and one that says what a job is, not how Hydra works.
OVERRIDE_PATTERN = re.compile(r"(?!-)(?![+~]*hydra[./](?!run\.dir=))([^=]+=.*|~.+)", re.DOTALL)
# Settings of submitit that are words for SLURM, which runs none of them.
HARMLESS_SETTING = re.compile(
    r"slurm_(partition|job_name|account|qos|constraint|comment|gres|exclude|nodelist|time|mem\w*|cpus_per\w*|"
    r"gpus_per\w*|ntasks_per_node|num_gpus|dependency|exclusive|mail_type|mail_user|wckey)|"
    r"timeout_min|mem_gb|nodes|tasks_per_node"
)


def read_plan(file: Path) -> dict[str, Any]:
    """Return what a sweep.yaml says; SpecError for what no sweep of ours has written."""
    known = check_types(file, read_mapping(file, LARGE_BYTES), PLAN_FIELDS)
    check_required_keys(file, known, [key for key in PLAN_FIELDS if key not in MAY_BE_EMPTY])
    plan = {key: [] for key in ("overrides", "flags", "varied", "jobs")} | known
    for words in (*plan["jobs"], plan.get("fixed", ()), plan.get("space", ())):
        for word in words:
            if not OVERRIDE_PATTERN.fullmatch(word):
                raise explain_damage(file, f"{word!r} is no override of a job")
    if plan["flags"] and (len(plan["flags"]) != 2 or plan["flags"][0] != "--config-dir"):
        raise explain_damage(file, f"its flags are {' '.join(plan['flags'])}")
    if not all(isinstance(plan[part].get("name"), str) for part in ("launcher", "sweeper")):
        raise explain_damage(file, "its launcher or its sweeper has no name")
    check_types(file, plan["launcher"], LAUNCHER_FIELDS)
    check_working_directory(file, Path(plan["cwd"]))
    return plan


def check_working_directory(file: Path, cwd: Path) -> None:
    """Refuse a directory for the jobs that came with the sweep: programs read files where they run.

    That is where the sweep was begun, which cannot be within it.
    """
    home = file.parent.resolve()
    if not cwd.is_absolute() or cwd.resolve().is_relative_to(home):
        raise explain_damage(file, f"it was begun in {cwd}, which is no directory outside of it")


def check_launcher(file: Path, launcher: Mapping[str, Any], said: Collection[str]) -> None:
    """Refuse settings that may run something or hand jobs to somebody, unless they were `said`."""
    known = find_option_files("hydra/launcher")
    if (name := str(launcher["name"])) not in known:
        close = find_nearest(name, known)
        hint = f"hydra/launcher={close}" if close else None
        raise SpecError(f"{file} names the launcher {name}", known, hint)
    ours = load_option(known[name])
    for key, value in launcher.items():
        same = value is None or value == ours.get(key) or isinstance(value, int | float)
        plain = HARMLESS_SETTING.fullmatch(key) and isinstance(value, str) and value.isprintable()
        if not (same or plain or key in said):
            raise SpecError(
                f"{file} sets hydra.launcher.{key}, which may run what a stranger wrote",
                "the same said by you, if it is yours",
                f"cnntrain resume {file.parent} 'hydra.launcher.{key}=…'",
            )
