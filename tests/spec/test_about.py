"""The `about` records of options: checked like knobs, read by programs, and part of no spec."""

import pytest

from cnntrain.errors import SpecError
from cnntrain.spec import option_files
from cnntrain.spec.about import (
    KINDS,
    About,
    DatasetAbout,
    ModelAbout,
    read_option,
    read_paper_network,
)
from cnntrain.spec.compose import compose_config
from cnntrain.spec.signatures import GROUPS

MADE = "image_shape: [28, 20, 1], num_classes: 2"


@pytest.fixture
def option(tmp_path):
    """Write an option of a user's own: option("year: 2026") -> its file."""

    def write(about, group="model"):
        file = tmp_path / group / "homemade.yaml"
        file.parent.mkdir(exist_ok=True)
        knobs = "name: lenet5\nfilters: [2, 3]\nhidden: [5, 4]\n"
        file.write_text(f"# Mine (Me 2026): small.\nabout: {about}\n{knobs}")
        return file

    return write


@pytest.mark.parametrize("group", GROUPS)
def test_about_records_of_our_options_are_right_and_cited_in_first_lines(group):
    for file in option_files.find_option_files(group).values():
        _, about = read_option(file, KINDS.get(group, About))
        summary = option_files.read_summary(file)
        assert about.citation is None or about.remove_citation(summary) != summary, file
        assert about.citation is None or str(about.year) in about.citation, file


def test_paper_network_of_a_model_is_read(option):
    made = read_paper_network(option(f"{{{MADE}, overrides: [model.a=1, 'model.b=[2,3]']}}"))
    assert (made.image_shape, made.num_classes) == ((28, 20, 1), 2)
    assert made.overrides == ("model.a=1", "model.b=[2,3]")
    assert str(made) == "28x20x1, 2 classes: model.a=1 model.b=[2,3]"
    assert read_paper_network(option(f"{{{MADE}}}")).overrides == ()


def test_about_record_may_be_left_out(option):
    for nothing in ("null", "{}"):
        knobs, about = read_option(option(nothing), ModelAbout)
        assert about == ModelAbout()
        assert set(knobs) == {"name", "filters", "hidden"}
    with pytest.raises(SpecError, match=r"homemade\.yaml does not say which network"):
        read_paper_network(option("{year: 2026}"))


WRONG = [
    ("model", "3", "about is 3"),
    ("model", "{yaer: 2026}", r"about\.yaer is not a setting"),
    ("model", "{year: '2026'}", r"about\.year is '2026'"),
    ("model", "{year: 20260}", r"about\.year is 20260"),
    ("model", "{image_shape: [224, 224]}", r"about\.image_shape is \[224, 224\]"),
    ("model", "{image_shape: [0, 0, 3]}", r"about\.image_shape"),
    ("model", "{num_classes: ten}", r"about\.num_classes is ten"),
    ("model", "{overrides: [hidden=4096]}", r"about\.overrides"),
    ("model", "{overrides: [model.hidden]}", r"about\.overrides"),
    ("model", "{top_1: 71.3}", r"about\.top_1 is 71\.3"),
    ("model", "{depth: 0}", r"about\.depth is 0"),
    ("model", "{bytes: 3}", r"about\.bytes is not a setting"),
    ("dataset", "{bytes: -1}", r"about\.bytes is -1"),
    ("dataset", "{images: {trian: 5}}", r"about\.images"),
    ("dataset", "{images: {test: 5}}", r"about\.images has no train"),
    ("dataset", "{archives: a.zip}", r"about\.archives is a\.zip"),
]


@pytest.mark.parametrize(("group", "about", "given"), WRONG)
def test_mistake_is_answered_with_the_file_and_the_key(option, tmp_path, group, about, given):
    file = option(about, group)
    with pytest.raises(SpecError, match=rf"homemade\.yaml: {given}"):
        read_option(file, KINDS[group])
    with pytest.raises(SpecError, match=rf"homemade\.yaml: {given}"):
        compose_config([f"{group}=homemade"], str(tmp_path))


def test_more_than_two_gib_may_be_downloaded(option):
    assert read_option(option("{bytes: 4996278331}", "dataset"), DatasetAbout)[1].bytes > 2**32


def test_no_configuration_has_an_about_record(option, tmp_path):
    option(f"{{year: 2026, {MADE}}}")
    config = compose_config(["model=homemade"], str(tmp_path)).config
    assert list(config["model"]) == ["name", *(k for k in config["model"] if k != "name")]
    assert all("about" not in config[group] for group in GROUPS)


@pytest.mark.parametrize("word", ["model.about.year=3", "+model.about.x=3", "~dataset.about"])
def test_no_override_sets_an_about_record(word):
    with pytest.raises(SpecError, match=r"about.* is not a setting"):
        compose_config([word])


def test_no_error_message_suggests_about():
    with pytest.raises(SpecError) as refused:
        compose_config(["model.aboot=1"])
    assert "about" not in str(refused.value)
