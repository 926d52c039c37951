"""Any image classification set of TensorFlow Datasets, by its name."""

from dataclasses import asdict, dataclass
from pathlib import Path

from cnntrain.data.fetch.tfds_builder import find_builder, prepare_builder
from cnntrain.data.fetch.tfds_read import choose_feature_keys, read_builder_source
from cnntrain.data.source import Source


@dataclass(frozen=True, kw_only=True)
class Slices:
    """What becomes of TFDS' splits, as TFDS writes it: `train[:10%]`; null: the split itself."""

    train: str | None
    valid: str | None
    test: str | None


def tfds(
    data_dir: Path,
    manual_dir: Path | None,
    *,
    tfds: str,
    image_key: str | None,
    label_key: str | None,
    slices: Slices,
) -> Source:
    """Return the data set `name[/config][:version]` of TFDS with its official splits, or `slices`.

    It is prepared in `data_dir` first if need be: from the original archives in `manual_dir`, or by
    downloading them. `image_key` and `label_key` name the features to learn from if a data set has
    several. Raises SpecError for a name that TFDS does not know, for a data set without an image or
    a label, for slices that do not exist or share images, and if there is neither an archive nor a
    network; it says which file belongs where.
    """
    features = choose_feature_keys(find_builder(tfds, data_dir), image_key, label_key)
    builder = prepare_builder(tfds, data_dir, manual_dir)
    return read_builder_source(builder, *features, asdict(slices))
