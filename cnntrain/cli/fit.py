"""`cnntrain fit FOLDER`: look at photos, propose settings with reasons, and train."""

import contextlib
import json
import re
import shlex
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnntrain.cli.parser import make_parser
from cnntrain.data.load import load_source
from cnntrain.errors import SpecError, find_nearest
from cnntrain.files.documents import replace_nonfinite
from cnntrain.planning.auto_settings import resolve_auto_settings
from cnntrain.planning.proposal import (
    Decision,
    brings_weights,
    propose_settings,
    propose_splits,
    suits_pretrained,
)
from cnntrain.running.run import check_machine, train_composed
from cnntrain.spec.build import AUTO_SETTINGS, build_provisional_spec
from cnntrain.spec.compose import compose_config
from cnntrain.spec.hints import TABLE_ENDINGS, choose_photo_words
from cnntrain.spec.option_files import find_option_files, list_settings
from cnntrain.spec.overrides import parse_single_override, quote_path
from cnntrain.spec.places import check_data_paths, is_there
from cnntrain.spec.signatures import Component

if TYPE_CHECKING:
    from cnntrain.planning.photo_facts import PhotoFacts

USAGE = """\
usage: cnntrain fit FOLDER [key=value ...] [--minutes M] [--dry-run] [--json]

  From photos to a classifier: looks at a folder with a folder of photos for each class (or a zip
  of one, or a table of files and labels), proposes every setting with its reason, shows the
  command that does the same, trains it, and says how good it is and what to do next. Settings that
  you give win.

  --minutes M   as many epochs as fit into M minutes (also minutes=M)
  --dry-run     the proposal and the command, without training
  --json        everything, for scripts; the training is shown on standard error"""
OPEN_GROUPS = ("model", "finetune", "augmentation")  # whose option the photos decide


@dataclass(frozen=True)
class Proposal:
    """What was found, what is decided, and the overrides that do it; the user's own are last."""

    facts: "PhotoFacts"
    sizes: Mapping[str, int]  # photos of each split
    shared: int  # photos that are in several splits
    decisions: Sequence[Decision]
    words: Sequence[str]
    advice: Sequence[str]  # lines on weights that would help and cannot be had


def main(words: Sequence[str]) -> int:
    """`cnntrain fit FOLDER [key=value ...]`: return the exit code of the training, or 0."""
    parser = make_parser("fit")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--minutes")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("-m", "--multirun", action="store_true")
    arguments = parser.parse_intermixed_args(words)
    if arguments.help:
        print(USAGE)
        return 0
    if arguments.multirun:
        raise SpecError(
            "-m is given, and fit trains one run",
            "fit without -m; the command that --dry-run shows takes -m and several values",
            "cnntrain fit FOLDER --dry-run",
        )
    folder, own = split_fit_words(arguments.words, arguments.config_dir)
    if arguments.minutes is not None:
        own = [*own, f"minutes={arguments.minutes}"]
    given = read_given_settings(own)
    proposal = propose_run(folder, own, given, arguments.config_dir)
    return show_and_train(proposal, arguments)


def split_fit_words(words: Sequence[str], config_dir: str | None) -> tuple[str, list[str]]:
    """Return the folder and the overrides among the words; raise SpecError if there is not one."""
    folders = [word for word in words if "=" not in word or is_there(Path(word))]
    expected = "a folder with a folder of photos for each class"
    if not folders:
        raise SpecError("no folder is named", expected, "cnntrain fit FOLDER")
    if len(folders) > 1:
        given = (
            f"{', '.join(folders[:-1])} and {folders[-1]} are {'both ' * (len(folders) == 2)}given"
        )
        raise SpecError(given, "one folder, and settings as key=value", join_words(folders))
    if folders[0] in find_option_files("dataset", config_dir) and not is_there(Path(folders[0])):
        hint = f"cnntrain dataset={folders[0]}"
        raise SpecError(f"{folders[0]} is no folder but a data set", expected, hint)
    place = Path(folders[0])
    is_known = place.suffix.lower() in (".zip", *TABLE_ENDINGS)
    if not is_known and is_there(place) and not place.is_dir():
        kinds = f"a zip of one, or a table of files and labels ({', '.join(TABLE_ENDINGS)})"
        raise SpecError(f"{folders[0]} is a file", f"{expected}, {kinds}")
    return folders[0], [word for word in words if word != folders[0]]


