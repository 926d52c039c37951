"""The first training batch as pictures: as it is, and beside each image what augmentation draws."""

from PIL import Image

from cnntrain.data.first_batch import drawn, first_batch, mixture
from cnntrain.data.source import Splits
from cnntrain.reports.contact_sheet import Tile, contact_sheet
from cnntrain.spec.spec import Spec

EXAMPLES, DRAWS, ACROSS = 16, 4, 2  # augmented images, draws beside each, examples side by side
PLAIN, PLAIN_ACROSS = 48, 8  # the same where nothing is drawn


def preview(asked: Spec, splits: Splits, command: str) -> Image.Image:
    """Return a contact sheet of images of the first training step.

    The first draw beside an image is what that step trains on, pixel for pixel; the next ones are
    what the steps after it would make of the same images.
    """
    chosen = first_batch(asked, splits.train)
    raw = splits.train.gather(chosen)
    labels = splits.train.labels[chosen]
    varied = asked.augmentation.name != "none" or hasattr(splits.train.store, "crops")
    count = min(EXAMPLES if varied else PLAIN, len(chosen))
    blocks = [
        [Tile(image, [splits.class_names[label]])]
        for image, label in zip(raw[:count], labels[:count], strict=True)
    ]
    for step in range(DRAWS if varied else 0):
        images, targets = drawn(asked, splits, step, chosen)
        for block, image, target in zip(blocks, images, targets, strict=False):
            block.append(Tile(image, mixture(target, splits.class_names)))
    shown = f"{count} of the {len(chosen)} images of the first training step"
    legend = (
        f"{shown}: as they are, then {DRAWS} draws of the augmentation, the first that of the step."
        if varied
        else f"{shown}, which are not augmented."
    )
    return contact_sheet([command, legend], blocks, ACROSS if varied else PLAIN_ACROSS)
