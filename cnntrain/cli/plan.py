"""`cnntrain plan`: what a run would be, what it would take, and what to think of before it."""

import json
from argparse import Namespace
from collections.abc import Sequence

from cnntrain.cli.parser import make_parser
from cnntrain.planning.batch_size import build_provisional_spec, resolve_batch_size
from cnntrain.running.run import check_machine
from cnntrain.spec.compose import compose_config
from cnntrain.terminal.stderr import silence_stderr

USAGE = """\
usage: cnntrain plan [key=value ...] [--measure] [--layers] [--json]
  what a run would be, without training: parameters, multiply-adds, steps, learning rate, memory
  and the largest batch for it, and warnings; data is not prepared
  --measure  also make a few real steps, and say how long an epoch takes
  --layers   also a row for each layer"""


def main(words: Sequence[str]) -> int:
    """`cnntrain plan [overrides] [--measure] [--layers] [--json]`."""
    parser = make_parser("plan")
    parser.add_argument("overrides", nargs="*")
    for flag in ("--measure", "--layers", "--json"):
        parser.add_argument(flag, action="store_true")
    given = parser.parse_intermixed_args(words)
    if given.help:
        print(USAGE)
        return 0
    show_plan(given)
    return 0


def show_plan(given: Namespace) -> None:
    """Compose, plan, measure if asked, and print."""
    composed = compose_config(given.overrides, given.config_dir)
    checked = build_provisional_spec(composed.config)
    check_machine(checked)
    config, checked, note = resolve_batch_size(composed.config, checked, given.config_dir)
    with silence_stderr():
        from cnntrain.planning import benchmark, plan_report
        from cnntrain.planning.plan import plan_run
        from cnntrain.training.trainer import configure_backend
    configure_backend(checked)
    plan = plan_run(checked, given.config_dir)
    measured = benchmark.measure_steps(plan, config) if given.measure else None
    if given.json:
        print(json.dumps(plan_report.build_plan_json(plan, measured), indent=2))
        return
    plan_report.print_plan(plan, measured, note, given.layers)
