"""The flags that are read from a verb's source are those of its parser."""

import importlib

import pytest

from cnntrain.cli.completion.flags import read_arguments
from cnntrain.cli.main import VERBS
from cnntrain.cli.parser import Parser


class ParserMade(Exception):
    """Raised in place of parsing, with the parser that a verb has made."""


@pytest.mark.parametrize("verb", VERBS)
def test_flags_of_every_verb_are_read_as_its_parser_has_them(verb, monkeypatch):
    def stop(parser, words):
        raise ParserMade(parser)

    monkeypatch.setattr(Parser, "parse_intermixed_args", stop)
    module = importlib.import_module(f"cnntrain.{VERBS[verb] or 'cli.main'}")
    run = module.main if VERBS[verb] else module.run_verb
    with pytest.raises(ParserMade) as made:
        run([])
    actions = made.value.args[0]._actions
    expected = [
        (tuple(action.option_strings) or (action.dest,), action.nargs != 0, action.choices)
        for action in actions
    ]
    assert [
        (argument.names, argument.takes_value, list(argument.choices))
        for argument in read_arguments(VERBS[verb] or "cli.main", run.__name__)
    ] == [(names, value, [*map(str, choices or ())]) for names, value, choices in expected]
