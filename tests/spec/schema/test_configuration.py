"""The JSON schema admits what the command line admits, and refuses what it refuses."""

import json

import pytest
from jsonschema import Draft202012Validator
from omegaconf import OmegaConf

from cnntrain.cli.list import main as list_verb
from cnntrain.errors import SpecError
from cnntrain.spec.build import MAY_BE_AUTO, build_spec
from cnntrain.spec.compose import compose_config
from cnntrain.spec.knobs import NestedComponent, Record, convert_value
from cnntrain.spec.option_files import CHOICES, find_option_files, load_option
from cnntrain.spec.schema.configuration import build_config_schema, build_option_schema
from cnntrain.spec.signatures import GROUPS, read_component_knobs, read_shared_knobs
from cnntrain.spec.spec import SETTINGS

SCHEMA = build_config_schema()
CONFIGURATION = Draft202012Validator(SCHEMA)
OPTIONS = [(group, option) for group in GROUPS for option in find_option_files(group)]
FILES = [(group, option) for group in CHOICES for option in find_option_files(group)]
# Of each kind of value some that are near to what settings admit. Left out is what JSON cannot
# tell: 2.0 is a whole number there. The command line also refuses what float32 rounds to 0 or inf.
PROBES = [
    True, False, None, -1, 0, 1, 2, 3, 30, 31, 255, 256, 1024, 1025, 2000, 2001, 2**31 - 999, 2**31,
    -0.5, 0.5, 1.5, "", "auto", "none", "wrong", "5%", "5 %", "400 steps", "4 weeks", "5%%",
    [], {}, [1, 2], [0.5, 0.5], [-1, 1], [1, 2, 3], ["cat"], [None], [[24, "50%"]], [[24]],
    {"wrong": 1}, {"cat": ["a", 1]},
]  # fmt: skip


def refer(name):
    """A validator of one definition of the schema."""
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]})


def load_yaml(file):
    """A file as an editor reads it, with YAML 1.2: `1e-4` is a number."""
    return OmegaConf.to_container(OmegaConf.load(file))


def converts(value, annotation):
    try:
        convert_value(value, annotation, "setting")
    except SpecError:
        return False
    return True


def list_leaves(fields, prefix=()):
    """The settings of a record, also those within records of it: path -> annotation."""
    leaves = {}
    for key, annotation in fields.items():
        if isinstance(annotation, Record):
            leaves |= list_leaves(annotation.fields, (*prefix, key))
        else:
            leaves[(*prefix, key)] = annotation
    return leaves


def nest(path, value):
    for key in reversed(path):
        value = {key: value}
    return value


def holds_component(annotation):
    """Whether a knob is a component, or has some: see the tests of those below."""
    args = getattr(annotation, "__args__", ())
    return isinstance(annotation, NestedComponent) or any(map(holds_component, args))


def compare_verdicts(validator, fields, admits=converts):
    """The values on which the schema and the command line disagree; each field refuses some."""
    disagreements = []
    for path, annotation in list_leaves(fields).items():
        if holds_component(annotation):
            continue
        verdicts = [admits(value, annotation) for value in PROBES]
        assert not all(verdicts), path
        disagreements += [
            (".".join(path), value, admitted)
            for value, admitted in zip(PROBES, verdicts, strict=True)
            if validator.is_valid(nest(path, value)) != admitted
        ]
    return disagreements


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=["=".join(o) for o in OPTIONS])
def test_a_value_of_a_knob_is_refused_as_by_the_command_line(group, option):
    name = load_option(find_option_files(group)[option])["name"]
    fields = {**read_shared_knobs(group), **read_component_knobs(group, name)}
    validator = refer(f"{group}={option}")
    assert compare_verdicts(validator, fields) == []
    assert set(SCHEMA["$defs"][f"{group}={option}"]["properties"]) >= set(fields)
    assert not validator.is_valid({"no_such_knob": 1})


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_value_of_a_setting_is_refused_as_by_the_command_line(setting):
    def admits(value, annotation):
        return (value == "auto" and setting in MAY_BE_AUTO) or converts(value, annotation)

    assert compare_verdicts(CONFIGURATION, {setting: SETTINGS[setting]}, admits) == []


