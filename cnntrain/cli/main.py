"""The command line: its verbs, the messages for mistakes, and the exit codes.

0 done; 1 a run failed, or a check found a fault; 2 a mistake in the command; 3 `reproduce` cannot
compare; 130 interrupted; 141 nobody reads the output any more; 143 terminated, as a preempted job
is, with a checkpoint. Nothing here imports TensorFlow before the command has been checked.
"""

import contextlib
import itertools
import shlex
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console as RichConsole
from rich.markup import escape

from cnntrain import __version__
from cnntrain.cli.parser import make_parser
from cnntrain.errors import SpecError, escape_unprintable, find_nearest
from cnntrain.files.refusals import explain_os_error
from cnntrain.signals import INTERRUPTED, TERMINATED, Terminated
from cnntrain.spec import option_files
from cnntrain.terminal.streams import discard_output, open_streams
from cnntrain.training.devices.backend import resolve_backend

if TYPE_CHECKING:
    from cnntrain.running.progress import RunView

OUTPUT_CLOSED = 141  # the exit code that a shell gives to a program that SIGPIPE ended
VERBS = {  # verb -> the module whose `main(words)` does it; training needs no verb
    "train": "",
    "fit": "cli.fit",
    "resume": "cli.resume",
    "report": "cli.report",
    "compare": "cli.compare",
    "reproduce": "cli.reproduce",
    "data": "cli.data.command",
    "list": "cli.list",
    "evaluate": "cli.evaluate",
    "predict": "cli.predict",
    "look": "cli.look",
    "export": "cli.export",
    "eject": "cli.eject",
    "plan": "cli.plan",
    "doctor": "cli.doctor",
    "bench": "cli.bench",
    "completion": "cli.completion.command",
}
# A word after one of these is its value, although a folder may be called `data`.
FLAGS_WITH_VALUES = ("--config-dir", "-cd", "--cfg", "-c", "--output", "--sort")
EXAMPLES = """\
examples:
  cnntrain                                           LeNet-5 on scikit-learn's digits, 20 epochs
  cnntrain model=vgg16 dataset=cifar10 epochs=30 augmentation=flip_crop
  cnntrain -m initializer=zeros,glorot_uniform,he_normal model=mlp_256_128 dataset=mnist
"""


def main(
    argv: Sequence[str] | None = None,
    run: Callable[[list[str]], int] | None = None,
    answer: Callable[[SpecError], None] | None = None,
) -> NoReturn:
    """Run the command line and exit.

    `run` runs the words, by default `run_verb`; `answer` tells the user of a mistake, by default on
    standard error.
    """
    run, answer = run or run_verb, answer or print_mistake
    words = list(sys.argv[1:] if argv is None else argv)
    open_streams()
    try:
        check_surroundings(words)
        resolve_backend()  # sets the backend before a verb loads Keras
        code = run(words)
        sys.stdout.flush()
        sys.exit(code)
    except SpecError as error:
        answer(error)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Terminated:
        sys.exit(TERMINATED)
    except SystemExit as ended:  # rich raises it, with another code, for a closed pipe
        if isinstance(ended.__context__, BrokenPipeError):
            sys.exit(OUTPUT_CLOSED)
        raise
    except BrokenPipeError:  # of `| head`, say; Python would raise it again at exit
        discard_output()
        sys.exit(OUTPUT_CLOSED)
    except OSError as error:
        sys.exit(answer_os_error(error, words, answer))


def check_surroundings(words: Sequence[str]) -> None:
    """Raise SpecError for words that are no UTF-8, and a working directory that is gone."""
    for word in words:
        try:
            word.encode("utf-8")
        except UnicodeEncodeError:
            raise SpecError(f"{word!r} is not text in UTF-8", "words and names in UTF-8") from None
    try:
        Path.cwd()
    except OSError as error:
        raise SpecError(
            f"the working directory cannot be read: {error.strerror}", "one that is there"
        ) from None


def answer_os_error(
    error: OSError, words: Sequence[str], answer: Callable[[SpecError], None]
) -> int:
    """Tell of an error of the system that the user can remedy, and return the exit code.

    Any other error is a bug of ours, and is raised.
    """
    explained = explain_os_error(error, words)
    if explained is None:
        raise error
    if isinstance(explained, SpecError):
        with contextlib.suppress(OSError):  # of an output that is what is full
            answer(explained)
        discard_output()
        return 2
    discard_output()  # which may be what is full
    print(f"Failed: {explained}", file=sys.stderr)
    return 1


def run_verb(words: list[str], view: "RunView | None" = None) -> int:
    """Run the first word that is a verb, wherever it stands, or train; return the exit code.

    `view` shows the training, by default the terminal.
    """
    place = find_verb(words)
    verb = "train" if place is None else words.pop(place)
    if module := VERBS[verb]:
        return import_module(f"cnntrain.{module}").main(words)
    parser = make_parser()
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-c", "--cfg", choices=["job"])
    arguments = parser.parse_intermixed_args(words)
    if arguments.help:
        print(format_help_text(arguments.config_dir))
        return 0
    if arguments.version:
        print(f"cnntrain {__version__}")
        return 0
    check_words_are_overrides(arguments.overrides)
    if arguments.multirun and arguments.cfg:
        raise SpecError("--cfg and -m are both given", "one of them", "cnntrain --cfg job …")
    if arguments.multirun:
        from cnntrain.sweeps.sweep import run_sweep

        return run_sweep(arguments.overrides, arguments.config_dir, view)
    from cnntrain.running.run import train_from_overrides

    return train_from_overrides(arguments.overrides, arguments.config_dir, arguments.cfg, view)


