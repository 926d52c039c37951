"""Overrides follow Hydra's grammar, except that paths and names are read as they are typed."""

import pytest

from cnntrain.errors import SpecError
from cnntrain.running.resume import parse_change
from cnntrain.spec import overrides
from cnntrain.spec.build import build_spec
from cnntrain.spec.compose import compose_config
from cnntrain.spec.knobs import Record
from cnntrain.spec.overrides import (
    TEXT_SETTINGS,
    parse_override,
    parse_overrides,
    quote_literal,
    quote_texts,
)
from cnntrain.spec.signatures import (
    GROUPS,
    list_components,
    read_component_knobs,
    read_shared_knobs,
)
from cnntrain.spec.spec import SETTINGS
from cnntrain.sweeps.expand import expand_jobs, parse_axes

PATHS = [
    "~/photos", "/home/größe/bilder", "My Photos (2)", "2024", "007", "1e3", "1_000", "true", "-1",
    "nan", "photos=2024", "C:\\photos", "photos[1]", "[1]photos", "{a}", "a(b)", "it's", 'a"b',
    "$HOME/x", "日本", "a\nb", "a\tb", " a ", "~", "a#b;c&d!", "100%", "a@b", "a:b", "résumé.keras",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_path_is_taken_as_it_is(path):
    words = ["dataset=image_folder", f"dataset.folder={path}", f"data_dir={path}"]
    config = compose_config([*words, f"hydra.run.dir={path}"]).config
    assert (config["dataset"]["folder"], config["data_dir"]) == (path, path)
    assert build_spec(config).dataset["folder"] == path


@pytest.mark.parametrize("path", PATHS)
def test_path_of_a_job_and_of_a_resumed_run_is_the_same(path):
    assert parse_override(f"data_dir={path}").value() == path
    [job] = expand_jobs(parse_overrides([f"data_dir={path}", "seed=1"]))
    assert compose_config(job).config["data_dir"] == path
    assert quote_texts(job[0]) == job[0], "what is quoted stays as it is"


def test_several_paths_are_the_jobs_of_a_sweep():
    planned = expand_jobs(
        parse_overrides(["dataset=image_folder", "dataset.folder=2023,~/größe,My Photos (2)"])
    )
    folders = [compose_config(job).config["dataset"]["folder"] for job in planned]
    assert folders == ["2023", "~/größe", "My Photos (2)"]
    choice = expand_jobs(
        parse_overrides(["dataset=image_folder", "dataset.folder=choice(2023,größe)"])
    )
    assert [compose_config(job).config["dataset"]["folder"] for job in choice] == ["2023", "größe"]


def test_grammar_stays_where_it_says_more(monkeypatch):
    monkeypatch.setenv("PHOTOS", "/mine")
    assert compose_config(["data_dir=${oc.env:PHOTOS}/x"]).config["data_dir"] == "/mine/x"
    assert compose_config(["manual_dir=null"]).config["manual_dir"] is None
    assert compose_config(["data_dir='a,b'"]).config["data_dir"] == "a,b"
    assert compose_config(["data_dir=a\\,b"]).config["data_dir"] == "a,b"


@pytest.mark.parametrize("text", ["data_dir='a", "data_dir=a,", "data_dir=${oc.env:HOME}/größe"])
def test_ambiguous_override_is_refused(text):
    with pytest.raises(SpecError, match="cannot be read"):
        parse_override(text)


def test_run_that_exists_takes_one_value():
    assert parse_change("epochs=5") == ("epochs", 5)
    for text in ("epochs=5,6", "epochs=range(1,3)", "epochs@x=5"):
        with pytest.raises(SpecError, match=r"several values|a package"):
            parse_change(text)


def test_names_of_classes_are_names():
    classes = compose_config(["dataset.classes=[größe,my cat,true,1e3,007,8]"]).config["dataset"][
        "classes"
    ]
    assert classes == ["größe", "my cat", "true", "1e3", "007", 8]


def test_literal_text_is_no_interpolation():
    assert compose_config([f"data_dir={quote_literal('a${b}')}"]).config["data_dir"] == "a${b}"


def test_texts_are_every_knob_that_is_a_plain_text():
    plain = {key for key, kind in SETTINGS.items() if is_text(kind)}
    for group in GROUPS:
        knobs = [
            read_shared_knobs(group),
            *(read_component_knobs(group, name) for name in list_components(group)),
        ]
        for knob, kind in ((knob, kind) for own in knobs for knob, kind in own.items()):
            parts = kind.fields if isinstance(kind, Record) else {}
            plain |= {f"{group}.{knob}.{part}" for part in parts if is_text(parts[part])}
            plain |= {f"{group}.{knob}"} if is_text(kind) else set()
    assert plain | {"hydra.run.dir", "hydra.sweep.dir"} == TEXT_SETTINGS


def is_text(kind) -> bool:
    return kind in (str, str | None)


@pytest.mark.parametrize(
    "name", ["a'b", "a b", "a,b", "a=b", "a[1]", "größe", "a$b", "${x}", "%41"]
)
def test_folder_of_options_may_have_any_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / name / "model"
    folder.mkdir(parents=True)
    (folder / "tiny.yaml").write_text("name: lenet5\nfilters: [2, 3]\nhidden: [5, 4]\n")
    for given in (name, str(tmp_path / name)):
        assert compose_config(["model=tiny"], given).config["model"]["filters"] == [2, 3]
        assert ["model=tiny"] in expand_jobs(parse_overrides(["model=glob(t*)"]), given)


def test_folder_of_options_may_be_below_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "tiny.yaml").write_text(
        "name: lenet5\nfilters: [2, 3]\nhidden: [5, 4]\n"
    )
    assert compose_config(["model=tiny"], "~/mine").config["model"]["filters"] == [2, 3]


def test_folder_of_options_does_not_hide_ours(tmp_path):
    (tmp_path / "config.yaml").write_text("epochs: 7\n")
    assert compose_config([], str(tmp_path)).config["epochs"] == 20


def test_range_of_a_search_is_bounded_too():
    for text in ("seed=range(0,100000000)", "seed=range(0,9,0)"):
        with pytest.raises(SpecError):
            parse_axes(parse_overrides([text]))
    assert parse_axes(parse_overrides(["seed=range(0,9,2)"]))[0].high == 8


def test_text_holds_no_zero_character():
    config = compose_config([]).config
    with pytest.raises(SpecError, match="data_dir"):
        build_spec({**config, "data_dir": "a\0b"})


def test_each_override_is_parsed_once(monkeypatch):
    parse, parsed = overrides.parse_with_hydra, []
    monkeypatch.setattr(
        overrides, "parse_with_hydra", lambda text: parsed.append(text) or parse(text)
    )
    compose_config(["epochs=1", "model=vgg16", "optimizer.learning_rate=0.1"])
    assert parsed == ["epochs=1", "model=vgg16", "optimizer.learning_rate=0.1"]
