"""The ends of a network: its inputs and outputs, and the sizes that they leave open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from cldfc.diagnostics import Label, Problems, UsageError, shape_text
from cldfc.network.constants import Constants, Tags
from cldfc.network.declarations import resolve_clause
from cldfc.network.names import Kind, Names
from cldfc.network.numbers import report_unfit
from cldfc.network.positions import LARGEST_SIZE, LONGEST_RANGE, IndexRange, Key
from cldfc.network.program import InputFamily, OutputValue
from cldfc.ops.size import OpenShape, OpenSize, Size, fill
from cldfc.syntax import tree
from cldfc.syntax.walk import mentions

GivenShape = tuple[int, ...]
"""Channels, and a size for each axis."""


@dataclass(frozen=True)
class Ends:
    """Resolves the ends of a spec; what is wrong is reported."""

    names: Names
    tags: Tags
    taken: set[str] = field(default_factory=set[str])
    """Names of sizes that mean something else, too; these were reported."""

    @property
    def constants(self) -> Constants:
        return self.tags.constants

    @property
    def problems(self) -> Problems:
        return self.names.problems

    def inputs(self) -> list[InputFamily]:
        """The inputs, except wrong ones, which are reported."""
        statements = [s for s in self.names.inputs.values() if not self.report_dimension(s, s.name, "input")]
        found = [self.input(statement) for statement in statements]
        return [family for family in found if family is not None]

    def report_dimension(self, statement: tree.InputStatement | tree.Output, name: str, word: str) -> bool:
        """Whether an end has another dimension than the network, which is reported."""
        dimension = len(statement.shape) - 1
        if dimension in (0, self.names.dimension):
            return False
        place = statement.shape[0].span.to(statement.shape[-1].span)
        if dimension > 3:
            message, help = f"the {word} `{name}` has {dimension} axes beside its channels", "there may be three"
            self.problems.report("E0414", message, place, "too many axes", f"{help}: `1 × D × H × W`")
        else:
            sizes = " × ".join(["1", *("N", "H W", "D H W")[self.names.dimension - 1].split()])
            help = f"one network has one dimension, except behind `flatten` and the pooling of whole maps: `{sizes}`"
            self.names.report_dimension(f"the {word} `{name}` is", dimension, place, help)
        return True

    def input(self, statement: tree.InputStatement) -> InputFamily | None:
        indices = self.indices(statement)
        if indices is None:
            return None
        kind, values = indices
        shapes: dict[Key, OpenShape] = {}
        for at in values:
            binding = {} if at is None else {statement.symbol.tag[0].name or "": at}
            sizes = [
                self.size(size, statement.symbol.tag, binding, place > 0) for place, size in enumerate(statement.shape)
            ]
            known = tuple(size for size in sizes if size is not None)
            if len(known) < len(sizes):
                return None
            shapes[statement.name, () if at is None else (at,)] = known
        if {*shapes.values()} == {(1,)}:
            shapes = dict.fromkeys(shapes, ())
        if kind == "steps" and len(set(shapes.values())) > 1:
            message = f"`{statement.name}` is a sequence, one tensor, so its members have one shape"
            help = "let the sizes not depend on the index; an input over `levels` is a list of maps of any sizes"
            span = statement.shape[0].span.to(statement.shape[-1].span)
            return self.problems.report("E0413", message, span, "sizes that differ", help)
        return InputFamily(statement, kind, shapes)

    def indices(self, statement: tree.InputStatement) -> tuple[str, Sequence[int | None]] | None:
        """`levels` or `steps` and the values of the index, `""` and one None for a single input; None: it is wrong."""
        tag = statement.symbol.tag
        if not tag and not statement.clauses:
            return "", (None,)
        index = tag[0] if tag else None
        if index is None or len(tag) > 1 or index.name is None or index.offset or index.at or statement.symbol.settings:
            message = f"`{statement.symbol.span.text}` is not a family of inputs: it needs exactly one index"
            help = (
                "write `input f@ℓ : …`, with an index of `levels` or `steps`, or with `for t = 1..8` behind the sizes"
            )
            return self.problems.report("E0413", message, statement.symbol.span, "one index here", help)
        if statement.clauses:
            range = resolve_clause(statement.clauses[0], frozenset({index.name}), (), self.tags.constants)
            declared = self.names.declared.get(index.name)
            kind = declared.kind if isinstance(declared, tree.Range) else "steps"
        else:
            range = self.constants.range(index.name, index.span)
            kind = range.kind if range is not None else ""
        return None if range is None else self.values(statement, range, kind)

    def values(self, statement: tree.InputStatement, range: IndexRange, kind: str) -> tuple[str, Sequence[int]] | None:
        lower, upper = range.lower, range.upper
        ends = [end.offset for end in (lower, upper) if end is not None and end.base is None]
        if len(statement.clauses) > 1 or len(ends) < 2 or not 0 < len(range.values({}, None)) <= LONGEST_RANGE:
            message = f"`{statement.symbol.span.text}` needs a range with two ends that are numbers"
            help = "write it behind the sizes: `input f@t : 3 × 32 × 32 for t = 1..8`"
            return self.problems.report("E0413", message, statement.symbol.span, "over which values?", help)
        return kind, [*range.values({}, None)]

    def outputs(self) -> list[OutputValue]:
        """The outputs, except wrong ones, which are reported; their sizes may be open ones of the inputs."""
        found: list[OutputValue] = []
        for statement in self.names.outputs.values():
            if self.report_dimension(statement, statement.name, "output"):
                continue
            is_map = len(statement.shape) > 1
            role = "a number of classes" if statement.is_scores else "a size of the output"
            sizes = [self.size(size, (), {}, is_map and at > 0, role) for at, size in enumerate(statement.shape)]
            known = tuple(size for size in sizes if size is not None)
            if len(known) == len(sizes):
                found.append(OutputValue(statement.name, known, statement.is_scores, statement.name_span))
        return found

    # Sizes

    def size(
        self,
        expression: tree.Expression,
        tag: tuple[tree.Index, ...],
        binding: dict[str, int],
        may_be_open: bool,
        role: str = "a size of the input",
    ) -> Size | None:
        """A size at a value of the input's index; None when it was reported."""
        size = self.part(expression, tag, binding, may_be_open)
        if size is None:
            return None
        if isinstance(size, OpenSize):
            if size.constant.denominator > 1:
                message = f"`{expression.span.text}` is not a whole number for all whole numbers"
                help = "write it over a whole number, as in `2*N - 1` for an odd size"
                return self.problems.report("E0412", message, expression.span, "not a whole number", help)
            return size
        if size.denominator > 1 or not 1 <= size <= LARGEST_SIZE:
            number = int(size) if size.denominator == 1 else float(size)
            report_unfit(self.problems, number, expression.span, role, 1, LARGEST_SIZE)
            return None
        return int(size)

    def part(
        self, expression: tree.Expression, tag: tuple[tree.Index, ...], binding: dict[str, int], may_be_open: bool
    ) -> OpenSize | Fraction | None:
        if may_be_open and isinstance(expression, tree.Symbol):
            kind = self.names.kind(expression)
            if kind in (Kind.KERNEL, Kind.OPERATOR, Kind.VALUE):
                return self.report_taken(expression, kind)
        if not any(found.name in self.names.open for found in mentions(expression)):
            formula = self.constants.formula(expression, frozenset(binding), tag)
            value = None if formula is None else self.constants.value(formula, dict(binding), expression.span)
            return None if value is None else Fraction(value).limit_denominator(LARGEST_SIZE)
        if not may_be_open:
            name = next(found.name for found in mentions(expression) if found.name in self.names.open)
            message = (
                f"`{name}` is open, but only the sizes of a map can be, not its channels or the length of a vector"
            )
            help = f"declare it: `let {name} = 4`"
            return self.problems.report("E0412", message, expression.span, "a number is needed", help)
        match expression:
            case tree.Symbol(name, own):
                return self.named(name, own, binding)
            case tree.Sum(terms, signs):
                parts = [self.part(term, tag, binding, True) for term in terms]
                signed = [None if part is None else _times(part, sign) for part, sign in zip(parts, signs, strict=True)]
                return None if None in signed else _total([part for part in signed if part is not None])
            case tree.Star(left, 1, right, _, False) if right is not None:
                one, other = self.part(left, tag, binding, True), self.part(right, tag, binding, True)
                if one is None or other is None:
                    return None
                if not (isinstance(one, OpenSize) and isinstance(other, OpenSize)):
                    return _times(one, other) if isinstance(other, Fraction) else _times(other, one)
            case tree.Quotient(above, below):
                one, other = self.part(above, tag, binding, True), self.part(below, tag, binding, True)
                if one is None or other is None:
                    return None
                if isinstance(other, Fraction) and other:
                    return _times(one, 1 / other)
            case _:
                pass
        message = f"`{expression.span.text}` is not a formula for an open size"
        help = "write sums and multiples of its name: `2*N - 1`, `H/2`"
        return self.problems.report("E0412", message, expression.span, "not a sum of multiples", help)

    def report_taken(self, symbol: tree.Symbol, kind: Kind) -> None:
        """Report, once, a size that is called like something else."""
        if symbol.name not in self.taken:
            self.taken.add(symbol.name)
            message = f"`{symbol.name}` is {kind.value}, so that no size can have this name"
            help = "call an open size by a name that nothing else has, as in `1 × N × M`"
            is_own = symbol.name in self.names.declared or self.names.arities(symbol.name)
            others = [Label(self.names.head_of(symbol.name)[0].span, "declared here")] if is_own else []
            self.problems.report("E0412", message, symbol.span, "a number or an open size is needed", help, *others)

    def named(self, name: str, tag: tuple[tree.Index, ...], binding: Mapping[str, int]) -> OpenSize | None:
        positions = [index.offset + binding.get(index.name or "", 0) for index in tag]
        unbound = next((index for index in tag if index.name is not None and index.name not in binding), None)
        if unbound is not None:
            return self.names.report_no_index(unbound.name or "", unbound.span)
        return OpenSize.named(f"{name}@{','.join(map(str, positions))}" if tag else name)


