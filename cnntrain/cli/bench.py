"""`cnntrain bench`: measure our training and inference beside other ways, in turn."""

import json
import sys
from collections.abc import Sequence

from cnntrain.benchmarks.request import CASES, WAYS, check_figure_file, check_request
from cnntrain.cli.parser import make_parser
from cnntrain.errors import Failure
from cnntrain.files.documents import replace_nonfinite
from cnntrain.terminal.stderr import silence_stderr
from cnntrain.terminal.tables import make_console

USAGE = f"""\
usage: cnntrain bench [key=value ...] [--models NAMES] [--ways NAMES] [--rounds N]
  Images per second of our training and inference beside other ways, which take turns in one
  process, on random pixels; best alone on the machine, for half an hour on a CPU. Settings such as
  batch_size=512, precision=mixed_bfloat16, threads=1 hold for all ways as far as they have them.
  docs/performance.md says what the ways are, and how to read the tables.

  --models NAMES   of {", ".join(CASES)}
                   (default: all; on a CPU without resnet18)
  --ways NAMES     of {", ".join(WAYS[:5])}; {", ".join(WAYS[5:8])};
                   {WAYS[8]} (default: all that is installed)
  --rounds N       rounds that count (default 5)
  --images N       images of a round (default: as many as take some seconds)
  --json           everything, for scripts
  --figure FILE    a picture, .png or .svg"""


def main(words: Sequence[str]) -> int:
    """`cnntrain bench [overrides] [flags]`: print tables or JSON; return the exit code 0."""
    parser = make_parser("bench")
    parser.add_argument("overrides", nargs="*")
    for flag in ("--models", "--ways", "--images", "--figure"):
        parser.add_argument(flag)
    parser.add_argument("--rounds", default="5")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_intermixed_args(words)
    if arguments.help:
        print(USAGE)
        return 0
    request = check_request(arguments)
    figure = None if arguments.figure is None else check_figure_file(arguments.figure, request.ways)
    with silence_stderr():
        from cnntrain.benchmarks.benchmark import run_benchmark
        from cnntrain.benchmarks.figure import write_figure
        from cnntrain.benchmarks.report import print_results
    try:
        results = run_benchmark(request)
    except Failure as error:
        print(f"Failed: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(replace_nonfinite(results.to_json()), indent=2))
    else:
        print_results(results, make_console())
    if figure is not None:
        write_figure(results, figure)
    return 0
