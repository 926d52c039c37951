"""Draw the images of the first training batch, and beside each what augmentation makes of it."""

from PIL import Image

from cnntrain.data.first_batch import (
    find_first_batch,
    format_soft_label,
    is_augmented,
    make_training_batch_of_spec,
)
from cnntrain.data.source import Splits
from cnntrain.reports.contact_sheet import CaptionedImage, draw_contact_sheet
from cnntrain.spec.spec import Spec

EXAMPLES, DRAWS, ACROSS = 16, 4, 2  # images shown, draws beside each, images beside each other
PLAIN, PLAIN_ACROSS = 48, 8  # images shown and beside each other if there is no augmentation


def draw_preview(spec: Spec, splits: Splits, command: str) -> Image.Image:
    """Return a contact sheet of images of the first training step.

    The first draw beside an image is what that step trains on, pixel for pixel. The others are
    what the following steps would make of the same image. `command` is written on top.
    """
    rows = find_first_batch(spec, splits.train)
    raw = splits.train.gather_images(rows)
    labels = splits.train.labels[rows]
    shows_draws = is_augmented(spec, splits)
    count = min(EXAMPLES if shows_draws else PLAIN, len(rows))
    blocks = [
        [CaptionedImage(image, [splits.class_names[label]])]
        for image, label in zip(raw[:count], labels[:count], strict=True)
    ]
    for step in range(DRAWS if shows_draws else 0):
        images, targets = make_training_batch_of_spec(spec, splits, step, rows)
        for block, image, target in zip(blocks, images, targets, strict=False):
            block.append(CaptionedImage(image, format_soft_label(target, splits.class_names)))
    counts = f"{count} of the {len(rows)} images of the first training step"
    legend = (
        f"{counts}: each original, then {DRAWS} augmented versions. The step trains on the "
        "first of these."
        if shows_draws
        else f"{counts}, which are not augmented."
    )
    return draw_contact_sheet([command, legend], blocks, ACROSS if shows_draws else PLAIN_ACROSS)
