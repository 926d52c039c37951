"""The layers of a network as rows of text, to compare with a table as a source gives it."""

from dataclasses import replace

from keras import layers

from cnntrain.analysis.receptive_field import find_window
from cnntrain.analysis.zoo import build_unfilled_network, find_model_file
from cnntrain.models.parts.keras_private import get_graph, iterate_nodes
from cnntrain.spec.about import read_paper_network

KINDS = {
    layers.Conv2D: "conv",
    layers.DepthwiseConv2D: "depthwise conv",
    layers.SeparableConv2D: "separable conv",
    layers.MaxPooling2D: "max pool",
    layers.AveragePooling2D: "average pool",
    layers.GlobalAveragePooling2D: "global average pool",
    layers.GlobalMaxPooling2D: "global max pool",
    layers.BatchNormalization: "batch norm",
}


def build_paper_network(option, overrides=()):
    """Return the network of an option's paper with further overrides, without weights."""
    made_for = read_paper_network(find_model_file(option, None))
    made_for = replace(made_for, overrides=(*made_for.overrides, *overrides))
    return build_unfilled_network(option, made_for)


def describe_layers(network):
    """Return the rows of a network in the order of its data: `conv 11x11/4 54x54x96`.

    A row holds the kind, the kernel and stride of a convolution or pool, the rate of a dropout, and
    the output shape; its last number is that of the filters or units. An activation has a row of
    its own, also where it belongs to a layer. Where branches meet, each of them follows a row
    `branch`, from the layer that all of them begin at; so a shortcut is a `branch` without rows.
    """
    nodes = list(iterate_nodes(get_graph(network)))
    makers = {id(tensor): node for node in nodes for tensor in node.outputs}
    place = {id(node): number for number, node in enumerate(nodes)}
    sources = {
        id(node): list_sources([makers.get(id(x)) for x in node.input_tensors]) for node in nodes
    }
    ancestors, rows, listed = {None: {None}}, [], {None}
    for node in nodes:
        ancestors[id(node)] = {id(node)}.union(
            *(ancestors[source and id(source)] for source in sources[id(node)])
        )

    def add_rows(node):
        if (node and id(node)) in listed:
            return
        listed.add(id(node))
        before = [node.input_tensors[0]] if is_response_norm(node, sources) else node.input_tensors
        branches = [makers.get(id(tensor)) for tensor in before]
        if len(branches) > 1:
            shared = set.intersection(*(ancestors[branch and id(branch)] for branch in branches))
            fork = max((place.get(key, -1) for key in shared), default=-1)
            add_rows(nodes[fork] if fork >= 0 else None)
        for branch in branches:
            if len(branches) > 1:
                rows.append("branch")
            add_rows(branch)
        rows.extend(describe_node(node, is_response_norm(node, sources)))

    add_rows(makers[id(get_graph(network).outputs[0])])
    return rows


def read_table(text):
    """Return the rows of a table in a test, one for each line."""
    return [" ".join(line.split()) for line in text.strip().splitlines()]


def list_sources(nodes):
    """Return the nodes without repetitions; None stands for the input of the network."""
    return list({id(node): node for node in nodes}.values())


def is_response_norm(node, sources):
    """Return whether a node is the last operation of a local response normalisation."""
    kinds = [type(source.operation).__name__ for source in sources[id(node)] if source]
    return type(node.operation).__name__ == "Multiply" and kinds[1:] == ["Power"]


def describe_node(node, response_norm):
    """Return the row of one call, and the row of its activation if it has one."""
    operation, shape = node.operation, "x".join(map(str, node.outputs[0].shape[1:]))
    name = type(operation).__name__
    activation = getattr(getattr(operation, "activation", None), "__name__", "linear")
    if response_norm:
        return [f"lrn {shape}"]
    if isinstance(operation, layers.Activation):
        return [f"{activation} {shape}"]
    window = find_window(node)
    rate = getattr(operation, "rate", None) if isinstance(operation, layers.Dropout) else None
    words = [KINDS.get(type(operation), name.lower()), window, rate, shape]
    row = " ".join(str(word) for word in words if word is not None)
    return [row] if activation == "linear" else [row, f"{activation} {shape}"]
