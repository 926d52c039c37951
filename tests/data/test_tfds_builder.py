"""TFDS prepares data from a server or a folder, also when killed or started twice."""

import io
import tarfile
import tempfile
import time
from pathlib import Path

import pytest
import tensorflow_datasets as library

from cnntrain.data.datasets.tfds import Slices, tfds
from cnntrain.errors import SpecError
from helpers.tiny import photo


class CnntrainPets(library.core.GeneratorBasedBuilder):
    """A TFDS builder that asks for two archives at once, and then for a third."""

    VERSION = library.core.Version("1.0.0")
    url_infos = None  # set by the tests
    site = ""

    def _info(self):
        kinds = {
            "image": library.features.Image(shape=(None, None, 3)),
            "label": library.features.ClassLabel(names=["cat", "dog"]),
        }
        return library.core.DatasetInfo(
            builder=self,
            features=library.features.FeaturesDict(kinds),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        first = dl_manager.download_and_extract(
            {"photos": f"{self.site}/pets.tgz", "labels": f"{self.site}/labels.txt"}
        )
        second = dl_manager.download(library.download.Resource(url=f"{self.site}/more.txt"))
        return {"train": self._generate_examples(first, second)}

    def _generate_examples(self, first, second):
        assert second.read_text() == "more"
        for line in Path(first["labels"]).read_text().split():
            name, label = line.split(",")
            yield name, {"image": Path(first["photos"]) / name, "label": int(label)}


@pytest.fixture
def pets(site, monkeypatch):
    """Publish the builder's archives and return their site."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for number in range(40):
            content = photo(number)
            member = tarfile.TarInfo(f"{number}.jpg")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    labels = "\n".join(f"{number}.jpg,{number % 2}" for number in range(40))
    site.files |= {
        "pets.tgz": packed.getvalue(),
        "labels.txt": labels.encode(),
        "more.txt": b"more",
    }
    register(site, monkeypatch)
    return site


def register(site, monkeypatch, **wrong):
    from tensorflow_datasets.core.download.checksums import UrlInfo

    infos = {}
    for name in site.files:
        archive = site.archive(name)
        checksum = wrong.get(name.partition(".")[0], archive.digest)
        infos[archive.url] = UrlInfo(
            size=library.core.units.Size(archive.size), checksum=checksum, filename=name
        )
    monkeypatch.setattr(CnntrainPets, "url_infos", infos)
    monkeypatch.setattr(CnntrainPets, "site", site.url)


def prepare(data_dir, manual_dir=None):
    slices = Slices(train=None, valid=None, test=None)
    knobs = {"tfds": "cnntrain_pets", "image_key": None, "label_key": None, "slices": slices}
    return tfds(data_dir, manual_dir, **knobs)


def contents(source):
    return {source.images.read(row) for row in range(len(source.labels))}


def test_archives_are_fetched_resumed_and_prepared(pets, tmp_path):
    pets.breaks = 10_000
    assert contents(prepare(tmp_path)) == {photo(number) for number in range(40)}
    asked = [path for path, wanted in pets.asked if wanted is None]
    assert sorted(asked) == ["/labels.txt", "/more.txt", "/pets.tgz"]
    left = {path.name for path in (tmp_path / "downloads" / "cnntrain_pets").iterdir()}
    assert left - {".lock"} == {"labels.txt", "more.txt", "pets.tgz"}
    pets.asked.clear()
    prepare(tmp_path)
    assert not pets.asked


def test_archives_in_manual_dir_are_used_and_the_others_fetched(pets, tmp_path):
    given = tmp_path / "given"
    given.mkdir()
    (given / "pets.tgz").write_bytes(pets.files.pop("pets.tgz"))
    (given / "pets.tgz").chmod(0o444)
    given.chmod(0o555)
    assert len(contents(prepare(tmp_path, given))) == 40
    assert sorted(path for path, _ in pets.asked) == ["/labels.txt", "/more.txt"]
    assert [path.name for path in given.iterdir()] == ["pets.tgz"]
    work = tmp_path / "downloads" / "cnntrain_pets"
    assert not [path for path in work.iterdir() if path.is_symlink()]


def test_wrong_archive_in_manual_dir_is_named(pets, tmp_path):
    (tmp_path / "pets.tgz").write_bytes(b"another")
    with pytest.raises(SpecError, match=f"{tmp_path}/pets.tgz is not the file"):
        prepare(tmp_path, tmp_path)
    assert not (tmp_path / "cnntrain_pets" / "1.0.0").exists()


def test_wrong_download_is_refused(pets, tmp_path, monkeypatch):
    register(pets, monkeypatch, labels="0" * 64)
    with pytest.raises(SpecError, match=r"labels.txt sends another file"):
        prepare(tmp_path)
    assert not list((tmp_path / "cnntrain_pets").iterdir())
    register(pets, monkeypatch)
    assert len(contents(prepare(tmp_path))) == 40


def test_missing_archives_are_all_named_without_a_network(pets, tmp_path, no_network):
    with pytest.raises(SpecError) as caught:
        prepare(tmp_path)
    said = str(caught.value)
    assert "pets.tgz (" in said
    assert "labels.txt (" in said
    assert pets.url in said
    assert "manual_dir=THAT_FOLDER" in said


def test_url_without_a_checksum_is_left_to_tfds(pets, tmp_path, monkeypatch):
    infos = dict(CnntrainPets.url_infos)
    del infos[f"{pets.url}/more.txt"]
    monkeypatch.setattr(CnntrainPets, "url_infos", infos)
    assert len(contents(prepare(tmp_path))) == 40


def test_url_without_a_checksum_is_named_without_a_network(tmp_path, monkeypatch, no_network):
    monkeypatch.setattr(CnntrainPets, "url_infos", {})
    monkeypatch.setattr(CnntrainPets, "site", "http://127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(SpecError, match="there is no network") as caught:
        prepare(tmp_path)
    assert str(tmp_path / "cnntrain_pets" / "1.0.0") in caught.value.expected
    assert time.monotonic() - began < 10


def test_leftovers_of_killed_preparations_are_removed_and_never_used(pets, tmp_path):
    home, work = tmp_path / "cnntrain_pets", tmp_path / "downloads" / "cnntrain_pets"
    for folder in (home / "incomplete.ABC_1.0.0", work / "extracted" / "TAR_GZ.pets.tgz"):
        folder.mkdir(parents=True)
        (folder / "dataset_info.json").write_text("half")
    assert len(contents(prepare(tmp_path))) == 40
    assert [path.name for path in home.iterdir()] == ["1.0.0"]
    assert not (work / "extracted").exists()


def test_data_set_with_manual_steps_explains_them(pets, tmp_path, monkeypatch):
    monkeypatch.setattr(CnntrainPets, "MANUAL_DOWNLOAD_INSTRUCTIONS", "Ask\n  the cats.")
    with pytest.raises(SpecError) as caught:
        prepare(tmp_path)
    assert caught.value.expected == "in one folder: Ask the cats."
    monkeypatch.setattr(CnntrainPets, "_split_generators", asks_for_a_file)
    with pytest.raises(SpecError, match=r"by hand, and there is no cats.tar"):
        prepare(tmp_path, tmp_path)


def asks_for_a_file(self, manager):
    raise AssertionError("there is no cats.tar")


def test_read_only_data_dir_is_reported(pets, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpecError, match="cannot be prepared in"):
        prepare(tmp_path / "file")


def test_no_temporary_folder_stays(tmp_path, monkeypatch):
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    from cnntrain.data.fetch.tfds_builder import find_builder

    assert find_builder("mnist", tmp_path).name == "mnist"
    assert list((tmp_path / "scratch").iterdir()) == []
    assert tempfile.tempdir == str(tmp_path / "scratch")
