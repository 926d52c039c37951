"""What `import cnntrain` offers: light, lazy, typed, with names that clash with no setting."""

import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import cnntrain
from cnntrain.spec.option_files import list_settings
from cnntrain.spec.signatures import GROUPS

HEAVY = ("tensorflow", "keras", "hydra", "numpy", "rich", "pandas", "yaml")
SECONDS = f"""
import sys, time
began = time.perf_counter()
import cnntrain
seconds = time.perf_counter() - began
assert not [name for name in {HEAVY} if name in sys.modules], sys.modules.keys()
assert "train" in dir(cnntrain)
print(seconds)
"""


def run_code(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_is_light():
    """Under 0.1 s; the best of three, because other tests run beside this one."""
    assert min(float(run_code(SECONDS)) for _ in range(3)) < 0.1


def test_loading_a_run_and_its_numbers_needs_no_tensorflow(left_behind):
    folders = [str(left_behind(name, f"seed={seed}")) for name, seed in (("a", 1), ("b", 2))]
    run_code(
        "import sys, cnntrain\n"
        f"run = cnntrain.load({folders[0]!r})\n"
        "run.history, run.report, run.spec, run.status, repr(run), run._repr_html_()\n"
        f"repr(cnntrain.compare(run, {folders[1]!r}))\n"
        "assert not {'tensorflow', 'keras'} & {*sys.modules}, 'heavy'\n"
    )


def test_every_name_is_there_and_others_are_not():
    for name in cnntrain.__all__:
        assert getattr(cnntrain, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'fit'"):
        _ = cnntrain.fit


@pytest.mark.parametrize("name", ["train", "sweep"])
def test_parameters_are_no_settings(name):
    named = inspect.signature(getattr(cnntrain, name)).parameters
    own = {key for key, parameter in named.items() if parameter.kind is parameter.KEYWORD_ONLY}
    assert own
    assert not own & {*list_settings(), *GROUPS, "experiment"}


def test_public_functions_have_types_and_docstrings():
    assert (Path(cnntrain.__file__).parent / "py.typed").is_file()
    for name in ("train", "load", "sweep", "compare", "load_photo", "Run", "Predictions"):
        offered = getattr(cnntrain, name)
        members = {name: offered, **(vars(offered) if inspect.isclass(offered) else {})}
        for key, member in members.items():
            if inspect.isfunction(member) and not key.startswith("_"):
                assert member.__doc__, key
                assert "return" in member.__annotations__, key


@pytest.mark.parametrize(
    "error",
    [
        cnntrain.SpecError("epoch is not a setting", ["epochs"], "epochs=3"),
        cnntrain.Interrupted("run was stopped", "run.resume()", Path("outputs/a")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_error_goes_through_another_process(error):
    """As `joblib` and `concurrent.futures` send it; one that cannot be read back hangs them."""
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_interrupt_is_a_keyboard_interrupt():
    assert issubclass(cnntrain.Interrupted, KeyboardInterrupt)
    assert not issubclass(cnntrain.Interrupted, Exception)


@pytest.mark.slow
def test_type_checker_sees_the_types(tmp_path):
    from mypy import api

    program = tmp_path / "program.py"
    program.write_text(
        "import cnntrain\n"
        "run = cnntrain.train('model=lenet5', dataset='digits')\n"
        "names: tuple[str, ...] = run.class_names\n"
        "folder: int = run.folder\n"
        "run.evaluate(split='all')\n"
        "cnntrain.trian()\n"
    )
    found, errors, _ = api.run([str(program), "--follow-imports=silent", "--no-incremental"])
    lines = [line.partition(": ")[0].rpartition(":")[2] for line in found.splitlines()[:-1]]
    assert (lines, errors) == (["4", "5", "6"], ""), found