def find_verb(words: Sequence[str]) -> int | None:
    """Return the place of the first word that is a verb, and no flag's value; None without one."""
    before = ["", *words]
    places = (
        n for n, word in enumerate(words) if word in VERBS and before[n] not in FLAGS_WITH_VALUES
    )
    return next(places, None)


def check_words_are_overrides(overrides: Sequence[str]) -> None:
    """Raise SpecError for a word that is no override; it hints at a verb, option or setting."""
    check_no_space_after_comma(overrides)
    for word in overrides:
        if "=" not in word and not word.startswith("~"):
            hint = option_files.qualify_option(word) or suggest_fit(word)
            if hint is None and (
                nearest := find_nearest(word, [*VERBS, *option_files.list_settings()])
            ):
                hint = f"cnntrain {nearest}" if nearest in VERBS else f"{nearest}=VALUE"
            raise SpecError(
                f"{word!r} is neither a command nor an override",
                f"key=value, or the command {', '.join(VERBS)}",
                hint,
            )


def check_no_space_after_comma(overrides: Sequence[str]) -> None:
    """Raise SpecError for `seed=1, 2`, which the shell takes apart."""
    for place, word in enumerate(overrides[:-1]):
        if "=" in word and word.endswith(",") and "=" not in overrides[place + 1]:
            rest = itertools.takewhile(lambda other: "=" not in other, overrides[place + 1 :])
            raise SpecError(
                f"{word!r} ends with a comma, and a space follows",
                "no space after the comma",
                shlex.quote(word + "".join(rest)),
            )


def suggest_fit(word: str) -> str | None:
    """Return the command that makes a classifier from a folder; None if the word names none."""
    with contextlib.suppress(OSError):  # of a name that is too long
        if Path(word).is_dir():
            return shlex.join(["cnntrain", "fit", word])
    return None


def format_help_text(config_dir: str | None) -> str:
    lines = [
        "cnntrain trains convolutional networks; a run is a pure function of its spec.",
        "",
        "usage: cnntrain [key=value ...]        train",
        "       cnntrain -m key=a,b [...]       train once for each combination of values",
        "       cnntrain fit FOLDER             from photos to a classifier, with reasons",
        "       cnntrain resume RUN [epochs=N]  go on exactly where a run, or a sweep, stopped",
        "       cnntrain plan [key=value ...]   what a run would take: memory, steps, time",
        "       cnntrain doctor                 whether this machine is fit to train",
        "       cnntrain bench                  how fast it trains, beside Keras and PyTorch",
        "       cnntrain report RUN|SWEEP       make its page again, and say what came out",
        "       cnntrain compare RUN...         runs side by side, and where their specs differ",
        "       cnntrain reproduce RECIPE       train a recipe: does this machine get what we got?",
        "       cnntrain data list              what data there is, and whether it is here",
        "       cnntrain data prepare NAME      make it ready; data --help has verify and preview",
        "       cnntrain evaluate RUN...        how good it is: every class, calibration, attacks",
        "       cnntrain predict RUN IMAGE...   the likeliest classes of photos",
        "       cnntrain look RUN IMAGE         what the network sees in one picture, on a page",
        "       cnntrain export RUN --format F  for other programs, run there before it is kept",
        "       cnntrain eject RUN              one Keras script that ends with the same weights",
        "       cnntrain list [GROUP] [--json]  what each option is",
        "       cnntrain list model OPTION      the layers of a network, and what they cost",
        "       cnntrain list --schema          a JSON schema of recipes, for editors",
        "       cnntrain completion SHELL       completion for bash, zsh or fish",
        "",
        "Every run is one option of each group, and settings; cnntrain --cfg job shows them all.",
        "Knobs of an option are set with a dot: model.dropout=0.3 optimizer.learning_rate=0.1",
        "",
    ]
    for group, options in option_files.summarise_options(config_dir).items():
        lines += wrap_columns(group, options)
    lines += wrap_columns("settings", option_files.list_settings())
    lines += [
        "",
        "flags:",
        "  -h, --help           this text",
        "  --version            the version",
        "  -m, --multirun       sweep: seed=1,2,3  initializer=glob(*)  sweep.jobs=4; search with",
        "                       hydra/sweeper=optuna; elsewhere with hydra/launcher=submitit_slurm",
        "  -c, --cfg job        print the composed settings and stop",
        "  --config-dir FOLDER  a folder with options of your own: FOLDER/model/mine.yaml",
        "",
        EXAMPLES.rstrip(),
    ]
    return "\n".join(lines)


def wrap_columns(heading: str, words: Iterable[str]) -> list[str]:
    """Return the lines of a heading with words wrapped beside it."""
    indent = " " * 14
    return textwrap.wrap(
        " ".join(words), 96, initial_indent=f"{heading:<14}", subsequent_indent=indent
    )


def print_mistake(error: SpecError) -> None:
    with contextlib.suppress(OSError):
        text = escape(escape_unprintable(str(error), keep="\n"))
        RichConsole(stderr=True).print(f"[red]Error:[/red] {text}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main()
