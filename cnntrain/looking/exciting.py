"""What excites one filter most: a place of the picture, and patches of training images."""

import numpy as np

from cnntrain.data.inventory import is_here
from cnntrain.errors import SpecError
from cnntrain.inference.examples import examples, some
from cnntrain.looking import layer_names
from cnntrain.looking.inside import Place, middle
from cnntrain.looking.patches import sees, strongest
from cnntrain.looking.sections import Row, Section, Tile, coloured
from cnntrain.looking.sight import Sight

PATCHES, SAMPLE, SEED = 9, 2000, 0  # the most training images that are looked through


def chosen_place(one: Sight) -> Place | None:
    """The layer whose filter is looked for in training images; None without a convolution."""
    wanted = one.wishes.layer
    if wanted is None:
        return middle(one.places, one.image.shape) if one.places else None
    place = next((p for p in one.places if p.name == wanted), None)
    if place is None:
        known = [p.name for p in one.places if p.is_main] or ["none: it has no convolution"]
        raise SpecError(f"--layer is {wanted}, which puts out no maps", f"a layer of {some(known)}")
    if one.wishes.channel is not None:
        layer_names.check_filter(wanted, one.wishes.channel, place.shape[-1])
    return place


def excitement(one: Sight, place: Place) -> Section:
    """Where a filter answers most: in the picture, and in training images."""
    values = one.maps[place.name]
    channel = one.wishes.channel
    if channel is None:
        channel = int(values.max(axis=(0, 1)).argmax())
    answer = values[..., channel]
    top, left, bottom, right = sees(place, int(answer.argmax()), one.image.shape)
    here = [
        Tile(coloured(answer), f"its map, up to {answer.max():.3g}"),
        Tile(one.image[top:bottom, left:right], "where it is highest"),
    ]
    size = "×".join(f"{side:.0f}" for side in place.field.size)
    text = (
        f"Filter {channel} of {place.name}. A position of its map sees {size} pixels of the "
        "picture; what is beyond the edge is left out. "
    )
    one.facts["filter"] = {"layer": place.name, "filter": channel, "field": place.field.size}
    found, more = of_training(one, place, channel)
    rows = [Row("this picture", here)] + ([Row("training images", found)] if found else [])
    return Section("patches", "What excites one filter most", text + more, rows, 6)


def of_training(one: Sight, place: Place, channel: int) -> tuple[list[Tile], str]:
    """The patches of training images that a filter answers most, and how they were found."""
    if not is_here(one.asked):
        return [], missing(one, f"not in data_dir={one.asked.data_dir}")
    try:
        train, _ = examples(one.classifier, one.asked, "train")
    except SpecError as error:
        return [], missing(one, error.given)
    rows, count = np.arange(len(train)), len(train)
    if count > SAMPLE:
        rows = np.sort(np.random.default_rng(SEED).choice(count, SAMPLE, replace=False))
    best = strongest(one.network, train[rows], place, channel, PATCHES, one.asked.batch_size)
    one.facts["filter"] |= {
        "training_images": len(rows),
        "of": count,
        "highest": [{"class": one.names[p.label], "value": p.value, "box": p.box} for p in best],
    }
    drawn = f"{len(rows):,} of the {count:,}, drawn with seed {SEED}"
    text = (
        f"Below, the {len(best)} training images in which it answers most, of "
        f"{drawn if len(rows) < count else f'all {count:,}'}: the patch at that position, its "
        "class and the answer."
    )
    return [Tile(p.pixels, f"{one.names[p.label]}, {p.value:.3g}") for p in best], text


def missing(one: Sight, why: str) -> str:
    """Say that the training images are not here."""
    text = f"The training patches are left out: the run's data is not here ({why})."
    one.left_out.append(text)
    return f"{text} cnntrain look … data_dir=FOLDER says where it lies."