def join_words(words: Sequence[str]) -> str:
    """Return what words that are too many most likely mean: a name with spaces, or a setting."""
    if is_there(Path(" ".join(words))):
        return shlex.join(["cnntrain", "fit", " ".join(words)])
    pairs = [(find_nearest(key, list_settings()), value) for key, value in pairwise(words)
             if not is_there(Path(key))]  # fmt: skip
    meant = next((f"{key}={value}" for key, value in pairs if key), None)
    return meant or shlex.join(["cnntrain", "fit", words[0]])


def check_place(folder: str, data_dir: Path) -> None:
    """Raise SpecError with a similar name if nothing of this name is here or in `data_dir`.

    What is there and cannot be read is left to `check_data_paths`.
    """
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        place = Path(folder).expanduser()
        if place.exists() or (data_dir / folder).exists():
            return
        above = place.parent if place.parent.is_dir() else Path()
        name = re.split(r"[/\\]", folder.rstrip("/\\"))[-1]  # also of a path of Windows
        kinds = (".zip", *TABLE_ENDINGS)
        names = [p.name for p in above.iterdir() if p.is_dir() or p.suffix.lower() in kinds]
        nearest = find_nearest(name, names)
        again = str(above / nearest) if nearest else "/absolute/path"
        raise SpecError(
            f"{folder} is not there",
            f"a folder with a folder of photos for each class, seen from {Path.cwd()}",
            shlex.join(["cnntrain", "fit", again]),
        )


def read_given_settings(overrides: Sequence[str]) -> dict[str, str]:
    """Return the user's settings by key; raise SpecError for one that `fit` cannot be given."""
    given = dict[str, str]()
    for word in overrides:
        key = parse_single_override(word).key_or_group
        if key in given:
            raise SpecError(f"{key} is given twice", "each setting once")
        if key in ("dataset", "experiment", "dataset.folder", "dataset.table"):
            hint = None if "." in key else f"cnntrain {word}"
            raise SpecError(
                f"{word} is given, and fit takes a folder", "other settings of a run", hint
            )
        given[key] = word.partition("=")[2]
    if brings_weights(given) and "model" not in given:
        raise SpecError(
            "weights are given and no model", "the network that they belong to", "model=NAME"
        )
    return given


def make_dataset_words(folder: str) -> list[str]:
    """Return the overrides that choose a folder, a zip, or a table as data set."""
    option, word = choose_photo_words(folder)
    return [option, f"{word.partition('=')[0]}={quote_path(folder)}"]


def propose_run(
    folder: str, own: Sequence[str], given: Mapping[str, str], config_dir: str | None
) -> Proposal:
    """Look at a folder, and return what is proposed for it.

    Raises SpecError for photos that cannot be trained on, before TensorFlow is loaded.
    """
    from cnntrain.data.splits import ROW_KNOBS, choose_rows
    from cnntrain.planning.photo_facts import (
        count_chosen_classes,
        count_shared_doubles,
        look_at_photos,
    )
    from cnntrain.planning.pretrained_choice import choose_pretrained, explain_missing_weights

    dataset_words = make_dataset_words(folder)
    # Knobs of options that are not chosen yet are checked with the whole proposal.
    known = [word for word in own if not word.startswith(tuple(f"{g}." for g in OPEN_GROUPS))]
    spec = build_provisional_spec(compose_config([*dataset_words, *known], config_dir).config)
    check_place(folder, Path(spec.config["data_dir"]).expanduser())
    check_data_paths(spec.config)
    facts, source = look_at_photos(load_source(spec))
    splits = propose_splits(facts, given)
    words = [*dataset_words, *splits.words]
    spec = build_provisional_spec(compose_config([*words, *known], config_dir).config)
    chosen = choose_rows(source, **{knob: spec.dataset[knob] for knob in ROW_KNOBS})
    sizes = {split: len(chosen.rows[split]) for split in ("train", "valid", "test")
             if split in chosen.rows}  # fmt: skip
    facts = count_chosen_classes(facts, chosen)
    pretrained, advice = None, list[str]()
    if suits_pretrained(facts, given):
        pretrained = choose_pretrained(given, spec.config["weights_dir"])
        advice = explain_missing_weights(given) if pretrained is None else []
    if pretrained is None:
        given = {**read_default_weights(spec.model, given), **given}
    settings = propose_settings(facts, sizes["train"], "valid" in sizes, pretrained, given)
    proposed = [word for decision in settings for word in decision.words]
    # The network that is proposed without weights has no such knob.
    kept = [word for word in own if word != "model.weights=null" or "model" in given]
    return Proposal(
        facts,
        sizes,
        count_shared_doubles(facts, chosen.rows),
        [*settings, splits],
        [*words, *proposed, *kept],
        advice,
    )


