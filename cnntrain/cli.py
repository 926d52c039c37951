"""The command line: the verbs, the answers to mistakes, and the exit codes.

0 done; 1 a run failed, or verified data is not well; 2 a mistake in the request; 130 interrupted;
143 terminated, as a preempted job is, with a state to resume from. Nothing here imports TensorFlow
before the request is known to be right.
"""

import argparse
import signal
import sys
import textwrap
import time
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console as RichConsole
from rich.markup import escape

from cnntrain import __version__, catalogue
from cnntrain.errors import Failure, SpecError, nearest
from cnntrain.signals import Terminated, terminate

VERBS = ("list", "data", "resume")
TAKE_VALUES = ("--config-dir", "-cd", "--cfg", "-c", "--output")  # a folder may be called data
INTERRUPTED, TERMINATED = 130, 143
EXAMPLES = """\
examples:
  cnntrain                                           LeNet-5 on scikit-learn's digits, 20 epochs
  cnntrain model=vgg16 dataset=cifar10 epochs=30 augmentation=flip_crop
  cnntrain -m initializer=zeros,glorot_uniform,he_normal model=mlp_256_128 dataset=mnist
"""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        sys.exit(run_verb(words))
    except SpecError as error:
        say_mistake(error)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Terminated:
        sys.exit(TERMINATED)


def run_verb(words: list[str]) -> int:
    """Dispatch the first word that is a verb, wherever it stands; without one, train."""
    before = ["", *words]
    places = [n for n, word in enumerate(words) if word in VERBS and before[n] not in TAKE_VALUES]
    verb = words.pop(places[0]) if places else None
    if verb == "list":
        return list_options(words)
    if verb == "data":
        return data(words)
    if verb == "resume":
        return resume(words)
    arguments = training_parser().parse_intermixed_args(words)
    if arguments.help:
        print(help_text(arguments.config_dir))
        return 0
    if arguments.version:
        print(f"cnntrain {__version__}")
        return 0
    unknown_verb(arguments.overrides)
    if arguments.multirun and arguments.cfg:
        raise SpecError("--cfg and -m are both given", "one of them", "cnntrain --cfg job …")
    if arguments.multirun:
        from cnntrain.sweep import sweep

        return sweep(arguments.overrides, arguments.config_dir)
    return train(arguments.overrides, arguments.config_dir, arguments.cfg)


class Parser(argparse.ArgumentParser):
    """An argparse parser that answers like everything else."""

    def error(self, message: str) -> NoReturn:
        flag, _, value = message.rpartition(" ")[2].partition("=")
        hint = nearest(flag, self._option_string_actions)
        if hint is None and (setting := nearest(flag.lstrip("-"), catalogue.settings())):
            hint = f"{setting}={value or 'VALUE'}"
        raise SpecError(message, "settings as key=value, flags as in cnntrain --help", hint)


def training_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="cnntrain", add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-c", "--cfg", choices=["job"])
    parser.add_argument("--config-dir", "-cd")
    return parser


def unknown_verb(overrides: Sequence[str]) -> None:
    """Refuse a word that is no override: most likely a mistyped verb, option or setting."""
    for word in overrides:
        if "=" not in word and not word.startswith("~"):
            hint = catalogue.group_of(word)
            if hint is None and (close := nearest(word, [*VERBS, *catalogue.settings()])):
                hint = f"cnntrain {close}" if close in VERBS else f"{close}=VALUE"
            raise SpecError(
                f"{word!r} is neither a command nor an override",
                f"key=value, or the command {', '.join(VERBS)}",
                hint,
            )


def train(overrides: Sequence[str], config_dir: str | None, show_only: str | None = None) -> int:
    """Check the request, claim a directory, train, and say what came out."""
    from cnntrain.compose import compose
    from cnntrain.runs import Run, trained
    from cnntrain.spec import spec

    composed = compose(overrides, config_dir)
    checked = spec(composed.config)
    if show_only:
        import yaml

        print(yaml.safe_dump(composed.config, sort_keys=False), end="")
        return 0
    if (init_from := checked.model["init_from"]) is not None:
        trained(init_from)
    run = Run.claim(composed.run_dir, composed.config, overrides)
    try:
        return bring_to_an_end(checked, run)
    except SpecError:
        run.discard()
        raise


def resume(words: list[str]) -> int:
    """`cnntrain resume RUN [epochs=N ...]`: go on exactly where a run stopped."""
    from cnntrain.resume import reopened

    parser = Parser(prog="cnntrain resume", add_help=False, allow_abbrev=False)
    parser.add_argument("run", nargs="?")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("-h", "--help", action="store_true")
    arguments = parser.parse_intermixed_args(words)
    if arguments.help:
        print("usage: cnntrain resume RUN [epochs=N] [max_steps=N] [schedule.stretch=true]")
        return 0
    if arguments.run is None:
        raise SpecError("no run is named", "the directory of a run", "cnntrain resume outputs/…")
    checked, run, notes = reopened(Path(arguments.run), arguments.overrides)
    for note in notes:
        print(note)
    if run.read()["status"] == "finished":
        return 0
    try:
        return bring_to_an_end(checked, run)
    except SpecError:
        run.put_back()
        raise


