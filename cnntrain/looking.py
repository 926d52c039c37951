"""What a network sees in one picture, section by section, and the facts of it."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import tensorflow as tf
from PIL import Image

from cnntrain import classical_filters, layer_names
from cnntrain.adversarial import behind_the_cast, gradient
from cnntrain.classifier import Classifier
from cnntrain.errors import SpecError
from cnntrain.evaluation import log_probabilities
from cnntrain.examples import examples, some
from cnntrain.grad_cam import grad_cam
from cnntrain.inside import (
    Place,
    first_convolution,
    last_maps,
    middle,
    passed,
    places,
    stages,
)
from cnntrain.inventory import is_here
from cnntrain.look import Wishes
from cnntrain.patches import seen, strongest
from cnntrain.sections import Row, Section, Tile, clipped, coloured, signed
from cnntrain.spec import Spec

TOP = 5  # classes
LEARNT = 16  # filters of the first convolution
LAYERS, CHANNELS = 8, 8  # with maps, and of each
PATCHES, SAMPLE, SEED = 9, 2000, 0  # the most training images that are looked through
CHANNEL_NAMES = {1: ("grey",), 3: ("red", "green", "blue")}
NO_MAPS = (
    "The network has no convolution: learnt filters, maps, training patches and Grad-CAM are left "
    "out."
)


class Look:
    """A network, a picture (H, W, C) uint8, and all that the one makes of the other."""

    def __init__(self, classifier: Classifier, asked: Spec, image: np.ndarray, wishes: Wishes):
        self.classifier, self.asked, self.image, self.wishes = classifier, asked, image, wishes
        self.names = classifier.class_names
        self.network = classifier.network()
        self.places = places(self.network)
        seen, logits = passed(self.network, tf.constant(image[np.newaxis], tf.float32))
        self.maps = {p.name: np.asarray(seen[p.name][0], np.float32) for p in self.places}
        self.probabilities = probabilities(logits.numpy())
        self.target = wishes.target
        if self.target is None:
            self.target = int(self.probabilities.argmax())
        self.left_out: list[str] = []
        self.facts: dict[str, Any] = {"classes": ranked(self.probabilities, self.names)}


def look(
    classifier: Classifier, asked: Spec, image: np.ndarray, wishes: Wishes
) -> tuple[dict[str, Any], list[Section]]:
    """Return the facts, and the sections of the page.

    Raises SpecError for a layer without maps and a filter that it has not.
    """
    one = Look(classifier, asked, image, wishes)
    chosen = chosen_place(one)
    sections = [the_picture(image), filters(one)]
    if chosen is None:
        one.left_out.append(NO_MAPS)
    else:
        sections += [maps(one), patches(one, chosen), where(one)]
    sections.append(attack(one))
    return one.facts | {"left_out": one.left_out}, sections


def probabilities(logits: np.ndarray) -> np.ndarray:
    """The probabilities (classes,) of one image."""
    return np.exp(log_probabilities(logits)[0])


def ranked(shares: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """The likeliest classes, each with its probability."""
    order = np.argsort(-shares, kind="stable")[:TOP]
    return [{"name": names[n], "probability": float(shares[n])} for n in order]


def chosen_place(one: Look) -> Place | None:
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


def the_picture(image: np.ndarray) -> Section:
    """The picture as the network gets it, and its channels."""
    height, width, channels = image.shape
    tiles = [Tile(image, "as the network gets it")]
    for number, name in enumerate(CHANNEL_NAMES[channels] if channels > 1 else ()):
        plane = image[..., number]
        tiles.append(Tile(plane[..., np.newaxis], f"{name}, mean {plane.mean():.0f} of 255"))
    text = f"{width}×{height} pixels, " + (
        "three channels, each shown as its brightness." if channels > 1 else "one channel, grey."
    )
    return Section("picture", "The picture", text, [Row("", tiles)])


def filters(one: Look) -> Section:
    """What classical filters, and the first that the network has learnt, make of the picture."""
    rows = [Row("classical", classical(one.image))]
    text = (
        "Each response with its kernel in the corner: grey is 0, white is positive. The classical "
        "ones see the brightness."
    )
    first = first_convolution(one.places)
    if first is not None:
        rows.append(Row(f"learnt, {first.name}", learnt(first, one.maps[first.name])))
        shown, count = min(LEARNT, first.shape[-1]), first.shape[-1]
        text += (
            f" The learnt ones are {shown} of the {count} of {first.name}, those first whose "
            "response varies most over the picture."
        )
    return Section("filters", "Filters, classical and learnt", text, rows, 8)


def classical(image: np.ndarray) -> list[Tile]:
    """The responses of the classical filters; those whose weights add up to 0 are signed."""
    tiles = []
    for name, response in classical_filters.responses(image).items():
        kernel = np.array(classical_filters.KERNELS[name], np.float32)
        made = signed(response) if kernel.sum() == 0 else clipped(response)
        tiles.append(Tile(made, name, kernel[..., np.newaxis]))
    return tiles


def learnt(first: Place, responses: np.ndarray) -> list[Tile]:
    """The kernels of the first convolution, and what it makes (h, w, filters) of the picture."""
    kernels = np.moveaxis(np.asarray(first.operation.kernel, np.float32), -1, 0)
    order = strength(responses)[:LEARNT]
    return [Tile(signed(responses[..., n]), f"filter {n}", kernels[n]) for n in order]


def strength(responses: np.ndarray) -> np.ndarray:
    """The channels of maps (h, w, channels), those that vary most over the picture first."""
    return np.argsort(-responses.std(axis=(0, 1)), kind="stable")


def maps(one: Look) -> Section:
    """The strongest channels of layers through the depth."""
    rows = []
    for place in stages(one.places, LAYERS):
        values = one.maps[place.name]
        height, width, channels = place.shape
        tiles = [Tile(coloured(values[..., n]), str(n)) for n in strength(values)[:CHANNELS]]
        rows.append(Row(f"{place.name}, {height}×{width}, {channels} channels", tiles))
    text = (
        f"From the picture to the classes: of each layer the {CHANNELS} channels that vary most "
        "over the picture, each from its lowest value, dark, to its highest."
    )
    return Section("maps", "Feature maps through the layers", text, rows, CHANNELS)


def patches(one: Look, place: Place) -> Section:
    """Where a filter answers most: in the picture, and in training images."""
    values = one.maps[place.name]
    channel = one.wishes.channel
    if channel is None:
        channel = int(values.max(axis=(0, 1)).argmax())
    answer = values[..., channel]
    top, left, bottom, right = seen(place, int(answer.argmax()), one.image.shape)
    here = [
        Tile(coloured(answer), f"its map, up to {answer.max():.3g}"),
        Tile(one.image[top:bottom, left:right], "where it is highest"),
    ]
    rows, size = [Row("this picture", here)], "×".join(f"{side:.0f}" for side in place.field.size)  # type: ignore[union-attr]
    facts = {"layer": place.name, "filter": channel, "field": place.field.size}  # type: ignore[union-attr]
    text = (
        f"Filter {channel} of {place.name}. A position of its map sees {size} pixels of the "
        "picture; what is beyond the edge is left out. "
    )
    found, more = of_training(one, place, channel)
    if found:
        rows.append(Row("training images", found))
    one.facts["filter"] = facts
    return Section("patches", "What excites one filter most", text + more, rows, 6)


def of_training(one: Look, place: Place, channel: int) -> tuple[list[Tile], str]:
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
    sample = f"{len(rows):,} of the {count:,}, drawn with seed {SEED}" if len(rows) < count else ""
    text = (
        f"Below, the {len(best)} training images in which it answers most, of "
        f"{sample or f'all {count:,}'}: the patch at that position, its class and the answer."
    )
    return [Tile(p.pixels, f"{one.names[p.label]}, {p.value:.3g}") for p in best], text


def missing(one: Look, why: str) -> str:
    """Say that the training images are not here."""
    text = f"The training patches are left out: the run's data is not here ({why})."
    one.left_out.append(text)
    return f"{text} cnntrain look … data_dir=FOLDER says where it lies."


def where(one: Look) -> Section:
    """Grad-CAM of the class that is looked for."""
    place, name = last_maps(one.places), one.names[one.target]  # type: ignore[index]
    found = grad_cam(one.network, one.image, place.name, one.target)  # type: ignore[arg-type]
    height, width = one.image.shape[:2]
    photo = Image.fromarray(found).resize((width, height), Image.Resampling.BILINEAR)
    heat = np.asarray(photo) / (found.max() or 1)
    one.facts["grad_cam"] = {"class": name, "layer": place.name, "maps": place.shape[:2]}
    text = (
        f"Grad-CAM for {name} over {place.name}, {place.shape[0]}×{place.shape[1]} positions: the "
        "maps, each weighted by how much it raises the score of the class."
        if found.any()
        else f"Nothing in the maps of {place.name} speaks for {name}: Grad-CAM is 0 everywhere."
    )
    tiles = [
        Tile(one.image, "the picture"),
        Tile(overlay(one.image, heat), f"what speaks for {name}"),
        Tile(heat_map(heat), "the heat map"),
    ]
    return Section("grad_cam", f"Where it looks for {name}", text, [Row("", tiles)], 3)


def heat_map(heat: np.ndarray) -> np.ndarray:
    """Shares (H, W) of the highest as colours (H, W, 3) uint8."""
    return np.round(255 * mpl.colormaps["inferno"](heat)[..., :3]).astype(np.uint8)


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The heat over a picture in grey, which shows through where it is cold."""
    picture = np.repeat(classical_filters.grey(image)[..., np.newaxis], 3, axis=-1)
    colours = heat_map(heat)
    share = 0.65 * heat[..., np.newaxis]
    return np.round((1 - share) * picture + share * colours).astype(np.uint8)


