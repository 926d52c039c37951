"""Write data.html: what is wrong with a data set, with the pictures that show it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnntrain.data.doctor.examination import (
    Examination,
    NearDuplicate,
    OddImage,
    find_odd_images,
    list_label_conflicts,
)
from cnntrain.data.doctor.looks import read_example
from cnntrain.data.doctor.suspects import LabelCheck, Suspect
from cnntrain.data.source import Splits
from cnntrain.data.verify import Occurrence, Verification
from cnntrain.reports import webpage
from cnntrain.reports.run_page import MAX_PIXELATED_SIDE, encode_data_uri

PICTURE_SIDE = 200  # pixels of the longer side of a picture on the page
MOST_PAIRS, MOST_TILES, MOST_SUSPECTS = 60, 48, 120  # findings.csv and --json have all
ODD_TEXTS = {
    "of one colour": "A network can learn nothing from them. The number is the standard deviation "
    "of the colour that varies most, of 255.",
    "blurred": "The number is the variance of the Laplacian, which is low where nothing has an "
    "edge: also a clear sky. Look before you drop.",
    "tiny": "The number is the shorter side in pixels, as stored.",
}


def write_data_page(
    file: Path,
    name: str,
    splits: Splits,
    verification: Verification,
    examination: Examination,
    check: LabelCheck | None,
    guide: Mapping[str, str],
) -> None:
    """Write the page of a verified data set.

    `guide` has the `command` that writes the page again, and in words what was written beside it:
    `files`, and what to do `next`.
    """
    album, by_split = Album(splits), verification.classes
    total = sum(len(part) for _, part in splits.items())
    shown = (
        [describe_suspect(album, suspect) for suspect in check.suspects[:MOST_SUSPECTS]]
        if check
        else []
    )
    context = {
        "title": f"The images of {name}",
        "eyebrow": "; ".join(f"{split}: {origin}" for split, origin in splits.origin.items()),
        "lead": format_lead(verification, examination, check),
        "notes": [*splits.notes, *examination.notes, *(check.notes if check else ())],
        "numbers": list_numbers(total, verification, examination, check),
        "suspects": {
            "tiles": shown,
            "text": format_suspects_text(check, len(shown)) if check else "",
        },
        "pairs": build_pair_sections(album, verification, examination),
        "odd": [
            build_odd_section(album, word, odd_images)
            for word, odd_images in find_odd_images(examination)
            if odd_images
        ],
        "broken": verification.broken,
        "splits": list(by_split),
        "classes": [
            {
                "name": label,
                "counts": [f"{c.get(label, 0):,}" for c in verification.classes.values()],
            }
            for label in verification.classes["train"]
        ],
        **guide,
    }
    webpage.write_page(file, "data.html.j2", context)


class Album:
    """Pictures of a data set's images for a page, each decoded when it is asked for."""

    def __init__(self, splits: Splits):
        self.parts = dict(splits.items())

    def show(self, place: Occurrence, text: str) -> dict[str, Any]:
        """Return what the template shows of an image: a data URI, its name and a text."""
        pixels, size = read_example(self.parts[place.split], place.index, PICTURE_SIDE)
        return {
            "image": None if pixels is None else encode_data_uri(pixels),
            "pixelated": max(size) <= MAX_PIXELATED_SIDE,
            "name": place.name or f"image {place.index}",
            "text": text,
        }


def format_lead(
    verification: Verification, examination: Examination, check: LabelCheck | None
) -> str:
    """Return a sentence with the worst that was found."""
    leaks, near = len(verification.leaks), len(examination.near_leaks)
    broken, wrong = len(verification.broken), len(check.suspects) if check else 0
    conflicts = len(list_label_conflicts(verification, examination))
    parts = [
        f"{conflicts:,} picture{'s' * (conflicts != 1)} with more than one label"
        if conflicts
        else "",
        f"{leaks:,} leak{'s' * (leaks != 1)} between splits" if leaks else "",
        f"{near:,} near-duplicate{'s' * (near != 1)} between splits" if near else "",
        f"{broken:,} broken file{'s' * (broken != 1)}" if broken else "",
        f"{wrong:,} label{'s that are' if wrong != 1 else ' that is'} probably wrong"
        if wrong
        else "",
    ]
    found = [part for part in parts if part]
    return (
        f"Found: {', '.join(found)}." if found else "No image is in two splits, and none is broken."
    )


