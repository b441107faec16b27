"""The tree of a spec: one record per form, each with the place where it stands.

Trees have no behaviour. Spans take no part in equality: two specs that say the same are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import ClassVar, Literal

from cldfc.diagnostics import Source, Span
from cldfc.record import record


def span_field() -> Span:
    """A span field: remembered, but not compared."""
    return field(compare=False, repr=False)  # pyright: ignore[reportReturnType]


# Expressions


@record
class Index:
    """One index of a tag: `2`, `ℓ`, `i-1`, `ν`, `ν@ℓ+1`, `ν@{ℓ}-1`, `2*k-1`, `{i/2}`. A plain integer has no name.

    It stands for (factor · name + offset) / divisor, in lowest terms.
    """

    name: str | None
    at: Index | None
    offset: int
    span: Span = span_field()
    factor: int = 1
    divisor: int = 1


@record
class Setting:
    """One number of a configuration, `3`, `stride=2`; or the channels of a value, `0..15`, which go up to `upper`."""

    name: str | None
    value: Expression
    span: Span = span_field()
    upper: Expression | None = None


@record
class Symbol:
    """A name, with its tag and its configuration if it has them: `σ`, `r@ℓ+1,0`, `maxpool[3, stride=2]`.

    That of a value are its channels: `x@ℓ[0..15]`.
    """

    name: str
    tag: tuple[Index, ...]
    span: Span = span_field()
    settings: tuple[Setting, ...] = ()


@record
class Adjoint:
    """`Aᵀ@ℓ`, the adjoint of what A@ℓ is in `A@ℓ *_2 x`. What the parser reads need not be a kernel."""

    kernel: Expression
    span: Span = span_field()


@record
class Number:
    value: int | float
    span: Span = span_field()


@record
class Star:
    """`K * x`, `K *_{2,1} x`, `K *_{s@ℓ} x`, `K *^2 x`, `2 * x`, and the operators `K * g`, `K *`.

    The stride is one for all axes, or one for each; what is written as a number is one.
    """

    left: Expression
    stride: int | Expression | tuple[int | Expression, ...]
    right: Expression | None
    span: Span = span_field()
    is_transposed: bool = False


@record
class Compose:
    """`g ∘ h` and `g ∘ x`."""

    outer: Expression
    inner: Expression
    span: Span = span_field()


@record
class Apply:
    """`g(x)`."""

    function: Expression
    argument: Expression
    span: Span = span_field()


@record
class ApplyToSeveral:
    """`S@ℓ(x, g)`: an operator with several operands, applied."""

    function: Expression
    arguments: tuple[Expression, ...]
    span: Span = span_field()


@record
class Argument:
    """`u` on the right of `let S@ℓ(u, f) = …`: what the operator is applied to, whatever else has that name."""

    name: str
    span: Span = span_field()


@record
class Sum:
    """`x + y - z`: the terms and the sign before each."""

    terms: tuple[Expression, ...]
    signs: tuple[Literal[1, -1], ...]
    span: Span = span_field()


@record
class Product:
    """`x ⊙ y`: the pointwise product."""

    factors: tuple[Expression, ...]
    span: Span = span_field()


@record
class Quotient:
    """`a / b`, of numbers."""

    numerator: Expression
    denominator: Expression
    span: Span = span_field()


@record
class Power:
    """`2^(ℓ-1)`, of numbers."""

    base: Expression
    exponent: Expression
    span: Span = span_field()


@record
class Pairing:
    """`⟨x, y⟩`: the inner product of two values, a number for each image."""

    left: Expression
    right: Expression
    span: Span = span_field()


@record
class Norm:
    """`‖x‖`: the root of ⟨x, x⟩."""

    inner: Expression
    span: Span = span_field()


Reducer = Literal["sum", "concat", "max", "min", "softmax"]


@record
class Reduction:
    """`sum(j = 0..i-1 : x@ℓ,j)`, `concat(j = 0..i-1 : x@ℓ,j)`, `max` and `min` likewise.

    `softmax(j = 0..i : a@i,j)` stands where j has a value, and is the weight of that term.
    """

    reducer: Reducer
    name: str
    lower: Expression
    upper: Expression
    body: Expression
    name_span: Span = span_field()
    span: Span = span_field()
    by: int = 1


@record
class Listing:
    """`concat(x, y)`, `sum(x, y)`, `max(x, y)`, `min(x, y)`."""

    reducer: Reducer
    members: tuple[Expression, ...]
    span: Span = span_field()


@record
class Fix:
    """`fix(u : relu(A@ℓ * u + f@ℓ), tol 1e-4, steps 50)`; `solve(u : A@ℓ * u = f@ℓ, by cg)`, which has a right side."""

    name: str
    body: Expression
    right: Expression | None
    settings: tuple[Setting, ...]
    name_span: Span = span_field()
    span: Span = span_field()

    @property
    def word(self) -> Literal["fix", "solve"]:
        return "fix" if self.right is None else "solve"

    def setting(self, name: str) -> Setting | None:
        return next((setting for setting in self.settings if setting.name == name), None)


Expression = (
    Symbol
    | Adjoint
    | Argument
    | Number
    | Star
    | Compose
    | Apply
    | ApplyToSeveral
    | Sum
    | Product
    | Pairing
    | Norm
    | Quotient
    | Power
    | Reduction
    | Listing
    | Fix
)


# Statements: each has an example for every word that starts it, from which the table of keywords is made.


@record
class Version:
    """`cldf 1`: the version of the language in which a spec is written."""

    examples: ClassVar = ("cldf 1",)
    number: str
    span: Span = span_field()


@record
class Model:
    """`model NAME`."""

    examples: ClassVar = ("model PreActResNet18",)
    name: str
    span: Span = span_field()


@record
class Extend:
    """`extend "other.cldf"`."""

    examples: ClassVar = ('extend "preact18_Al"',)
    path: str
    span: Span = span_field()


@record
class Range:
    """`levels ℓ = 1..J`, `steps i = 1..ν`, `steps k = 1..9 by 2`, `levels ℓ = J..1 by -1`: from `lower` on."""

    examples: ClassVar = ("levels ℓ = 1..J", "steps i = 1..ν")
    kind: Literal["levels", "steps"]
    name: str
    lower: Expression
    upper: Expression
    name_span: Span = span_field()
    span: Span = span_field()
    by: int = 1


@record
class Clause:
    """What `for` says of one index: `i = 1..ν`, `k = 9..1 by -2`, `i >= 1`; an open end is None."""

    name: str
    lower: Expression | None
    upper: Expression | None
    name_span: Span = span_field()
    span: Span = span_field()
    by: int = 1


@record
class Let:
    """`let x = 3`, `let c@ℓ = 64, 128`, `let σ = relu ∘ bn`, `let S@ℓ(u, f) = u + B@ℓ * (f - A@ℓ * u)`.

    Several declarations of one name are one family: `let M@J = S@J` beside `let M@ℓ = …`, also `for ℓ = 1..J-1`.
    """

    examples: ClassVar = ("let σ = relu ∘ bn", "let ν@ℓ = 2, 1, 1, 1")
    symbol: Symbol
    values: tuple[Expression, ...]
    span: Span = span_field()
    clauses: tuple[Clause, ...] = ()
    arguments: tuple[Argument, ...] = ()


@record
class InputStatement:
    """`input f : C × H × W`; `input f@ℓ : 1 × H@ℓ × W@ℓ`, one for each value of an index, perhaps with its range.

    A signal is `1 × N`, a volume `1 × D × H × W`; `3 numbers` is a vector for each image, `1 number` a number.
    """

    examples: ClassVar = ("input f : 3 × 32 × 32",)
    symbol: Symbol
    shape: tuple[Expression, ...]
    span: Span = span_field()
    clauses: tuple[Clause, ...] = ()

    @property
    def name(self) -> str:
        return self.symbol.name


@record
class Output:
    """`output h : n`, scores of n classes; `output y : 3 numbers`, `1 number`; `output u : 1 × H × W`, a map."""

    examples: ClassVar = ("output h : 10",)
    name: str
    shape: tuple[Expression, ...]
    is_scores: bool
    name_span: Span = span_field()
    span: Span = span_field()


@record
class Stencil:
    """`1/16 * [1 2 1; 2 4 2; 1 2 1]`, `laplace5`: the numbers of a kernel row by row, or their name, and a factor.

    Rows that follow `;;` are those of the next plane.
    """

    planes: tuple[tuple[tuple[Expression, ...], ...], ...]
    name: str | None
    factor: Expression | None
    span: Span = span_field()


StartName = Literal["he", "he_out", "torch", "zero", "identity", "orthogonal", "normal"]
Boundary = Literal["valid", "same", "circular", "reflect", "replicate"]
"""How a map is padded where a kernel reaches beyond it: not at all, with zeros, or with values of the map itself."""
KernelRule = Literal["shared", "zero_sum", "symmetric", "unit_norm"]
"""What training keeps of a kernel."""


@record
class KernelStatement:
    """`kernel K@tag : 3×3 → c@ℓ`, or `3×3, cin → cout`; then `groups 2`, `dilation 2`, `padding 2,0`, `bias`.

    There is a size for each axis: `3` for signals, `3×3×3` for volumes. `padding` has one number, or one for each axis;
    by default it is (k-1)/2 · dilation. `each` in place of channels makes a kernel for each channel by itself;
    `channels_out` is then 1, the number of filters for each. `rules` are in the order of `KernelRule`, however they are
    written.
    """

    examples: ClassVar = ("kernel A@ℓ : 3×3 → c@ℓ",)
    symbol: Symbol
    sizes: tuple[Expression, ...]
    channels_in: Expression | None
    channels_out: Expression
    span: Span = span_field()
    groups: Expression | None = None
    dilation: Expression | None = None
    has_bias: bool = False
    padding: tuple[Expression, ...] = ()
    boundary: Boundary | None = None
    is_each: bool = False
    start: StartName | None = None
    start_number: Expression | None = None
    stencil: Stencil | None = None
    is_fixed: bool = False
    clauses: tuple[Clause, ...] = ()
    rules: tuple[KernelRule, ...] = ()

    @property
    def size_span(self) -> Span:
        return self.sizes[0].span.to(self.sizes[-1].span)


@record
class Scalar:
    """`scalar ω@ℓ = 1.0`, trainable, or one value for each level; with `fixed` a constant.

    `vector γ@ℓ : c@ℓ = 1e-6` has one number for each of so many channels.
    """

    examples: ClassVar = ("scalar ω@ℓ = 1.0", "vector γ@ℓ : c@ℓ = 1e-6")
    symbol: Symbol
    values: tuple[Expression, ...]
    is_fixed: bool
    span: Span = span_field()
    channels: Expression | None = None
    clauses: tuple[Clause, ...] = ()


@record
class Tie:
    """`tie A@ℓ`, `tie B@ℓ for i >= 1`."""

    examples: ClassVar = ("tie A@ℓ", "tie B@ℓ for i >= 1")
    symbol: Symbol
    clauses: tuple[Clause, ...]
    span: Span = span_field()


@record
class Rename:
    """`rename bn_r@ℓ,i → bn_f@ℓ,i`: another name for a parameter that is named after its place."""

    examples: ClassVar = ("rename bn_r@ℓ,i → bn_f@ℓ,i",)
    old: Symbol
    new: Symbol
    span: Span = span_field()


@record
class Constrain:
    """`constrain u >= 0`."""

    examples: ClassVar = ("constrain u >= 0",)
    symbol: Symbol
    bound: Number
    span: Span = span_field()


@record
class Expect:
    """`expect params = 8_038_858`."""

    examples: ClassVar = ("expect params = 8_038_858",)
    quantity: str
    number: Number
    name_span: Span = span_field()
    span: Span = span_field()


@record
class Equation:
    """`r@ℓ,i = …`, perhaps with its range: `for i = 1..ν`."""

    left: Symbol
    right: Expression
    span: Span = span_field()
    clauses: tuple[Clause, ...] = ()


Statement = (
    Version
    | Model
    | Extend
    | Range
    | Let
    | InputStatement
    | Output
    | KernelStatement
    | Scalar
    | Tie
    | Rename
    | Constrain
    | Expect
    | Equation
)


@record
class Likeness:
    """A statement that was read as an earlier one with other names in place of some, so many characters further on."""

    statement: Statement
    first: Statement
    place_of_first: Span
    names_of_first: tuple[str, ...]
    names: tuple[str, ...]
    by: int


@record
class Tree:
    statements: tuple[Statement, ...]
    source: Source = field(compare=False, repr=False)
    likenesses: Mapping[int, Likeness] = field(default_factory=dict[int, Likeness], compare=False, repr=False)
    """By the identity of the statements, as far as they are known and still what was read."""

    def likeness(self, statement: Statement) -> Likeness | None:
        found = self.likenesses.get(id(statement))
        return found if found is not None and found.statement is statement else None
