"""A network that no memory holds is refused before any of it is made."""

import pytest

from cnntrain.errors import SpecError

HUGE = {
    "model=lenet5": "model.filters=[2147483647,2147483647]",
    "model=mlp_256_128": "model.hidden=[2147483647,2147483647]",
    "model=vgg16": "model.hidden=2147483647",
}


@pytest.mark.parametrize(("option", "knob"), HUGE.items(), ids=HUGE)
def test_network_larger_than_the_memory_is_refused(spec, option, knob):
    from cnntrain.training.network import build_empty_network, check_network_memory

    body = build_empty_network(spec(option, knob), (32, 32, 1), 10)
    with pytest.raises(SpecError) as refused:
        check_network_memory(body)
    assert "parameters take" in refused.value.given
    assert "cnntrain plan" in refused.value.expected


def test_network_of_an_ordinary_size_is_not_refused(spec):
    from cnntrain.training.network import build_empty_network, check_network_memory

    body = build_empty_network(spec("model=lenet5"), (32, 32, 1), 10)
    check_network_memory(body)
    assert body.count_params() == 61_706
