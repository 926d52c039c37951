"""The diagram of a graph: no box on another, and every edge around the boxes that it passes."""

import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace

import pytest

from cnntrain.reports.graph_diagram import draw_graph, place_rows

# The inputs of each row, the first of which reads the image.
CHAIN = [(), (0,), (1,)]
SHORTCUT = [(), (0,), (1,), (0, 2), (3,), (4,), (3, 5)]
INCEPTION = [(), (0,), (0,), (2,), (0,), (4,), (5,), (1, 3, 6)]
DENSE = [(), (0,), (0, 1), (2,), (2, 3), (4,), (0, 4, 5)]


def make_rows(inputs):
    return [
        SimpleNamespace(layer=f"layer<{n}", kind="Conv2D", what="Conv2D 3x3", inputs=inner,
                        output=(8, 8, 4), parameters=10 * n)
        for n, inner in enumerate(inputs)
    ]  # fmt: skip


@pytest.mark.parametrize("inputs", [CHAIN, SHORTCUT, INCEPTION, DENSE])
def test_no_box_and_no_edge_lies_on_another(inputs):
    ranks, lanes, routes = place_rows(make_rows(inputs))
    places = list(zip(ranks, lanes, strict=True))
    for (source, reader), lane in routes.items():
        places += [(rank, lane) for rank in range(ranks[source] + 1, ranks[reader])]
    assert len(places) == len(set(places))
    for number, sources in enumerate(inputs):
        assert all(ranks[source] < ranks[number] for source in sources)


def test_branches_stand_beside_each_other():
    ranks, lanes, _ = place_rows(make_rows(INCEPTION))
    assert ranks == [0, 1, 1, 2, 1, 2, 3, 4]
    assert lanes == [0, 0, 1, 1, 2, 2, 2, 0]


@pytest.mark.parametrize("inputs", [CHAIN, DENSE])
def test_picture_has_a_box_for_each_layer_and_a_path_for_each_input(inputs):
    svg = ElementTree.fromstring(draw_graph(make_rows(inputs), "a & b"))
    space = "{http://www.w3.org/2000/svg}"
    assert len(svg.findall(f"{space}g")) == len(inputs)
    assert len(svg.findall(f"{space}path")) == sum(map(len, inputs))
    assert svg.find(f"{space}g/{space}title").text == "layer<0: Conv2D 3x3"
