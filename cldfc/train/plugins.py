"""Data sets that other distributions bring, by entry points of the group `cldfc.data_sets`."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from importlib.metadata import entry_points

from pydantic import ValidationError

from cldfc.diagnostics import UsageError
from cldfc.validation import first_error

GROUP = "cldfc.data_sets"

LONGEST_REASON = 300
"""Characters of a foreign error that are shown."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """What an entry point leads to, and where it comes from."""

    name: str
    distribution: str
    target: str
    value: object = None

    def broken(self, reason: str) -> UsageError:
        return UsageError(
            f"the data set `{self.name}` of the distribution `{self.distribution}` cannot be used: {reason}",
            f"mend it, or do without it: `pip uninstall {self.distribution}`",
        )


def plugin_names() -> list[str]:
    """The names of all entry points, sorted; nothing is loaded."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def load_plugin(name: str) -> Plugin | None:
    """What the one entry point of that name leads to; None where there is none. Raises UsageError."""
    points = list(entry_points(group=GROUP, name=name))
    found = [Plugin(point.name, point.dist.name if point.dist else "unknown", point.value) for point in points]
    if not found:
        return None
    if len({(plugin.distribution, plugin.target) for plugin in found}) > 1:
        others = " and ".join(sorted({f"`{plugin.distribution}`" for plugin in found}))
        raise UsageError(f"several data sets are called `{name}`: they come with {others}", "uninstall all but one")
    plugin, point = found[0], points[0]
    try:
        return replace(plugin, value=point.load())
    except ValidationError as error:
        name, _, reason = first_error(error)
        raise plugin.broken(f"`{plugin.target}`{name and f': `{name}`'}: {reason}") from error
    except (Exception, SystemExit) as error:
        raise plugin.broken(f"`{plugin.target}` cannot be loaded: {in_one_line(error)}") from error


def in_one_line(error: BaseException) -> str:
    return textwrap.shorten(f"{type(error).__name__}: {error}", LONGEST_REASON, placeholder=" …")