def list_numbers(
    total: int, verification: Verification, examination: Examination, check: LabelCheck | None
) -> list[dict[str, str]]:
    """Return the figures on top of the page."""
    inside = len(examination.near_duplicates) - len(examination.near_leaks)
    odd = {word: len(odd_images) for word, odd_images in find_odd_images(examination)}
    doubles = len(verification.duplicates)
    rows = [
        ("images", total, ""),
        (
            "label conflicts",
            len(list_label_conflicts(verification, examination)),
            "one picture, different labels",
        ),
        ("leaks", len(verification.leaks), "the same bytes in two splits"),
        ("near-duplicates", len(examination.near_leaks), "of two splits"),
        ("doubles", doubles + inside, f"within a split, {inside:,} of them nearly"),
        ("broken files", len(verification.broken), ""),
        *((word, count, "") for word, count in odd.items()),
    ]
    if check is not None:
        rows.append(("wrong labels", len(check.suspects), f"of {check.images:,}, probably"))
    return [{"name": name, "value": f"{count:,}", "small": small} for name, count, small in rows]


def describe_suspect(album: Album, suspect: Suspect) -> dict[str, Any]:
    """Return what the template shows of an image whose label is probably wrong."""
    learnt = ", trained on" if suspect.trained_on else ""
    text = (
        f"{suspect.given_probability:.2f} against {suspect.suggested_probability:.2f}, "
        f"{suspect.place.split}{learnt}"
    )
    labels = {"given": suspect.place.label, "suggested": suspect.suggested}
    return {**album.show(suspect.place, text), **labels}


def format_suspects_text(check: LabelCheck, shown: int) -> str:
    """Return the text above the suspects."""
    parts = [
        "The given label, the suggested one, and the network's probabilities of both. "
        "Confident learning (Northcutt et al. 2021) names them, the surest first."
    ]
    if shown < len(check.suspects):
        parts.append(f"These are {shown} of {len(check.suspects):,}; the table has all.")
    if check.trained_on:
        parts.append(
            f"{check.trained_on:,} of {check.images:,} images were trained on by every run that "
            "was given. A network is too sure of those, so that many wrong labels among them "
            "remain hidden: runs of other folds find more."
        )
    return " ".join(parts)


def build_pair_sections(
    album: Album, verification: Verification, examination: Examination
) -> list[dict[str, Any]]:
    """Return the sections of images that are twice there: conflicts of labels, leaks, doubles."""
    near = examination.near_duplicates
    likeness = examination.thresholds["near"]
    nearly = f"Small grey copies of the two correlate by {likeness} or more."
    sections = [
        ("The same picture with different labels", "One of the labels is wrong, and only you can "
         "tell which.",
         [describe_pair(pair) for pair in list_label_conflicts(verification, examination)]),
        ("The same file in two splits", "A leak: the test is no test of these.",
         [(places[0], next(p for p in places if p.split != places[0].split), "")
          for places in verification.leaks]),
        ("Nearly the same in two splits", f"{nearly} What was learnt is tested.",
         [describe_pair(pair) for pair in near if pair.is_leak]),
        ("Twice in one split", "The same bytes.",
         [(places[0], places[1], "") for places in verification.duplicates]),
        ("Nearly the same in one split", nearly,
         [describe_pair(pair) for pair in near if not pair.is_leak]),
    ]  # fmt: skip
    return [
        {
            "heading": heading,
            "text": f"{text} {format_shown(len(pairs), MOST_PAIRS)}".strip(),
            "tiles": [
                {
                    "text": words,
                    "first": album.show(first, f"{first.split}, {first.label}"),
                    "second": album.show(second, f"{second.split}, {second.label}"),
                }
                for first, second, words in pairs[:MOST_PAIRS]
            ],
        }
        for heading, text, pairs in sections
        if pairs
    ]


def describe_pair(pair: NearDuplicate) -> tuple[Occurrence, Occurrence, str]:
    """Return both images of a pair, and how alike they are."""
    mirrored = ", mirrored" if pair.mirrored else ""
    return pair.first, pair.second, f"likeness {pair.likeness:.3f}{mirrored}"


def build_odd_section(album: Album, word: str, odd_images: Sequence[OddImage]) -> dict[str, Any]:
    """Return the section of images that are blurred, tiny or of one colour."""
    return {
        "heading": f"Images that are {word}",
        "text": f"{ODD_TEXTS[word]} {format_shown(len(odd_images), MOST_TILES)}".strip(),
        "tiles": [
            album.show(odd.place, f"{odd.value:g}, {odd.place.split}, {odd.place.label}")
            for odd in odd_images[:MOST_TILES]
        ],
    }


def format_shown(count: int, most: int) -> str:
    """Return a sentence if not all are shown."""
    return f"These are the first {most} of {count:,}." if count > most else ""
