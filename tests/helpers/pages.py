"""The pages of the documentation as tests read them: blocks of code, and the commands in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIRST_PAGES = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")]
PAGES = [*FIRST_PAGES, *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
# A command of cnntrain, or a script of a page that hands its words to one.
COMMAND = re.compile(
    r"^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:cnntrain|\./spot\.sh|sbatch \S+ job\.sh) +(\S.*)$"
)
SHELL = ("|", "||", "&", "&&", ";", ">", ">>", "->")  # what ends the words of a command


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its title, which is the file that it is, and its text."""

    language: str
    title: str
    text: str


def name_page(page: Path) -> str:
    """A page as it is known here, and by pytest."""
    return page.relative_to(ROOT).as_posix()


def read_blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [Block(*parts) for parts in BLOCK.findall(page.read_text(encoding="utf-8"))]


def list_commands(page: Path) -> list[list[str]]:
    """The words of each command of cnntrain in the blocks and the inline code of a page."""
    blocks = [block.text for block in read_blocks(page) if block.language in ("", "bash")]
    inline = INLINE.findall(BLOCK.sub("", page.read_text(encoding="utf-8")))
    lines = [line for text in blocks for line in join_lines(text).splitlines()]
    return list(filter(None, map(read_command, [*lines, *inline])))


def join_lines(text: str) -> str:
    """The text with lines that end in a backslash joined with the next."""
    return text.replace("\\\n", " ")


def read_command(line: str) -> list[str]:
    """The words after `cnntrain` in a line that begins so, without placeholders; else none."""
    found = COMMAND.match(line.strip())
    return list(take_words(found[1])) if found and "<TAB>" not in line else []


def take_words(text: str) -> Iterator[str]:
    """Yield the words up to one that is the shell's."""
    for word in shlex.split(text, comments=True):
        if word in SHELL:
            return
        if word not in ("…", "..."):
            yield word