def bring_to_an_end(checked: Any, run: Any) -> int:
    """Train, and record how it ended; return the exit code."""
    signal.signal(signal.SIGTERM, terminate)
    try:
        report = start(checked, run)
        run.finish("finished", seconds=report["seconds"])
        return 0
    except SpecError:
        raise
    except (KeyboardInterrupt, Terminated) as error:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # let it be written down
        run.say("interrupted")
        run.finish("interrupted")
        on = "goes on" if any(run.state.glob("*.state")) else "begins it again"
        print(f"Interrupted; cnntrain resume {run.folder} {on}.", file=sys.stderr)
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else TERMINATED
    except Failure as error:
        run.say(f"failed: {error}")
        run.finish("failed", error=str(error).partition("\n")[0])
        print(f"Failed: {error}", file=sys.stderr)
        return 1
    except BaseException as error:
        run.say(traceback.format_exc())
        run.finish("failed", error=f"{type(error).__name__}: {error}")
        traceback.print_exc()
        print(f"\nFailed; the traceback is also in {run.log}", file=sys.stderr)
        return 1


def start(checked: Any, run: Any) -> dict[str, Any]:
    """Load TensorFlow, without its chatter, train and show the result."""
    import psutil

    from cnntrain.console import Console
    from cnntrain.quiet import quiet

    with quiet():
        from cnntrain.trainer import train as train_spec

    terminal = RichConsole()
    with Console(run, checked, terminal) as console:
        report = train_spec(checked, run, console)
    console.results(report)
    total = time.time() - psutil.Process().create_time()
    speed = report["images_per_second"]
    console.note(
        f"{total:.1f} s in all, {speed:,.0f} images/s in training; results in {run.folder}"
    )
    return report


def list_options(words: list[str]) -> int:
    """`cnntrain list [GROUP]`, `cnntrain list model OPTION [model.KNOB=VALUE ...]`."""
    from cnntrain import listing

    parser = Parser(prog="cnntrain list", add_help=False, allow_abbrev=False)
    parser.add_argument("group", nargs="?")
    parser.add_argument("option", nargs="?")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--config-dir", "-cd")
    parser.add_argument("-h", "--help", action="store_true")
    given = parser.parse_intermixed_args(words)
    if given.help:
        print("usage: cnntrain list [GROUP] [--json] [--config-dir FOLDER]")
        print("       cnntrain list model OPTION [model.KNOB=VALUE ...] [--json]")
        return 0
    listing.list_options(given.group, given.option, given.overrides, given.config_dir, given.json)
    return 0


def data(words: list[str]) -> int:
    """`cnntrain data list | prepare NAME | verify NAME | preview NAME`, with overrides."""
    from cnntrain.data import run

    parser = Parser(prog="cnntrain data", add_help=False, allow_abbrev=False)
    parser.add_argument("verb", nargs="?")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--output")
    parser.add_argument("--config-dir", "-cd")
    parser.add_argument("-h", "--help", action="store_true")
    given = parser.parse_intermixed_args(words)
    return run(given.verb, given.words, given)


def help_text(config_dir: str | None) -> str:
    lines = [
        "cnntrain trains convolutional networks; a run is a pure function of its spec.",
        "",
        "usage: cnntrain [key=value ...]        train",
        "       cnntrain -m key=a,b [...]       train once for each combination of values",
        "       cnntrain resume RUN [epochs=N]  go on exactly where a run stopped",
        "       cnntrain data list              what data there is, and whether it is here",
        "       cnntrain data prepare NAME      make it ready; data --help has verify and preview",
        "       cnntrain list [GROUP] [--json]  what each option is",
        "       cnntrain list model OPTION      the layers of a network, and what they cost",
        "",
        "Every run is one option of each group, and settings; cnntrain --cfg job shows them all.",
        "Knobs of an option are set with a dot: model.dropout=0.3 optimizer.learning_rate=0.1",
        "",
    ]
    for group, options in catalogue.catalogue(config_dir).items():
        lines += columns(group, options)
    lines += columns("settings", catalogue.settings())
    lines += [
        "",
        "flags:",
        "  -h, --help           this text",
        "  --version            the version",
        "  -m, --multirun       sweep: seed=1,2,3  initializer=glob(*)",
        "  -c, --cfg job        print the composed settings and stop",
        "  --config-dir FOLDER  a folder with options of your own: FOLDER/model/mine.yaml",
        "",
        EXAMPLES.rstrip(),
    ]
    return "\n".join(lines)


def columns(heading: str, words: Iterable[str]) -> list[str]:
    """A heading, and words that are wrapped beside it."""
    indent = " " * 14
    return textwrap.wrap(
        " ".join(words), 96, initial_indent=f"{heading:<14}", subsequent_indent=indent
    )


def say_mistake(error: SpecError) -> None:
    RichConsole(stderr=True).print(
        f"[red]Error:[/red] {escape(str(error))}", soft_wrap=True, highlight=False
    )


if __name__ == "__main__":
    main()
