"""Durations, sizes, percentages and large numbers are formatted for people."""

import pytest

from cnntrain.terminal.units import (
    abbreviate_number,
    format_duration,
    format_mib,
    format_percent,
    format_size,
)


@pytest.mark.parametrize(
    ("convert", "number", "text"),
    [
        (format_duration, None, "–"),
        (format_duration, 12.34, "12.3 s"),
        (format_duration, 245, "4 min 05 s"),
        (format_duration, 3599.7, "1 h 00 min"),
        (format_duration, 7620, "2 h 07 min"),
        (format_duration, 76 * 3600, "3 d 04 h"),
        (format_size, 0, "0 bytes"),
        (format_size, 512.2, "512 bytes"),
        (format_size, 1.5 * 2**20, "1.5 MiB"),
        (format_size, 24 * 2**30, "24 GiB"),
        (format_size, 1234.5 * 2**30, "1,234.5 GiB"),
        (format_mib, 1145 * 2**20, "1,145"),
        (format_mib, 0.06 * 2**20, "0.06"),
        (format_percent, 0.9375, "93.75 %"),
        (abbreviate_number, 138_357_544, "138.4 M"),
        (abbreviate_number, None, None),
    ],
)
def test_number_in_words(convert, number, text):
    assert convert(number) == text
