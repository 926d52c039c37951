"""What `fit` proposes: a function of what it saw, whose words are settings; the user's win."""

import numpy as np
import pytest

from cnntrain.planning.photo_facts import PhotoFacts, PhotoLook
from cnntrain.planning.pretrained_choice import CANDIDATES, PretrainedChoice
from cnntrain.planning.proposal import propose_settings, propose_splits
from cnntrain.spec.build import build_provisional_spec
from cnntrain.spec.compose import compose_config

MOBILENET = PretrainedChoice(CANDIDATES[1], "somewhere")
FOLDER = ["dataset=image_folder", "dataset.folder=x"]


def make_facts(counts=(50, 50), size=(300, 400), grey=False, parts=None, sizes=None):
    total = sum(counts)
    looks = [PhotoLook(b"%d" % n, *size, grey, None) for n in range(total)]
    if sizes == "many":
        looks[0] = looks[0]._replace(height=size[0] + 1)
    classes = {f"class{n}": count for n, count in enumerate(counts)}
    parts = parts or {"train": total}
    return PhotoFacts(
        classes, parts, total, np.arange(total), looks, [str(n) for n in range(total)]
    )


def propose(facts, train=None, pretrained=MOBILENET, **given):
    given = {key.replace("__", "."): value for key, value in given.items()}
    train = train or round(0.7 * sum(facts.classes.values()))
    splits = propose_splits(facts, given)
    has_valid = "dataset.valid=0" not in splits.words
    decisions = propose_settings(facts, train, has_valid, pretrained, given)
    return {decision.what: decision for decision in [*decisions, splits]}


def list_words(decisions):
    return [word for decision in decisions.values() for word in decision.words]


@pytest.mark.parametrize("pretrained", [MOBILENET, None], ids=["weights", "no weights"])
@pytest.mark.parametrize(
    "facts",
    [
        make_facts((20, 20)),
        make_facts((300, 90, 700)),
        make_facts((3000, 3000)),
        make_facts((200, 200), (28, 28), grey=True),
        make_facts((200, 200), (40, 80), sizes="many"),
        make_facts((60, 60), parts={"train": 60, "test": 60}),
    ],
    ids=["few", "unbalanced", "many", "small and grey", "small", "parts"],
)
def test_every_proposal_is_a_spec_and_the_same_again(facts, pretrained):
    decisions = propose(facts, pretrained=pretrained)
    assert decisions == propose(facts, pretrained=pretrained)
    assert all(decision.why for decision in decisions.values())
    words = list_words(decisions)
    assert len({word.partition("=")[0] for word in words}) == len(words)
    build_provisional_spec(compose_config([*FOLDER, *words]).config)


def test_with_weights_a_head_is_trained_on_large_images():
    words = list_words(propose(make_facts((450, 450))))
    wanted = ["model=mobilenet", "model.alpha=0.75", "model.weights=imagenet", "finetune=head"]
    assert set(wanted) < set(words)
    assert "dataset.image_size=[224,224]" in words
    assert propose(make_facts(), train=15)["batch size"].why == "1 step an epoch"
    assert "augmentation=none" in words


@pytest.mark.parametrize(
    ("size", "side"), [((500, 375), 224), ((160, 213), 160), ((130, 400), 128), ((60, 60), 96)]
)
def test_images_are_as_large_as_photos_and_weights_allow(size, side):
    assert f"dataset.image_size=[{side},{side}]" in list_words(propose(make_facts(size=size)))


def test_many_photos_are_fine_tuned():
    words = list_words(propose(make_facts((1500, 1500))))
    assert "finetune=two_phase" in words
    head = next(int(w.partition("=")[2]) for w in words if w.startswith("finetune.head_epochs"))
    assert f"epochs={head + 5}" in words


def test_small_photos_are_trained_from_scratch_as_large_as_they_are():
    decisions = propose(make_facts((200, 200), (28, 28), grey=True))
    words = list_words(decisions)
    assert {"model=resnet20_v1", "dataset.image_size=[28,28]", "dataset.channels=1"} < set(words)
    assert "augmentation.flip=0" in words
    assert "small" in decisions["network"].why


def test_without_weights_the_reason_is_said():
    decisions = propose(make_facts(), pretrained=None)
    assert "model=resnet20_v1" in decisions["network"].words
    assert "no ImageNet weights" in decisions["network"].why


def test_unbalanced_classes_are_weighed():
    words = list_words(propose(make_facts((300, 100)), train=280))
    assert {"loss.class_weights=balanced", "monitor=valid.balanced_accuracy"} < set(words)
    assert "loss.class_weights=balanced" not in list_words(propose(make_facts((100, 90))))


@pytest.mark.parametrize(
    ("counts", "parts", "words"),
    [
        ((20, 20), None, ("dataset.test=0.25", "dataset.valid=0")),
        ((100, 100), None, ("dataset.test=0.2", "dataset.valid=0.2")),
        ((500, 500), None, ("dataset.test=0.2", "dataset.valid=0.1")),
        ((500, 500), {"train": 800, "test": 200}, ("dataset.valid=0.1",)),
        ((500, 500), {"train": 600, "valid": 200, "test": 200}, ()),
    ],
)
def test_splits_leave_enough_to_learn_from(counts, parts, words):
    assert propose_splits(make_facts(counts, parts=parts), {}).words == words


@pytest.mark.parametrize(
    ("parts", "value", "words"),
    [
        (None, "fold 1 of 5 for the test, 10% of the rest for validation", ("dataset.valid=0.1",)),
        ({"train": 800, "test": 200}, "your test part, fold 1 of 5 for validation", ()),
    ],
)
def test_a_fold_of_the_user_is_no_split_to_be_cut(parts, value, words):
    given = {"dataset.folds": "5", "dataset.fold": "1"}
    decision = propose_splits(make_facts((500, 500), parts=parts), given)
    assert (decision.value, decision.words) == (value, words)


def test_what_the_user_gives_wins():
    decisions = propose(make_facts(), epochs="7", optimizer="sgd", dataset__test="0.5")
    words = list_words(decisions)
    assert not [word for word in words if word.startswith(("epochs", "optimizer", "dataset.test"))]
    assert "schedule=cosine" in words  # what the user did not mention stays
    assert (decisions["epochs"].value, decisions["epochs"].why) == ("epochs=7", "as you say")
    assert "optimizer=sgd" in decisions["learning rate"].value


def test_a_model_of_the_user_takes_no_knobs_of_another():
    decisions = propose(make_facts(), pretrained=None, model="vgg11", model__hidden="64")
    assert not [word for word in list_words(decisions) if word.startswith("model")]
    assert decisions["network"].value == "model=vgg11 model.hidden=64"


def test_weights_of_the_user_get_a_head():
    given = {"model": "xception", "model__weights": "imagenet"}
    words = list_words(propose(make_facts(), **given))
    assert "finetune=head" in words
    assert not [word for word in words if word.startswith("model")]
    assert "finetune=head" not in list_words(propose(make_facts(), model__weights="null"))


def test_minutes_take_the_place_of_epochs():
    decisions = propose(make_facts((1500, 1500)), minutes="3")
    assert not [word for word in list_words(decisions) if "epochs" in word]
    assert "minutes=3" in decisions["epochs"].value
    assert decisions["training"].words == ("finetune=head",)
