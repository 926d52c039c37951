"""The first networks of every course: perceptrons, small convnets, LeNet-5, CIFAR ResNets."""

COUNTS = {
    ("mlp_300_100", (28, 28, 1), 10, ()): (266_610, 266_610),
    ("mlp_300_100", (28, 28, 1), 2, ()): (265_802, 265_802),
    ("mlp_256_128", (28, 28, 1), 10, ()): (235_146, 235_146),
    ("mlp_512_512", (28, 28, 1), 10, ()): (669_706, 669_706),
    ("mlp_bn", (28, 28, 1), 10, ()): (271_346, 268_978),
    ("cnn_mnist", (28, 28, 1), 10, ()): (220_234, 220_234),
    ("cnn_mnist_valid", (28, 28, 1), 10, ()): (93_322, 93_322),
    ("cnn_cifar", (32, 32, 3), 10, ()): (541_094, 541_094),
    ("cnn_cats_dogs", (150, 150, 3), 2, ()): (3_453_121, 3_453_121),
    ("lenet5", (28, 28, 1), 10, ()): (44_426, 44_426),
    ("lenet5", (32, 32, 1), 10, ()): (61_706, 61_706),
    ("resnet20_v1", (32, 32, 3), 10, ("model.shortcut=A",)): (None, 269_722),
    ("resnet20_v1", (32, 32, 3), 10, ("model.shortcut=B",)): (None, 272_474),
    ("resnet32_v1", (32, 32, 3), 10, ("model.shortcut=A",)): (None, 464_154),
    ("resnet32_v1", (32, 32, 3), 10, ("model.shortcut=B",)): (None, 466_906),
    ("resnet44_v1", (32, 32, 3), 10, ("model.shortcut=A",)): (None, 658_586),
    ("resnet44_v1", (32, 32, 3), 10, ("model.shortcut=B",)): (None, 661_338),
    ("resnet56_v1", (32, 32, 3), 10, ("model.shortcut=A",)): (None, 853_018),
    ("resnet56_v1", (32, 32, 3), 10, ("model.shortcut=B",)): (None, 855_770),
    ("resnet110_v1", (32, 32, 3), 10, ("model.shortcut=A",)): (None, 1_727_962),
    ("resnet110_v1", (32, 32, 3), 10, ("model.shortcut=B",)): (None, 1_730_714),
}
SMALLEST = {"cnn_cats_dogs": 46}


def test_one_logit_is_for_two_classes_only(spec):
    model = spec("model=cnn_cifar", "model.one_logit=true").model
    assert model((32, 32, 3), 2).output_shape == (None, 1)
    assert model((32, 32, 3), 3).output_shape == (None, 3)
