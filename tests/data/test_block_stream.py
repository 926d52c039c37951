"""Threads make blocks ahead, in order, no earlier than asked, and end with who takes them."""

import gc
import itertools
import threading
import time

import pytest

from cnntrain.data import pipeline


def list_spans(asked, count=20):
    for number in range(count):
        asked.append(number)
        yield 10 * number, 10


def count_threads():
    return sum(thread.name.startswith("blocks") for thread in threading.enumerate())


def test_blocks_come_in_order_whichever_is_made_first():
    def make(first, count):
        time.sleep(0.002 if first % 20 else 0)
        return first, count

    assert list(pipeline.stream_blocks(make, list_spans([]))) == list(list_spans([]))
    assert list(pipeline.stream_blocks(make, [])) == []


@pytest.mark.parametrize("ahead", [1, 2, 4])
def test_no_span_is_asked_for_before_its_block_can_be_begun(ahead):
    asked = []
    stream = pipeline.stream_blocks(lambda first, count: first, list_spans(asked), ahead)
    assert asked == []
    for taken in range(1, 6):
        next(stream)
        assert len(asked) == taken + ahead


def test_blocks_are_made_while_nobody_waits():
    made = threading.Semaphore(0)
    stream = pipeline.stream_blocks(lambda first, count: made.release(), list_spans([]))
    next(stream)
    for _ in range(3):  # the one taken, and two ahead
        assert made.acquire(timeout=5)
    assert not made.acquire(timeout=0.01)


def test_error_of_a_block_is_raised_in_its_place_and_ends_the_threads():
    def make(first, count):
        if first == 30:
            raise OSError("no image any more")
        return first

    stream = pipeline.stream_blocks(make, list_spans([]))
    assert list(itertools.islice(stream, 3)) == [0, 10, 20]
    with pytest.raises(OSError, match="no image any more"):
        next(stream)
    assert count_threads() == 0


@pytest.mark.parametrize("end", ["close", "drop"])
def test_threads_end_with_the_iterator(end):
    stream = pipeline.stream_blocks(lambda first, count: first, list_spans([]))
    next(stream)
    assert count_threads() > 0
    if end == "close":
        stream.close()
    else:
        del stream
        gc.collect()
    assert count_threads() == 0