def _times(size: OpenSize | Fraction, factor: Fraction | int | OpenSize) -> OpenSize | Fraction:
    """A multiple of a size; zero times an open one is not open."""
    if isinstance(size, Fraction):
        return _times(factor, size) if isinstance(factor, OpenSize) else size * factor
    assert not isinstance(factor, OpenSize)
    terms = tuple((name, one * factor) for name, one in size.terms if factor)
    return OpenSize(terms, size.constant * factor) if terms else size.constant * factor


def _total(parts: Sequence[OpenSize | Fraction]) -> OpenSize | Fraction:
    terms: dict[str, Fraction] = {}
    constant = Fraction(0)
    for part in parts:
        if isinstance(part, Fraction):
            constant += part
            continue
        constant += part.constant
        for name, factor in part.terms:
            terms[name] = terms.get(name, Fraction(0)) + factor
    left = tuple(sorted((name, factor) for name, factor in terms.items() if factor))
    return OpenSize(left, constant) if left else constant


def with_classes(outputs: list[OutputValue], classes: int | None) -> list[OutputValue]:
    """The outputs for another number of classes. Raises UsageError if none of them is scores."""
    if classes is None:
        return outputs
    at = next((at for at, output in enumerate(outputs) if output.is_scores), None)
    if at is None:
        help = "leave `--classes` out; `output h : 10` gives scores of classes"
        raise UsageError(f"the output `{outputs[0].name}` is not a vector of scores", help)
    return [*outputs[:at], replace(outputs[at], shape=(classes,)), *outputs[at + 1 :]]