@pytest.mark.parametrize("group", GROUPS)
def test_a_component_of_a_spec_is_refused_as_by_the_command_line(group):
    """In spec.yaml a component has its name and all its knobs."""
    whole = compose_config([]).config[group]
    validator = refer(f"{group}.component")
    assert validator.is_valid(whole)
    for knob in whole:
        assert not validator.is_valid({key: v for key, v in whole.items() if key != knob}), knob
        assert not validator.is_valid(whole | {knob: {"wrong": 1}}), knob
    assert not validator.is_valid(whole | {"name": "wrong"})
    assert not validator.is_valid(whole | {"no_such_knob": 1})


@pytest.mark.parametrize(("group", "option"), FILES, ids=["=".join(f) for f in FILES])
def test_the_file_of_every_option_is_admitted(group, option):
    validator = option_validator(group)
    assert list(validator.iter_errors(load_yaml(find_option_files(group)[option]))) == []


VALIDATORS = {}


def option_validator(group):
    """The validator of the files of a group's options, made once."""
    if group not in VALIDATORS:
        schema = SCHEMA if group == "experiment" else build_option_schema(group)
        Draft202012Validator.check_schema(schema)
        VALIDATORS[group] = Draft202012Validator(schema)
    return VALIDATORS[group]


@pytest.mark.parametrize("group", GROUPS)
def test_a_wrong_file_of_an_option_is_refused(group):
    validator, file = option_validator(group), next(iter(find_option_files(group).values()))
    option = load_yaml(file)
    assert not validator.is_valid({k: v for k, v in option.items() if k != "name"})
    assert not validator.is_valid(option | {"name": "no_such_component"})
    assert not validator.is_valid(option | {"no_such_knob": 1})
    assert not validator.is_valid(option | {"about": {"year": "long ago"}})
    own = set(read_component_knobs(group, option["name"])) - set(read_shared_knobs(group))
    for knob in own:
        assert not validator.is_valid({key: v for key, v in option.items() if key != knob})
        assert validator.is_valid({"defaults": ["other"], "name": option["name"]})


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("model=vgg16", "dataset=cifar10", "optimizer=sgd", "schedule=step"),
        ("augmentation=compose", "finetune=two_phase", "finetune.schedule=cosine"),
        ("dataset=image_folder", "dataset.folder=photos", "distribution=mirrored"),
        ("image_sizes=[[16,50%]]", "dataset.classes=[1,2]", "loss.class_weights=balanced"),
        ("experiment=resnet20_v1_cifar10_paper", "tracking=wandb"),
    ],
)
def test_the_spec_of_a_run_is_admitted(words, left_behind):
    folder = left_behind("run", *words)
    spec = load_yaml(folder / "spec.yaml")
    build_spec(spec)
    assert list(CONFIGURATION.iter_errors(spec)) == []
    for key in ("epochs", "loss"):
        assert not CONFIGURATION.is_valid({k: v for k, v in spec.items() if k != key})
    assert not CONFIGURATION.is_valid(spec | {"loss": {"label_smoothing": 0}})


