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


def test_photos_are_drawn_as_training_draws_them(spec, tmp_path):
    from cnntrain.inference.image_arguments import gather_photos
    from cnntrain.reports.preview import load_photos

    write_photos(tmp_path / "photos")
    run_spec = spec(
        "dataset=image_folder", "dataset.folder=photos", "dataset.image_size=[16,16]",
        f"data_dir={tmp_path}", "augmentation=mixup",
    )  # fmt: skip
    splits = load_photos(run_spec, gather_photos([str(tmp_path / "photos" / "cat")]))
    assert splits.class_names == tuple(f"{number:02}.png" for number in range(12))
    images, targets = make_training_batch_of_spec(run_spec, splits, 0, np.arange(12))
    assert (images.shape, targets.shape) == ((12, 16, 16, 3), (12, 12))


def test_images_that_are_mirrored_in_turn_are_shown_both_ways(spec):
    run_spec = spec("augmentation=alternating_flip_crop", "augmentation.pad=0", "dataset.limit=40")
    splits, rows = run_spec.load_splits(), np.arange(20)
    first, second, third = (
        make_training_batch_of_spec(run_spec, splits, step, rows)[0] for step in range(3)
    )
    assert np.array_equal(second, first[:, :, ::-1])
    assert np.array_equal(third, first)


@pytest.mark.parametrize("channels", [1, 3])
def test_pixel_values_are_written_into_their_pixels(channels):
    from cnntrain.reports.pixel_values import CELL_WIDTH, draw_pixel_values

    image = np.full((2, 3, channels), 255, np.uint8)
    image[1, 2] = 7
    sheet = np.asarray(draw_pixel_values(image, ["a"]))
    cells = sheet[-16 - 2 * max(2, channels) * 14 : -16, 16:-16]
    tall = len(cells) // 2
    black = cells[tall:, 2 * CELL_WIDTH :]
    assert (black[0] == 7).all()  # the colour of the pixel
    assert 100 < black.max() <= 255  # the number on it
    assert (cells[0] == 255).all()