def read_default_weights(model: Component, given: Mapping[str, str]) -> dict[str, str]:
    """Return the weights that the network of the user's choice has by itself, as a setting."""
    weights = model.knobs.get("weights") if "model" in given else None
    return {} if weights is None else {"model.weights": weights}


def show_and_train(proposal: Proposal, arguments: Namespace) -> int:
    """Show a proposal, train it unless this is a dry run, and say what came out."""
    from cnntrain.planning.proposal_report import list_fold_words, print_command, print_proposal
    from cnntrain.terminal.tables import print_unwrapped_lines

    config_dir, facts = arguments.config_dir, describe_proposal(proposal)
    check_machine(build_provisional_spec(compose_config(proposal.words, config_dir).config))
    with contextlib.redirect_stdout(sys.stderr if arguments.json else sys.stdout):
        print_proposal(proposal.facts, proposal.sizes, proposal.shared, proposal.decisions)
        if proposal.advice:
            print_unwrapped_lines(["", *proposal.advice])
        words, notes = settle_words(proposal.words, config_dir)
        cnntrain = ["cnntrain", *(["--config-dir", config_dir] if config_dir else [])]
        shown = [word for word in words if not word.startswith("hydra.run.dir=")]
        facts["command"] = shlex.join([*cnntrain, *shown])
        folds = list_fold_words(proposal.facts, proposal.sizes, shown)
        facts["fold_command"] = shlex.join([*cnntrain, "-m", *folds]) if folds else None
        print_command(facts["command"], facts["fold_command"], notes)
        code = 0 if arguments.dry_run else train_words(words, config_dir, facts)
    if arguments.json:
        print(json.dumps(replace_nonfinite(facts), indent=2))
    return code


def train_words(words: Sequence[str], config_dir: str | None, facts: dict[str, Any]) -> int:
    """Train a run, print how good it is, and add that to `facts`; return the exit code."""
    composed = compose_config(words, config_dir)
    code = train_composed(composed, words, config_dir)
    facts["run"] = str(composed.run_dir)
    if code != 0:
        return code
    from cnntrain.reports.fit_result import (
        describe_fit_result,
        read_fit_result,
        suggest_next_commands,
    )
    from cnntrain.terminal.tables import print_unwrapped_lines

    result = read_fit_result(composed.run_dir)
    if result is not None:
        facts["result"] = asdict(result)
        print_unwrapped_lines(describe_fit_result(result))
    if facts["advice"]:
        print_unwrapped_lines(["", *facts["advice"]])
    print_unwrapped_lines(suggest_next_commands(composed.run_dir))
    return code


def settle_words(words: Sequence[str], config_dir: str | None) -> tuple[list[str], list[str]]:
    """Return the overrides with numbers in place of `auto` and `minutes`, and notes on them.

    So the command repeats what is trained, whatever the time of day.
    """
    config = compose_config(words, config_dir).config
    settled, _, notes = resolve_auto_settings(config, build_provisional_spec(config), config_dir)
    changed = [key for key in (*AUTO_SETTINGS, "epochs") if settled[key] != config[key]]
    dropped = {*changed, "minutes"} if notes else set()
    kept = [word for word in words if word.partition("=")[0] not in dropped]
    return [*kept, *(f"{key}={settled[key]}" for key in changed)], notes


def describe_proposal(proposal: Proposal) -> dict[str, Any]:
    """Return what was looked at and decided, as JSON can hold it."""
    facts = proposal.facts
    return {
        "photos": {
            "classes": dict(facts.classes),
            "parts": dict(facts.parts),
            "size": list(facts.size),
            "grey": facts.is_grey,
            "looked_at": len(facts.looks),
            "broken": [{"file": name, "reason": why} for name, why in facts.broken],
            "doubles": [[facts.names[row] for row in rows] for rows in facts.find_doubles()],
        },
        "splits": dict(proposal.sizes),
        "in_several_splits": proposal.shared,
        "decisions": [asdict(decision) for decision in proposal.decisions],
        "advice": list(proposal.advice),
    }
