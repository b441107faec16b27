"""Tags → positions: what each index of a tag stands for."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from cldfc.diagnostics import Label, Problems, Span
from cldfc.network.constants import Constants
from cldfc.network.limits import LARGEST_SIZE
from cldfc.network.numbers import level_index
from cldfc.network.positions import Constant, Lookup, Position, Positions
from cldfc.syntax import tree
from cldfc.syntax.format import format_index, format_symbol


@dataclass(frozen=True)
class Tags:
    """Resolves tags; `bound` are the index names that have a value at the place."""

    constants: Constants
    problems: Problems

    def positions(self, symbol: tree.Symbol, bound: Set[str]) -> Positions | None:
        found = [self.position(index, symbol, bound) for index in symbol.tag]
        return tuple(p for p in found if p is not None) if None not in found else None

    def position(self, index: tree.Index, symbol: tree.Symbol, bound: Set[str]) -> Position | None:
        if index.name is None:
            return Position(None, index.offset)
        if index.name in bound and index.at is None:
            return Position(index.name, index.offset)
        if self.constants.names.is_constant(index.name):
            constant = self.constants.constant(index.name)
            return None if constant is None else self.constant_position(constant, index, symbol, bound)
        if index.at is not None and index.name in self.constants.names.declared:
            help = f"write `{index.name}`; only a constant has a tag of its own, as in `ν@ℓ`"
            message = f"the index `{index.name}` takes no tag"
            return self.problems.report("E0202", message, index.span, "a tag here", help)
        if self.constants.range(index.name, index.span) is not None:
            self.report_unbound(index, symbol)
        return None

    def constant_position(
        self, constant: Constant, index: tree.Index, symbol: tree.Symbol, bound: Set[str]
    ) -> Position | None:
        """`J`, `ν@ℓ`, or `ν` at the level of its tag (LANGUAGE: `r@ℓ+1,ν` is `r@ℓ+1,ν@ℓ+1`)."""
        if not self.constants.all_whole(constant, index.span, "an index", -LARGEST_SIZE, LARGEST_SIZE):
            return None
        if constant.index is None:
            return Position(None, int(constant.values[0]) + index.offset)
        own = index.at or level_index(symbol.tag, constant.index, self.constants.is_per_level)
        if own is None:
            self.report_no_level(constant, index.span)
            return None
        at = self.position(own, symbol, bound)
        return None if at is None else Position(Lookup(constant, at), index.offset)

    def report_no_level(self, constant: Constant, span: Span) -> None:
        message = f"`{constant.name}` has one value for each `{constant.index}`, and nothing here says which"
        help = f"write it as in `{constant.name}@{constant.index}` or `{constant.name}@{constant.lower}`"
        self.problems.report(
            "E0207", message, span, f"at which `{constant.index}`?", help, Label(constant.span, "declared here")
        )

    def report_unbound(self, index: tree.Index, symbol: tree.Symbol) -> None:
        message = f"`{index.name}` has no value {f'in `{format_symbol(symbol)}`' if symbol.name else 'here'}"
        help = f"put `{index.name}` into the tag on the left side, or write a number for it"
        self.problems.report("E0206", message, index.span, "not in the tag on the left side", help)

    def head(self, symbol: tree.Symbol) -> tuple[str, ...] | None:
        """The index names of a declaration's head, `A@ℓ` or `ℬ@ℓ,i`; None when it was reported."""
        names: list[str] = []
        for index in symbol.tag:
            plain = index.name is not None and index.at is None and not index.offset
            if not plain or self.constants.names.is_constant(index.name or "") or index.name in names:
                help = f"give it a name without a tag, such as `{symbol.name}{index.offset}`, here and where it is used"
                if index.name is not None:
                    help = "write index names alone, each once, as in `A@ℓ` or `B@ℓ,i`"
                message = f"`{format_index(index)}` cannot appear in the head of a declaration"
                self.problems.report("E0208", message, index.span, "expected an index name", help)
                return None
            if self.constants.range(index.name or "", index.span) is None:
                return None
            names.append(index.name or "")
        return tuple(names)


def is_transfer(tag: tuple[tree.Index, ...]) -> bool:
    """Whether a head is that of a map from one level to the next: `R@ℓ,ℓ+1`, in LaTeX `R_\\ell^{\\ell+1}`."""
    if len(tag) != 2 or tag[0].name is None or tag[0].at is not None or tag[1].at is not None:
        return False
    return tag[0].name == tag[1].name and tag[1].offset == tag[0].offset + 1
