"""`cnntrain doctor`: check whether this machine can train, and say what to fix."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.text import Text

from cnntrain.cli.parser import make_parser
from cnntrain.spec.build import build_provisional_spec
from cnntrain.spec.compose import compose_config
from cnntrain.terminal.tables import make_console

USAGE = """\
usage: cnntrain doctor [data_dir=…] [manual_dir=…] [--json]
  versions, GPUs and why TensorFlow does not see one, memory, disk, the data sets that are here,
  and a training of a few seconds; exit code 1 where something is wrong"""


def main(words: Sequence[str]) -> int:
    """`cnntrain doctor [--json]`: print each finding, and return 1 if something is wrong."""
    parser = make_parser("doctor")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_intermixed_args(words)
    if arguments.help:
        print(USAGE)
        return 0
    spec = build_provisional_spec(compose_config(arguments.overrides, arguments.config_dir).config)

    from cnntrain.planning.doctor import run_checks

    console = make_console()
    findings = []
    for finding in run_checks(spec, arguments.config_dir):  # shown one by one: some take seconds
        findings.append(finding)
        if not arguments.json:
            mark = "ok" if finding.fix is None else "!!"
            lines = f"{mark}  {finding.what:<12}{finding.said}"
            if finding.fix:
                lines += f"\n{'':<16}fix: {finding.fix}"
            console.print(Text(lines), highlight=False, soft_wrap=True)
    wrong = [finding for finding in findings if finding.fix]
    if arguments.json:
        listed = {finding.what: asdict(finding) for finding in findings}
        print(json.dumps({"well": not wrong, "findings": listed}, indent=2))
    else:
        print(f"\n{len(wrong)} to fix." if wrong else "\nAll is well.")
    return 1 if wrong else 0
