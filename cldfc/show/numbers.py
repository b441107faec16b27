"""Large numbers in three digits, for people."""

from __future__ import annotations

PREFIXES = ("", "k", "M", "G", "T", "P")


def short_count(count: int) -> str:
    """`8.04 M`, `555 M`, `640`."""
    value, prefix = scaled(count)
    return f"{value} {prefix}".rstrip()


def short_bytes(count: int) -> str:
    """`4.76 MB`, of a million bytes each; `640 B`."""
    value, prefix = scaled(count)
    return f"{value} {prefix}B"


def scaled(count: int) -> tuple[str, str]:
    """A number in three digits, and the prefix of the power of 1,000 that it is multiplied with."""
    if count < 1000:
        return str(count), ""
    mantissa, exponent = f"{count:.2e}".split("e")
    power = min(int(exponent) // 3, len(PREFIXES) - 1)
    before = int(exponent) - 3 * power
    return f"{float(mantissa) * 10**before:.{max(0, 2 - before)}f}", PREFIXES[power]