RECIPES = {
    "{}": True,
    "epochs: 5": True,
    "epochs: 0": False,
    "epoch: 5": False,
    "defaults: [{override /model: vgg16}]\nmodel: {hidden: 64}": True,
    "defaults: [{override /model: vgg16}]\nmodel: {alpha: 64}": False,
    "defaults: [{override /model: vgg17}]": False,
    "defaults: [{overide /model: vgg16}]": False,
    "model: {filters: [4, 8]}": True,  # of the default, LeNet-5
    "model: {hidden: 64}": False,
    "defaults: [lenet5_digits]\noptimizer: {l2: 0.1}": True,
    "optimizer: {l2: -0.1}": False,
    "optimizer: {l2: null}": False,
    "schedule: {plateau: {patience: 5}}": True,
    "schedule: {plateau: {patience: 0}}": False,
    "schedule: {plateau: {patient: 5}}": False,
    "loss: {label_smoothing: 1}": False,
    "finetune: none": False,
    "defaults: [{override /augmentation: compose}]\n"
    "augmentation: {ops: [{name: cutout, size: 8}, {name: flip_crop}]}": True,
    "defaults: [{override /augmentation: compose}]\n"
    "augmentation: {ops: [{name: cutout, sizes: 8}]}": False,
    "defaults: [{override /augmentation: compose}]\naugmentation: {ops: [{size: 8}]}": False,
    "defaults: [{override /augmentation: compose}]\naugmentation: {ops: [cutout]}": False,
    "defaults: [{override /finetune: two_phase}]\nfinetune: {schedule: cosine}": True,
    "defaults: [{override /finetune: two_phase}]\nfinetune: {schedule: cosin}": False,
    "defaults: [{override /finetune: two_phase}]\n"
    "finetune: {schedule: {name: step, factor: 0.5}}": True,
    "defaults: [{override /finetune: two_phase}]\n"
    "finetune: {schedule: {name: step, factor: 5}}": False,
    "expect: {source: me, settings: ours, metric: test_best}": True,
    "expect: {source: me, settings: mine, metric: test_best}": False,
    "expect: {settings: ours, metric: test_best}": False,
    "model: {init_from: null}": True,  # as it was called before
    "sweep: {jobs: 2}": False,
    "hydra: {run: {dir: here}}": False,
}


@pytest.mark.parametrize("text", RECIPES)
def test_a_recipe_is_refused_as_by_the_command_line(text, tmp_path):
    file = tmp_path / "experiment" / "mine.yaml"
    file.parent.mkdir()
    file.write_text(f"# @package _global_\n# Mine.\n{text}\n")
    try:
        build_spec(compose_config(["experiment=mine"], str(tmp_path)).config)
        admitted = True
    except SpecError:
        admitted = False
    assert admitted == RECIPES[text]
    assert CONFIGURATION.is_valid(load_yaml(file) or {}) == admitted


def test_every_setting_has_a_default_and_a_description():
    for key in SETTINGS:
        schema = SCHEMA["properties"][key]
        fields = schema.get("properties", {"": schema})
        assert all("default" in field for field in fields.values()), key
    assert "an EMA of the weights" in SCHEMA["properties"]["ema_decay"]["description"]
    vgg16 = SCHEMA["$defs"]["model=vgg16"]["properties"]["hidden"]
    assert vgg16 == {
        "type": "integer", "minimum": 1, "maximum": 2**31 - 1,
        "default": 512, "description": "4096 in the paper, for 224x224 images",
    }  # fmt: skip
    assert SCHEMA["$defs"]["optimizer=adam"]["properties"]["learning_rate"]["default"] == 1e-3
    assert SCHEMA["$defs"]["dataset=cifar10"]["properties"]["valid"]["default"] == 5000


def test_options_of_the_users_own_are_admitted(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("name: mlp\nhidden: [8]\n")
    recipe = {"defaults": [{"override /model": "mine"}]}
    assert not CONFIGURATION.is_valid(recipe)
    own = Draft202012Validator(build_config_schema(str(tmp_path)))
    assert own.is_valid(recipe)
    assert own.is_valid(recipe | {"model": {"hidden": [8]}})
    assert not own.is_valid(recipe | {"model": {"filters": [8]}})


def test_the_command_prints_schemas(answer):
    assert json.loads(answer("list", "--schema").stdout) == SCHEMA
    printed = json.loads(answer("list", "tracking", "--schema").stdout)
    assert printed == build_option_schema("tracking")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["modle"], "cnntrain list model --schema"),
        (["applications"], "applications is not a group"),
        (["model", "vgg16"], "cnntrain list model --schema"),
        (["--json"], "one of them"),
    ],
)
def test_a_wrong_wish_for_a_schema_is_answered(words, expected):
    with pytest.raises(SpecError, match=expected):
        list_verb([*words, "--schema"])
