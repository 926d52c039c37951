"""An override means what its author meant: paths are as they are, all else Hydra's grammar."""

import pytest

from cnntrain.errors import SpecError
from cnntrain.running.resume import changed
from cnntrain.spec.build import spec
from cnntrain.spec.compose import compose
from cnntrain.spec.overrides import TEXTS, parse, quote_texts, quoted
from cnntrain.spec.signatures import GROUPS, knobs_of, names, shared_knobs
from cnntrain.spec.spec import SETTINGS
from cnntrain.sweeps.expand import axes, jobs

PATHS = [
    "~/photos", "/home/größe/bilder", "My Photos (2)", "2024", "007", "1e3", "1_000", "true", "-1",
    "nan", "photos=2024", "C:\\photos", "photos[1]", "[1]photos", "{a}", "a(b)", "it's", 'a"b',
    "$HOME/x", "日本", "a\nb", "a\tb", " a ", "~", "a#b;c&d!", "100%", "a@b", "a:b", "résumé.keras",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_path_is_taken_as_it_is(path):
    words = ["dataset=image_folder", f"dataset.folder={path}", f"data_dir={path}"]
    config = compose([*words, f"hydra.run.dir={path}"]).config
    assert (config["dataset"]["folder"], config["data_dir"]) == (path, path)
    assert spec(config).dataset["folder"] == path


@pytest.mark.parametrize("path", PATHS)
def test_path_of_a_job_and_of_a_resumed_run_is_the_same(path):
    assert parse(f"data_dir={path}").value() == path
    [job] = jobs([f"data_dir={path}", "seed=1"])
    assert compose(job).config["data_dir"] == path
    assert quote_texts(job[0]) == job[0], "what is quoted stays as it is"


def test_several_paths_are_the_jobs_of_a_sweep():
    planned = jobs(["dataset=image_folder", "dataset.folder=2023,~/größe,My Photos (2)"])
    folders = [compose(job).config["dataset"]["folder"] for job in planned]
    assert folders == ["2023", "~/größe", "My Photos (2)"]
    choice = jobs(["dataset=image_folder", "dataset.folder=choice(2023,größe)"])
    assert [compose(job).config["dataset"]["folder"] for job in choice] == ["2023", "größe"]


def test_grammar_stays_where_it_says_more(monkeypatch):
    monkeypatch.setenv("PHOTOS", "/mine")
    assert compose(["data_dir=${oc.env:PHOTOS}/x"]).config["data_dir"] == "/mine/x"
    assert compose(["manual_dir=null"]).config["manual_dir"] is None
    assert compose(["data_dir='a,b'"]).config["data_dir"] == "a,b"
    assert compose(["data_dir=a\\,b"]).config["data_dir"] == "a,b"


@pytest.mark.parametrize("text", ["data_dir='a", "data_dir=a,", "data_dir=${oc.env:HOME}/größe"])
def test_what_could_be_two_things_is_asked(text):
    with pytest.raises(SpecError, match="cannot be read"):
        parse(text)


def test_run_that_exists_takes_one_value():
    assert changed("epochs=5") == ("epochs", 5)
    for text in ("epochs=5,6", "epochs=range(1,3)", "epochs@x=5"):
        with pytest.raises(SpecError, match=r"several values|a package"):
            changed(text)


def test_names_of_classes_are_names():
    classes = compose(["dataset.classes=[größe,my cat,true,1e3,007,8]"]).config["dataset"][
        "classes"
    ]
    assert classes == ["größe", "my cat", "true", "1e3", "007", 8]


def test_literal_text_is_no_interpolation():
    assert compose([f"data_dir={quoted('a${b}')}"]).config["data_dir"] == "a${b}"


def test_texts_are_every_knob_that_is_a_plain_text():
    plain = {key for key, kind in SETTINGS.items() if is_text(kind)}
    for group in GROUPS:
        knobs = [shared_knobs(group), *(knobs_of(group, name) for name in names(group))]
        plain |= {f"{group}.{knob}" for own in knobs for knob, kind in own.items() if is_text(kind)}
    assert plain | {"hydra.run.dir", "hydra.sweep.dir"} == TEXTS


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
        assert compose(["model=tiny"], given).config["model"]["filters"] == [2, 3]
        assert ["model=tiny"] in jobs(["model=glob(t*)"], given)


def test_folder_of_options_may_be_below_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "tiny.yaml").write_text(
        "name: lenet5\nfilters: [2, 3]\nhidden: [5, 4]\n"
    )
    assert compose(["model=tiny"], "~/mine").config["model"]["filters"] == [2, 3]


def test_folder_of_options_does_not_hide_ours(tmp_path):
    (tmp_path / "config.yaml").write_text("epochs: 7\n")
    assert compose([], str(tmp_path)).config["epochs"] == 20


def test_range_of_a_search_is_bounded_too():
    for text in ("seed=range(0,100000000)", "seed=range(0,9,0)"):
        with pytest.raises(SpecError):
            axes([text])
    assert axes(["seed=range(0,9,2)"])[0].high == 8


def test_text_holds_no_zero_character():
    config = compose([]).config
    with pytest.raises(SpecError, match="data_dir"):
        spec({**config, "data_dir": "a\0b"})
