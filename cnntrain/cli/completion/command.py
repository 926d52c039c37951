"""`cnntrain completion`: print the script of a shell, or the words that may stand at its cursor."""

from collections.abc import Sequence
from pathlib import Path

from cnntrain.cli.completion.candidates import complete_line
from cnntrain.cli.parser import make_parser
from cnntrain.errors import SpecError

SHELLS = ("bash", "zsh", "fish")
USAGE = """\
usage: cnntrain completion bash >> ~/.bashrc
       cnntrain completion zsh >> ~/.zshrc
       cnntrain completion fish > ~/.config/fish/completions/cnntrain.fish

  The script that makes the Tab key complete verbs, flags, options, settings and their values in a
  shell. New shells have it. It asks cnntrain itself, and stays true when options are added.

  --answer LINE   what the script asks: a word a line, with what it means, that may stand at the end
                  of LINE; the exit code is 1 if there is none and a path may stand there"""


def main(words: Sequence[str]) -> int:
    """`cnntrain completion SHELL | --answer LINE`: return 0, or 1 where a path may stand."""
    parser = make_parser("completion")
    parser.add_argument("shell", nargs="?", choices=SHELLS)
    parser.add_argument("--answer")
    arguments = parser.parse_intermixed_args(words)
    if arguments.help:
        print(USAGE)
        return 0
    if arguments.answer is not None:
        return answer_shell(arguments.answer)
    if arguments.shell is None:
        raise SpecError("no shell is named", SHELLS, "cnntrain completion bash")
    script = Path(__file__).with_name(f"cnntrain.{arguments.shell}")
    print(script.read_text(encoding="utf-8"), end="")
    return 0


def answer_shell(line: str) -> int:
    """Print the words that may stand at the end of a line; return 1 where a path may stand."""
    candidates = complete_line(line)
    for word, meaning in candidates.words.items():
        print(f"{word}\t{meaning}" if meaning else word)
    return 1 if candidates.else_path and not candidates.words else 0
