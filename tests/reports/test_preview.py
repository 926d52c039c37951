"""A preview shows the same pixels and labels as training sees."""

import numpy as np
import pytest
from PIL import Image

from cnntrain.data import pipeline
from cnntrain.data.first_batch import find_first_batch, make_training_batch_of_spec


def write_photos(folder):
    """Write twelve images of each of two classes."""
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            pixels = random.integers(0, 256, (20, 30, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")


@pytest.mark.parametrize("resize", ["crop", "random_crop"])
def test_the_first_draw_is_what_the_first_step_trains_on(spec, tmp_path, resize):
    write_photos(tmp_path / "photos")
    run_spec = spec(
        "dataset=image_folder", "dataset.folder=photos", "dataset.image_size=[16,16]",
        f"dataset.resize={resize}", f"data_dir={tmp_path}", "augmentation=flip_crop",
        "batch_size=8",
    )  # fmt: skip
    splits = run_spec.load_splits()
    rows = find_first_batch(run_spec, splits.train)
    images, labels = make_training_batch_of_spec(run_spec, splits, 0, rows)
    batches = pipeline.TrainingBatches(
        splits.train, 2, 8, 2, run_spec.augmentation, run_spec.seed, on_device=False
    )
    first = batches.make_block(0, 1)
    assert np.array_equal(first["images"][0], images)
    assert np.array_equal(first["labels"][0], labels)
    assert not np.array_equal(images, make_training_batch_of_spec(run_spec, splits, 1, rows)[0])


def test_soft_labels_are_written_with_their_shares():
    from cnntrain.data.first_batch import format_soft_label

    shares = np.array([0.3, 0.0, 0.7], np.float32)
    assert format_soft_label(shares, ["cat", "cow", "dog"]) == ["dog 0.70", "cat 0.30"]
    assert format_soft_label(np.array([0.0, 1.0], np.float32), ["cat", "cow"]) == ["cow"]
    assert format_soft_label(np.int32(1), ["cat", "cow"]) == []
