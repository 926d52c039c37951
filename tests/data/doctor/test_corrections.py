"""The tables of the doctor: what to do with each file, edited, and the labels that are left."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from cnntrain.data.doctor.corrections import (
    FileNames,
    Finding,
    choose_copies,
    list_findings,
    list_training_words,
    read_findings_table,
    write_findings,
    write_labels,
)
from cnntrain.data.doctor.examination import (
    Examination,
    NearDuplicate,
    OddImage,
    list_label_conflicts,
)
from cnntrain.data.doctor.suspects import LabelCheck, Suspect
from cnntrain.data.photos.lazy_images import LazyImages
from cnntrain.data.photos.photo import Frame, Photos
from cnntrain.data.photos.readers import FileReader
from cnntrain.data.source import Examples, Splits
from cnntrain.data.verify import Verification, locate_occurrence
from cnntrain.errors import SpecError
from cnntrain.spec.build import build_provisional_spec
from cnntrain.spec.compose import compose_config

NAMES = [f"cat/{n}.jpg" for n in range(6)] + ["dog/=sum.jpg", "dog/7.jpg", "dog/8.jpg"]
CLASSES = ("cat", "dog")


@pytest.fixture
def splits(tmp_path):
    photos = Photos(NAMES, FileReader(str(tmp_path / "photos"), NAMES))
    store = LazyImages(photos, Frame((16, 16), 3, "stretch", None))
    labels = np.array([0] * 6 + [1] * 3, np.int32)
    rows = {"train": np.array([0, 1, 2, 3, 6]), "valid": np.array([4, 7]), "test": np.array([5, 8])}
    parts = {split: Examples(store, labels[own], own) for split, own in rows.items()}
    origin = dict.fromkeys(rows, "official")
    skipped = [("dog/x.jpg", "it is empty")]
    return Splits(**parts, class_names=CLASSES, origin=origin, skipped=skipped, names=NAMES)


@pytest.fixture
def findings(splits, tmp_path):
    def place(split, index):
        return locate_occurrence(splits, split, index)

    doubles = [[place("train", 0), place("test", 0)]]
    verification = Verification({}, {}, splits.origin, list(splits.skipped), doubles)
    near = [
        NearDuplicate(place("train", 1), place("valid", 0), 0.98, True),
        NearDuplicate(place("train", 1), place("train", 2), 0.93, False),
    ]
    blurred = [OddImage(place("train", 3), 3.5)]
    examination = Examination(near, [OddImage(place("valid", 1), 0.0)], blurred, [], {}, [])
    suspects = [
        Suspect(place("train", 4), "cat", 0.01, 0.98, True),
        Suspect(place("train", 3), "dog", 0.2, 0.7, False),
        Suspect(place("train", 0), "dog", 0.3, 0.6, False),
    ]
    check = LabelCheck(suspects, 9, 5, (1.0, 2.0), [])
    return list_findings(FileNames(splits, tmp_path / "out"), verification, examination, check)


def read_rows(file):
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_each_file_has_one_finding_with_what_to_do_and_all_reasons(findings):
    rows = {finding.file: finding for finding in findings}
    actions = {file: (finding.action, finding.suggested) for file, finding in rows.items()}
    assert actions == {
        "../photos/dog/x.jpg": ("drop", ""),
        "../photos/cat/0.jpg": ("drop", "dog"),  # the copy in test is kept
        "../photos/cat/1.jpg": ("drop", ""),  # so is the one in valid
        "../photos/cat/2.jpg": ("drop", ""),
        "../photos/dog/7.jpg": ("drop", ""),
        "../photos/dog/=sum.jpg": ("relabel", "cat"),
        "../photos/cat/3.jpg": ("relabel", "dog"),
    }
    assert rows["../photos/cat/0.jpg"].reason == (
        "the same as test ../photos/cat/5.jpg; label probably wrong: 0.300 against 0.600"
    )
    assert rows["../photos/cat/1.jpg"].reason == (
        "nearly the mirror image of valid ../photos/cat/4.jpg"
    )
    assert rows["../photos/dog/=sum.jpg"].reason.endswith("0.980, although trained on it")
    assert rows["../photos/cat/3.jpg"].reason.startswith("blurred (3.5); label probably wrong")
    assert findings[-1].action == "relabel"


def test_labels_are_what_is_left_once_all_is_done(splits, findings, tmp_path):
    (tmp_path / "out").mkdir()
    file = tmp_path / "out" / "labels.csv"
    counts = write_labels(FileNames(splits, file.parent), findings, file)
    assert counts == {"kept": 5, "dropped": 4, "relabelled": 2}
    assert file.read_text() == (
        "file,label,split\n"
        "../photos/cat/3.jpg,dog,train\n"
        "../photos/dog/=sum.jpg,cat,train\n"
        "../photos/cat/4.jpg,cat,valid\n"
        "../photos/cat/5.jpg,cat,test\n"
        "../photos/dog/8.jpg,dog,test\n"
    )


def test_a_table_that_was_edited_is_taken_back(splits, findings, tmp_path):
    file = tmp_path / "out" / "findings.csv"
    file.parent.mkdir()
    write_findings(findings, file)
    assert read_findings_table(file, splits) == findings
    text = file.read_text().replace("jpg,cat,train,drop,dog", "jpg,cat,train, Relabel ,dog")
    text = text.replace("jpg,cat,train,drop", "jpg,cat,train,")
    file.write_text(f"\ufeff{text}", encoding="utf-8")  # as Excel does
    labels = tmp_path / "out" / "labels.csv"
    names = FileNames(splits, file.parent)
    counts = write_labels(names, read_findings_table(file, splits), labels)
    assert counts == {"kept": 8, "dropped": 1, "relabelled": 3}
    assert read_rows(labels)[0] == {"file": "../photos/cat/0.jpg", "label": "dog", "split": "train"}


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_table_is_taken_back_with_the_delimiter_of_any_spreadsheet(
    splits, findings, tmp_path, delimiter
):
    file = tmp_path / "findings.csv"
    write_findings(findings, file)
    rows = list(csv.reader(file.read_text().splitlines()))
    with file.open("w", encoding="utf-8-sig", newline="") as lines:
        csv.writer(lines, delimiter=delimiter).writerows(rows)
    assert read_findings_table(file, splits) == findings


def test_a_blurred_or_tiny_copy_is_not_the_one_that_is_kept(splits):
    places = [locate_occurrence(splits, "train", n) for n in range(4)]
    near = [NearDuplicate(places[n], places[n + 1], 0.98, False) for n in range(3)]
    blurred, tiny = [OddImage(places[0], 3.5)], [OddImage(places[1], 20.0)]
    examination = Examination(near, [], blurred, tiny, {}, [])
    verification = Verification({}, {}, splits.origin, [], [])
    chosen = list(choose_copies(verification, examination))
    assert [(place.index, kept.index) for place, kept, _ in chosen] == [(0, 2), (1, 2), (3, 2)]


def test_a_picture_with_two_labels_is_asked_about_not_decided(splits, tmp_path):
    """Two cats in train are the same as a dog in test: a doubled cat goes, no label is chosen."""
    cat, double, dog = (
        locate_occurrence(splits, *place) for place in (("train", 0), ("train", 1), ("test", 1))
    )
    verification = Verification({}, {}, splits.origin, [], [[cat, dog]])
    near = NearDuplicate(dog, double, 0.98, False)
    examination = Examination([near], [], [], [], {}, [])
    check = LabelCheck([Suspect(dog, "cat", 0.1, 0.9, False)], 9, 0, (1.0, None), [])
    names = FileNames(splits, tmp_path)
    findings = list_findings(names, verification, examination, check)
    assert [(finding.file, finding.action, finding.reason) for finding in findings] == [
        ("photos/cat/1.jpg", "drop", "nearly the same as train photos/cat/0.jpg"),
        ("photos/cat/0.jpg", "", "the same as test photos/dog/8.jpg under dog: which is right?"),
        ("photos/dog/8.jpg", "", "the same as train photos/cat/0.jpg under cat: which is right?; "
         "label probably wrong: 0.100 against 0.900"),
    ]  # fmt: skip
    assert list_label_conflicts(verification, examination) == [
        NearDuplicate(cat, dog, 1.0, False),
        near,
    ]
    write_labels(names, findings, tmp_path / "labels.csv")
    labels = {row["file"]: row["label"] for row in read_rows(tmp_path / "labels.csv")}
    assert (labels["photos/cat/0.jpg"], labels["photos/dog/8.jpg"]) == ("cat", "dog")


def test_a_label_that_stays_is_not_counted_as_another_one(splits, tmp_path):
    finding = Finding("photos/cat/3.jpg", "cat", "train", "relabel", "cat", "")
    counts = write_labels(FileNames(splits, tmp_path), [finding], tmp_path / "labels.csv")
    assert counts["relabelled"] == 0


def test_no_cell_is_a_formula(splits, tmp_path):
    findings = FileNames(splits, tmp_path / "photos" / "dog")
    assert findings.name_example("train", 4) == "./=sum.jpg"


@pytest.mark.parametrize(
    ("row", "given", "hint"),
    [
        ("a.jpg,cat,train,dorp,,", "row 2: the action is dorp", "drop"),
        ("a.jpg,cat,train,relabel,dgo,", "row 2: dgo is suggested, which is no class", "dog"),
        ("a.jpg,cat,train,relabel,,", "nothing is suggested", None),
    ],
)
def test_a_row_that_nobody_can_do_is_answered(splits, tmp_path, row, given, hint):
    file = tmp_path / "findings.csv"
    file.write_text(f"file,label,split,action,suggested,reason\n{row}\n")
    with pytest.raises(SpecError) as answer:
        read_findings_table(file, splits)
    assert given in answer.value.given
    assert answer.value.hint == hint


def test_a_table_without_a_column_is_answered(splits, tmp_path):
    file = tmp_path / "findings.csv"
    file.write_text("file,label\na.jpg,cat\n")
    with pytest.raises(SpecError, match="has no column split"):
        read_findings_table(file, splits)


def test_a_file_that_is_not_in_the_data_set_is_answered(splits, findings, tmp_path):
    with pytest.raises(SpecError, match=r"cat/0\.jpg is none of the files"):
        write_labels(FileNames(splits, tmp_path / "a" / "b"), findings, tmp_path / "labels.csv")
    assert not (tmp_path / "labels.csv").exists()


def test_a_table_with_a_file_twice_is_answered(splits, findings, tmp_path):
    file = tmp_path / "findings.csv"
    write_findings(findings, file)
    with file.open("a") as table:
        table.write("../photos/cat/3.jpg,cat,train,drop,,\n")
    with pytest.raises(SpecError, match=r"cat/3\.jpg twice, in rows \d, 9"):
        read_findings_table(file, splits)


def test_nothing_found_is_a_table_without_rows(splits, tmp_path):
    write_findings([], tmp_path / "findings.csv")
    assert read_findings_table(tmp_path / "findings.csv", splits) == []


def write_and_read_back(splits, folder, findings=()):
    """Write labels.csv of photos that are there, and read it as a source, as its command says."""
    for name in splits.names:
        file = folder / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (folder / "out").mkdir()
    labels = folder / "out" / "labels.csv"
    write_labels(FileNames(splits, labels.parent), findings, labels)
    config = compose_config(list_training_words(splits, labels)).config
    return build_provisional_spec(config).dataset.bound_function(folder, None)


def test_labels_and_weights_come_back_as_they_were(splits, tmp_path):
    """Also labels that a spreadsheet would take for a formula."""
    weights = np.random.default_rng(0).uniform(0.1, 9, 9).astype(np.float32)
    parts = {split: replace(part, weights=weights[part.rows]) for split, part in splits.items()}
    odd = replace(splits, **parts, class_names=("=cat", "-dog"))
    source = write_and_read_back(odd, tmp_path)
    assert source.class_names == ("-dog", "=cat")
    order = np.concatenate([part.rows for part in parts.values()])
    assert np.array_equal(source.weights, weights[order])
    assert source.labels.tolist() == [int(row < 6) for row in order]


@pytest.mark.parametrize("names", [("cat", "dog"), ("a, b's", "=größe [2]")])
def test_several_labels_come_back_where_no_image_has_two(splits, tmp_path, names):
    """A column of single labels would be read as one label an image."""
    hot = np.array([[1, 0]] * 4 + [[0, 0], [0, 1]] + [[0, 1]] * 3, np.uint8)
    parts = {split: replace(part, labels=hot[part.rows]) for split, part in splits.items()}
    several = replace(splits, **parts, class_names=names)
    file = tmp_path / "findings.csv"
    files = FileNames(several, tmp_path / "out")
    write_findings(
        [
            Finding(files.name_example("train", 0), "", "train", "relabel", names[1], ""),
            Finding(files.name_example("train", 1), "", "train", "relabel", "none", ""),
        ],
        file,
    )
    source = write_and_read_back(several, tmp_path, read_findings_table(file, several))
    order = np.concatenate([part.rows for part in parts.values()])
    assert source.class_names == names
    assert source.labels.tolist() == [[0, 1], [0, 0], *hot[order][2:].tolist()]


def test_a_table_in_a_linked_folder_names_files_that_are_there(splits, tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er")
    name = FileNames(splits, tmp_path / "link").name_example("test", 0)
    assert (tmp_path / "link" / name).parent.parent.resolve() == (tmp_path / "photos").resolve()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"names": ["b\udce9.jpg", *NAMES[1:]]}, "b\\udce9.jpg is not in UTF-8"),
        ({"class_names": ("cat|dog", "dog")}, "class cat|dog has a |"),
    ],
)
def test_images_that_no_table_can_list_have_findings_and_no_labels(splits, tmp_path, change, why):
    files = change.get("names", NAMES)
    photos = Photos(files, FileReader(str(tmp_path), files))
    train = replace(splits.train, store=LazyImages(photos, splits.train.store.frame))
    names = FileNames(replace(splits, **change, train=train), tmp_path)
    assert why in names.obstacle
    write_findings([Finding(names.name_example("train", 0), "", "", "drop", "", "")],
                   tmp_path / "findings.csv")  # fmt: skip
    with pytest.raises(SpecError) as refused:
        write_labels(names, [], tmp_path / "labels.csv")
    assert refused.value.given == names.obstacle


def test_images_in_no_files_have_findings_and_no_labels(tmp_path):
    images = np.zeros((3, 8, 8, 1), np.uint8)
    parts = {s: Examples(images, np.zeros(1, np.int32), np.array([n]))
             for n, s in enumerate(("train", "valid", "test"))}  # fmt: skip
    splits = Splits(**parts, class_names=("one",), origin=dict.fromkeys(parts, "official"))
    names = FileNames(splits, tmp_path)
    assert "in no files of their own" in names.obstacle
    assert names.name_example("test", 0) == "image 0"
    with pytest.raises(SpecError, match="in no files of their own"):
        write_labels(names, [], tmp_path / "labels.csv")
