"""`cnntrain plan`: print what a run would be, what it would cost, and warnings, untrained."""

import json
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.text import Text

from cnntrain.cli.parser import make_parser
from cnntrain.errors import SpecError
from cnntrain.planning.auto_settings import resolve_auto_settings
from cnntrain.running.run import check_machine
from cnntrain.spec.build import build_provisional_spec
from cnntrain.spec.compose import compose_config
from cnntrain.spec.spec import Spec
from cnntrain.terminal.stderr import silence_stderr
from cnntrain.terminal.tables import make_console

USAGE = """\
usage: cnntrain plan [key=value ...] [--measure] [--layers] [--find-rate] [--json]
  what a run would be, without training: parameters, multiply-adds, steps, learning rate, memory
  and the largest batch for it, and warnings; data is not prepared
  --measure  also make a few real steps: the time of an image forward, forward and backward, and of
             an epoch
  --layers   also a row for each layer
  --find-rate
             instead: a short trial on the data, at learning rates from 1e-06 to 10; a curve, and a
             suggestion for optimizer.learning_rate; no run is written"""


def main(words: Sequence[str]) -> int:
    """`cnntrain plan [overrides] [--measure] [--layers] [--find-rate] [--json]`; return 0."""
    parser = make_parser("plan")
    parser.add_argument("overrides", nargs="*")
    for flag in ("--measure", "--layers", "--find-rate", "--json"):
        parser.add_argument(flag, action="store_true")
    arguments = parser.parse_intermixed_args(words)
    if arguments.help:
        print(USAGE)
        return 0
    for other in ("measure", "layers"):
        if arguments.find_rate and getattr(arguments, other):
            raise SpecError(f"--find-rate and --{other} are both given", "one of them")
    show_plan(arguments)
    return 0


def show_plan(arguments: Namespace) -> None:
    """Compose the spec, plan its run, measure steps for `--measure`, and print the plan."""
    composed = compose_config(arguments.overrides, arguments.config_dir)
    spec = build_provisional_spec(composed.config)
    check_machine(spec)
    config, spec, notes = resolve_auto_settings(composed.config, spec, arguments.config_dir)
    with silence_stderr():
        from cnntrain.planning import benchmark, input_rate, plan_report
        from cnntrain.planning.plan import plan_run
        from cnntrain.training.devices.setup import configure_backend
    configure_backend(spec)
    if arguments.find_rate:
        show_rate_curve(spec, config, notes, arguments.json)
        return
    plan = plan_run(spec, arguments.config_dir)
    measured = benchmark.measure_steps(plan, config) if arguments.measure else None
    photos = input_rate.measure_input(plan) if arguments.measure else None
    if arguments.json:
        facts = plan_report.build_plan_json(plan, measured)
        facts["input"] = asdict(photos) if photos else None
        print(json.dumps(facts, indent=2))
        return
    plan_report.print_plan(plan, measured, photos, notes, arguments.layers)


def show_rate_curve(
    spec: Spec, config: dict[str, Any], notes: Sequence[str], as_json: bool
) -> None:
    """Make a trial of learning rates, and print its curve and what it suggests."""
    with silence_stderr():
        from cnntrain.planning import rate_finder
    curve = rate_finder.find_rate_curve(spec, config)
    suggestion = rate_finder.suggest_rate(curve)
    planned = spec.optimizer["learning_rate"]
    if as_json:
        facts = rate_finder.build_rate_json(curve, suggestion, planned)
        print(json.dumps(facts, indent=2))
        return
    lines = [*notes, *rate_finder.format_rate_lines(curve, suggestion, planned)]
    if "head_epochs" in spec.finetune.knobs:
        lines.append(
            "of the first phase; for the second, try finetune=none init_from=RUN on a run of it"
        )
    make_console().print(Text("\n".join(lines)), soft_wrap=True, highlight=False)
