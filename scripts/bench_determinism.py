"""What determinism costs: our training with `deterministic=true` over the same with `=false`.

`make bench-determinism`: pairs of `cnntrain bench`, in turn. Each is a process of its own, because
TensorFlow cannot leave determinism again.
"""

import argparse
import json
import statistics
import subprocess
import sys

MODELS = ("lenet5", "cnn_cifar")
SETTINGS = ("true", "false")


def main() -> None:
    """Print a row for each model: both rates, and the ratio with its range."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=5)
    pairs = parser.parse_args().pairs
    print(f"{'model':<12}{'deterministic':>14}{'free':>14}{'ratio':>8}   (images/CPU s, medians)")
    for model in MODELS:
        rates: dict[str, list[float]] = {setting: [] for setting in SETTINGS}
        for number in range(pairs):
            for setting in sorted(SETTINGS, reverse=number % 2 == 1):
                rates[setting].append(measure_rate(model, setting))
        ratios = [on / off for on, off in zip(rates["true"], rates["false"], strict=True)]
        on, off, ratio = map(statistics.median, (rates["true"], rates["false"], ratios))
        span = f"{min(ratios):.3f} to {max(ratios):.3f}"
        print(f"{model:<12}{on:>14,.0f}{off:>14,.0f}{ratio:>8.3f}   {span}")


def measure_rate(model: str, deterministic: str) -> float:
    """Return the images per CPU second of our training, the median of three epochs."""
    words = ("--models", model, "--ways", "cnntrain", "--rounds", "3", "--json")
    line = [sys.executable, "-m", "cnntrain", "bench", *words, f"deterministic={deterministic}"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    (training,) = json.loads(done.stdout)["training"]
    return training["ways"]["cnntrain"]["images_per_cpu_second"]["median"]


if __name__ == "__main__":
    main()