def attack(one: Look) -> Section:
    """The picture, a step against the prediction, and what the network takes the sum for."""
    said, epsilon = int(one.probabilities.argmax()), one.wishes.epsilon
    slope = gradient(behind_the_cast(one.network))
    images = one.image[np.newaxis].astype(np.float32)
    signs = np.sign(slope(images, np.array([said], np.int32)))[0]
    moved = np.clip(np.rint(one.image + epsilon * signs), 0, 255).astype(np.uint8)
    after = probabilities(one.network.predict_on_batch(moved[np.newaxis]))
    one.facts["adversarial"] = {"epsilon": epsilon, "classes": ranked(after, one.names)}
    step = (moved.astype(np.float32) - one.image) / max(1, np.rint(epsilon))
    tiles = [
        Tile(one.image, best_of(one.probabilities, one.names), exact=True),
        Tile(np.round(127.5 + 127.5 * step).astype(np.uint8), f"the step, {255 / 2 / epsilon:.0f}-fold", exact=True),
        Tile(moved, best_of(after, one.names), exact=True),
    ]
    text = (
        f"Every pixel moved by {epsilon:g} of 255 against the prediction (fast gradient sign "
        "method, Goodfellow et al. 2015). misread.png is the result, pixel for pixel."
    )
    return Section("adversarial", "How little makes it err", text, [Row("", tiles)], 3)


def best_of(shares: np.ndarray, names: Sequence[str]) -> str:
    return f"{names[int(shares.argmax())]}, {shares.max():.2%}"
