"""What can be wrong with the values of a network: none, two or circular definitions, numbers that are not there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from cldfc.diagnostics import Label, Problems, Span
from cldfc.network.formula import NoNumber
from cldfc.network.numbers import report_missing_value
from cldfc.network.positions import Binding, Key, OutOfRange, format_key
from cldfc.network.program import Program, Read, Reads, Template


@dataclass
class ExpansionErrors:
    """Reports; `open` are the values that are being worked out, each with the read that asks for it."""

    program: Program
    problems: Problems
    open: dict[Key, Read | Reads]

    def out_of_range(self, error: OutOfRange, span: Span, value: Key) -> None:
        message = f"`{format_key(value)}` needs {error.missing}, which has no value"
        report_missing_value(self.problems, error, message, span)

    def no_number(self, error: NoNumber, span: Span, value: Key) -> None:
        message = f"the factor `{span.text}` is not a number in `{format_key(value)}`: {error}"
        help = "write a formula that gives a number, or leave this value out of the range of the equation"
        self.problems.report("E0506", message, span, "cannot be computed", help)

    def empty(self, read: Read | Reads, value: Key, binding: Binding) -> None:
        assert isinstance(read, Reads)
        lower, upper = read.lower.value(binding), read.upper.value(binding)
        message = f"a reduction in `{format_key(value)}` has no terms: {read.name} = {lower}..{upper}"
        help = f"write an equation of its own for `{format_key(value)}`, or change the range"
        self.problems.report("E0307", message, read.span, "over no index", help)

    def undefined(self, read: Read | Reads, key: Key) -> None:
        name, indices = key
        if self.problems.explain(name):
            return
        equations = [t for t in self.program.templates if t.family == name and len(t.left) == len(indices)]
        places = [Label(t.statement.left.span, f"defines {self.extent(t)}") for t in equations]
        asker = next(reversed(self.open), None)
        help = f"write an equation for it: `{format_key(key)} = …`" + (
            ", or let the one that needs it start later, with `for`" if places and min(indices, default=0) < 0 else ""
        )
        self.problems.report(
            "E0302",
            f"nothing defines `{format_key(key)}`",
            read.span,
            "declared as the output" if asker is None else f"needed for `{format_key(asker)}`",
            help,
            *places,
        )

    def extent(self, template: Template) -> str:
        """For which indices an equation holds, as a reader would say it."""
        extents: list[str] = []
        for name, range in template.ranges.items():
            shifts = [0, *(p.offset for p in template.left if p.base == name and not range.is_explicit)]
            lower = range.lower.shifted(-min(shifts)) if range.lower else ""
            upper = range.upper.shifted(-max(shifts)) if range.upper else ""
            extents.append(f"{name} = {lower}" if lower == upper else f"{name} = {lower}..{upper}")
        return f"`{template.label(template.left)}`" + (f" for {', '.join(extents)}" if extents else "")

    def double(self, key: Key, templates: list[Template]) -> None:
        first, second = sorted(templates, key=lambda t: t.statement.span.start)[:2]
        self.problems.report(
            "E0303",
            f"`{format_key(key)}` is defined twice",
            second.statement.left.span,
            f"defines `{format_key(key)}`",
            "remove one of the two, or change its indices so that only one holds there",
            Label(first.statement.left.span, f"defines `{format_key(key)}` too"),
        )

    def way_out(self, read: Read | Reads, length: int) -> str:
        if isinstance(read, Reads):
            return f"let the range of `{read.name}` end before it"
        last = re.search(r"@(?:.*,)?(\w+)\Z", read.span.text)
        own = {position.base for t in self.program.templates if t.family == read.family for position in t.left}
        if length == 1 and last and last[1] in own:
            return f"let it look back: `{read.span.text}-1`"
        return "let one of them start from a value that is known, such as `u@1,0 = 0`"

    def circle(self, read: Read | Reads, key: Key) -> None:
        circle = list(self.open)[list(self.open).index(key) :]
        shown = [*circle[:4], *([] if len(circle) <= 4 else [("…", ())]), key]
        links = pairwise(circle[:4])
        others = [Label(self.open[at].span, f"`{format_key(by)}` needs `{format_key(at)}`") for by, at in links]
        message = f"`{format_key(key)}` depends on itself: {' ← '.join(map(format_key, shown))}"
        help = self.way_out(read, len(circle))
        self.problems.report(
            "E0304", message, read.span, f"`{format_key(circle[-1])}` needs `{format_key(key)}`", help, *others
        )
