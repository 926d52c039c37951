"""`cnntrain plan`: what a run would be, what it would take, and what to think of before it."""

import json
from argparse import Namespace
from collections.abc import Sequence

from cnntrain.cli.parser import arguments
from cnntrain.planning.batch_size import provisional, settled
from cnntrain.running.run import check_here
from cnntrain.spec.compose import compose
from cnntrain.terminal.stderr import quiet

USAGE = """\
usage: cnntrain plan [key=value ...] [--measure] [--layers] [--json]
  what a run would be, without training: parameters, multiply-adds, steps, learning rate, memory
  and the largest batch for it, and warnings; data is not prepared
  --measure  also make a few real steps, and say how long an epoch takes
  --layers   also a row for each layer"""


def main(words: Sequence[str]) -> int:
    """`cnntrain plan [overrides] [--measure] [--layers] [--json]`."""
    parser = arguments("plan")
    parser.add_argument("overrides", nargs="*")
    for flag in ("--measure", "--layers", "--json"):
        parser.add_argument(flag, action="store_true")
    given = parser.parse_intermixed_args(words)
    if given.help:
        print(USAGE)
        return 0
    show(given)
    return 0


def show(given: Namespace) -> None:
    """Compose, plan, measure if asked, and print."""
    composed = compose(given.overrides, given.config_dir)
    check_here(provisional(composed.config))
    config, checked, note = settled(composed.config, given.config_dir)
    with quiet():
        from cnntrain.planning import benchmark, plan_report
        from cnntrain.planning.plan import planned
        from cnntrain.training.trainer import set_up
    set_up(checked)
    plan = planned(checked, given.config_dir)
    measured = benchmark.measured(plan, config) if given.measure else None
    if given.json:
        print(json.dumps(plan_report.as_json(plan, measured), indent=2))
        return
    plan_report.say(plan, measured, note, given.layers)
