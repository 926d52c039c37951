"""Numbers in words: seconds, bytes, shares, and large numbers in few digits."""

from rich.filesize import pick_unit_and_suffix

NO_VALUE = "–"  # stands for a missing number
BYTE_UNITS = ["bytes", "KiB", "MiB", "GiB"]


def format_duration(seconds: float | None) -> str:
    """Return seconds as 12.3 s, 4 min 05 s, 2 h 07 min or 3 d 04 h."""
    if seconds is None:
        return NO_VALUE
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 72 else f"{hours // 24} d {hours % 24:02} h"


def format_size(size: float) -> str:
    """Return bytes as 512 bytes, 1.5 MiB, 24 GiB or 1,234.5 GiB."""
    whole = round(size)
    unit, suffix = pick_unit_and_suffix(whole, BYTE_UNITS, 1024)
    return f"{whole / unit:,.1f}".removesuffix(".0") + f" {suffix}"


def format_mib(size: float) -> str:
    """Return bytes as a number of MiB for a table: 1,145, or 0.06 if it is small."""
    value = size / 2**20
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def format_percent(share: float) -> str:
    """Return a share between 0 and 1 as 93.75 %."""
    return f"{100 * share:.2f} %"


def abbreviate_number(number: int | None) -> str | None:
    """Return a number in four digits: 138.4 M for 138,357,544."""
    if number is None:
        return None
    for power, prefix in ((9, "G"), (6, "M"), (3, "k")):
        value = number / 10**power
        if float(f"{value:.4g}") >= 1:
            digits = max(0, 3 - int(f"{value:.3e}".partition("e")[2]))
            return f"{value:.{digits}f} {prefix}"
    return str(number)
