"""The first training batch as pictures: as it is, and beside each image what augmentation draws."""

from PIL import Image

from cnntrain.data.first_batch import augment_preview, find_first_batch, format_soft_label
from cnntrain.data.source import Splits
from cnntrain.reports.contact_sheet import CaptionedImage, draw_contact_sheet
from cnntrain.spec.spec import Spec

EXAMPLES, DRAWS, ACROSS = 16, 4, 2  # augmented images, draws beside each, examples side by side
PLAIN, PLAIN_ACROSS = 48, 8  # the same where nothing is drawn


def draw_preview(asked: Spec, splits: Splits, command: str) -> Image.Image:
    """Return a contact sheet of images of the first training step.

    The first draw beside an image is what that step trains on, pixel for pixel; the next ones are
    what the steps after it would make of the same images.
    """
    chosen = find_first_batch(asked, splits.train)
    raw = splits.train.gather_images(chosen)
    labels = splits.train.labels[chosen]
    varied = asked.augmentation.name != "none" or hasattr(splits.train.store, "draw_crops")
    count = min(EXAMPLES if varied else PLAIN, len(chosen))
    blocks = [
        [CaptionedImage(image, [splits.class_names[label]])]
        for image, label in zip(raw[:count], labels[:count], strict=True)
    ]
    for step in range(DRAWS if varied else 0):
        images, targets = augment_preview(asked, splits, step, chosen)
        for block, image, target in zip(blocks, images, targets, strict=False):
            block.append(CaptionedImage(image, format_soft_label(target, splits.class_names)))
    shown = f"{count} of the {len(chosen)} images of the first training step"
    legend = (
        f"{shown}: as they are, then {DRAWS} draws of the augmentation, the first that of the step."
        if varied
        else f"{shown}, which are not augmented."
    )
    return draw_contact_sheet([command, legend], blocks, ACROSS if varied else PLAIN_ACROSS)