# Stated sizes


def state_sizes(
    inputs: Sequence[InputFamily], outputs: Sequence[OutputValue], given: Mapping[str, GivenShape]
) -> tuple[list[InputFamily], list[OutputValue]]:
    """Inputs and outputs with the shapes that the command line states for some inputs, by their names.

    A number that a stated shape gives to an open size holds wherever that size stands. `""` means the only input.
    Raises UsageError.
    """
    known = {family.name: family for family in inputs}
    if "" in given and len(inputs) > 1:
        help = f"say which: `--input {inputs[0].name}={'x'.join(map(str, given['']))}`"
        raise UsageError(f"the network has the inputs {', '.join(f'`{name}`' for name in known)}", help)
    stated = {name or inputs[0].name: shape for name, shape in given.items()}
    values: dict[str, int] = {}
    for name, shape in stated.items():
        if name not in known:
            raise UsageError(f"there is no input `{name}`", f"the network has {', '.join(f'`{n}`' for n in known)}")
        _read_names(known[name], shape, values)
    found: list[InputFamily] = []
    for family in inputs:
        shapes = {key: _filled(shape, values, family.name) for key, shape in family.shapes.items()}
        if family.name in stated and family.kind != "levels":
            shapes = dict.fromkeys(shapes, tuple[Size, ...](() if stated[family.name] == (1,) else stated[family.name]))
        elif family.name in stated and family.given_shapes[0] != stated[family.name]:
            help = "change its sizes by `--let`"
            raise UsageError(f"`{family.name}` is a family of inputs, and its shapes are numbers", help)
        found.append(replace(family, shapes=shapes))
    return found, [replace(output, shape=_filled(output.shape, values, output.name)) for output in outputs]


def _read_names(family: InputFamily, shape: GivenShape, values: dict[str, int]) -> None:
    """Enter the numbers that a stated shape gives to open sizes. Raises UsageError."""
    own = family.given_shapes[0]
    if len(own) != len(shape):
        stated = "x".join(map(str, shape))
        help = f"state {len(own)} numbers: channels, and {len(own) - 1} for the sizes of a map"
        help = help if family.is_map else f"state how many numbers it is: `--input {family.name}=3`"
        raise UsageError(f"`{stated}` is not a valid shape for `{family.name}`, which is {shape_text(own)}", help)
    for size, number in zip(own, shape, strict=True):
        if not isinstance(size, OpenSize):
            continue
        if len(size.names) > 1:
            raise UsageError(f"`{family.name}` with its size {size} cannot be stated", "change the spec instead")
        (name, factor) = next(iter(size.terms))
        value = (number - size.constant) / factor
        if value.denominator > 1 or value < 1:
            raise UsageError(
                f"{number} is not a valid value of {size}", f"state {name} by another size of `{family.name}`"
            )
        if values.setdefault(name, int(value)) != value:
            message = f"{name} is {values[name]}, and {int(value)} in {shape_text(shape)} of `{family.name}`"
            raise UsageError(message, "state sizes that agree")


def _filled(shape: OpenShape, values: Mapping[str, int], name: str) -> OpenShape:
    sizes = tuple(fill(size, values) for size in shape)
    for size in sizes:
        if (isinstance(size, OpenSize) and size.constant.denominator > 1) or not isinstance(size, OpenSize | int):
            stated = ", ".join(f"{name} = {value}" for name, value in values.items())
            raise UsageError(f"{stated} gives `{name}` no whole size", "state sizes that divide")
    return tuple(size for size in sizes if not isinstance(size, Fraction))
