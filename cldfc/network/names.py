"""The declarations of a spec by name, and what to write instead of an unknown name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from itertools import takewhile

from cldfc.diagnostics import Label, Problems, Span, clipped
from cldfc.network.positions import FUNCTIONS
from cldfc.ops import BUILTINS
from cldfc.syntax import tree
from cldfc.syntax.format import CHAIN, Formatter, format_expression, format_index, format_symbol
from cldfc.syntax.helps import (
    HELP_FOR_ADJOINTS,
    HELP_FOR_FUNCTIONS,
    HELP_FOR_INVERSES,
    HELP_FOR_PARAMETERS,
    help_for_attribute,
)
from cldfc.syntax.side_by_side import Multiples
from cldfc.syntax.spelling import NAME, suggest
from cldfc.syntax.walk import mentions_argument


class Kind(Enum):
    """What an expression is, or should be; the value is what a message calls it."""

    KERNEL = "a kernel"
    SCALAR = "a scalar"
    VECTOR = "a vector"
    PARAMETER = "a kernel or scalar"
    OPERATOR = "an operator"
    VALUE = "a value"
    NUMBER = "a number"
    INDEX = "an index"
    QUOTIENT = "a quotient"
    POWER = "a power"
    SUM_OF_KERNELS = "a sum of kernels"


# What other libraries call operators, without a final `2d`, `1d` or `3d`.
_CALLED_ELSEWHERE = {
    "batchnorm": "did you mean `bn`?",
    "batch_norm": "did you mean `bn`?",
    "groupnorm": "did you mean `gn`?",
    "layernorm": "did you mean `ln`?",
    "instancenorm": "did you mean `inorm`?",
    "localresponsenorm": "did you mean `lrn`?",
    "drop_path": "did you mean `droppath`?",
    "stochasticdepth": "did you mean `droppath`?",
    "leakyrelu": "did you mean `leaky_relu`?",
    "swish": "did you mean `silu`?",
    "hardswish": "did you mean `hard_swish`?",
    "hardsigmoid": "did you mean `hard_sigmoid`?",
    "adaptiveavgpool": "did you mean `avgpool`?",
    "gap": "did you mean `avgpool`?",
    "fc": "did you mean `linear`?",
    "dense": "did you mean `linear`?",
    "conv": "declare a kernel, `kernel K : 3×3 → 64`, and convolve with it: `K * x`",
    "o": "did you mean `∘`, or `.` in ASCII?",
    "i": "did you mean `identity`?",
    "id": "did you mean `identity`?",
    "soft": "did you mean `soft_threshold`?",
    "shrink": "did you mean `soft_threshold`?",
    "interpolate": "did you mean `upsample`?",
    "bilinear": "did you mean `upsample[2, bilinear]`?",
    "cat": "did you mean `concat`?",
    "zeropad": "did you mean `pad`?",
    "pixelshuffle": "did you mean `depth_to_space`?",
    "pixel_shuffle": "did you mean `depth_to_space`?",
    "pixelunshuffle": "did you mean `space_to_depth`?",
    "pixel_unshuffle": "did you mean `space_to_depth`?",
    "channelshuffle": "did you mean `shuffle`?",
    "channel_shuffle": "did you mean `shuffle`?",
    "prox": "write a proximal map out, as in `soft_threshold[0.1](x)`",
    **dict.fromkeys(
        "attention matmul embedding lstm gru rnn while".split(),
        "it is not part of the language: networks are maps on grids",
    ),
    **dict.fromkeys(
        "fft ifft dct".split(), "there is no Fourier transform: write a convolution with a kernel, `K * x`"
    ),
    "Δ": "call a step size by one name, `τ`; a Laplacian is a kernel: `kernel L : 3×3, 1 → 1 = laplace5 fixed`",
    "max_with": "say with what: `max_with[0.1]` is an operator, `max_with(x, y)` the larger of two values",
    "diag": "write the pointwise product with a vector or a value: `θ ⊙ x`",
    "clip": "write both bounds: `max(min(x, 1), 0)`",
    "clamp": "write both bounds: `max(min(x, 1), 0)`",
    "maximum": "did you mean `max(x, y)`?",
    "minimum": "did you mean `min(x, y)`?",
    **dict.fromkeys("sign sgn mean".split(), HELP_FOR_FUNCTIONS),
    "norm": "write the norm of a value as `‖x‖`, in ASCII `||x||`",
}

_STARS_IN_TAGS = "in a tag, `2*k` is twice an index; for a product, write spaces around the star"
_RAISED = re.compile(r"\^[^(^]*$")
_INVERSE = re.compile(r"\^ *\{? *- *1 *\}?$")
_STAR_IN_TAG = re.compile(r"([^*]*@[^*{}]*[0-9])\*([^*]+)")

# `§` stands for the expression; by what it is and what it should be.
_HELP_FOR_KINDS: Mapping[tuple[Kind | None, Kind], str] = {
    (Kind.KERNEL, Kind.VALUE): "convolve with it: `§ * …`",
    (Kind.KERNEL, Kind.OPERATOR): "write `*` after a kernel: `§ * …`",
    (Kind.OPERATOR, Kind.VALUE): "apply it: `§(…)`",
    (Kind.OPERATOR, Kind.KERNEL): "apply an operator with `∘`: `§ ∘ …`",
    (Kind.VALUE, Kind.OPERATOR): "write an operator before `∘` or a parenthesis, and `⊙` between two values",
    (Kind.VALUE, Kind.KERNEL): "write the kernel before its operand, `A@ℓ * …`, and `⊙` between two values: `§ ⊙ …`",
    (Kind.SUM_OF_KERNELS, Kind.KERNEL): "convolve with each of them, and add: `A * x + B * x`",
    (Kind.INDEX, Kind.VALUE): "indices stand in tags and in numbers: `u@§`, `2^§ * …`",
    (Kind.NUMBER, Kind.VALUE): "a number is a factor or a term: `§ * …`, `§ + …`",
}
_HELP_FOR_NO_ADJOINT: Mapping[Kind | None, str] = {
    Kind.VALUE: "a name has no prime: write another one, such as `x1`",
    Kind.OPERATOR: "write the adjoints of its kernels in reverse order: that of `A * B *` is `Bᵀ * Aᵀ *`",
    Kind.SUM_OF_KERNELS: "add up the adjoints: `Aᵀ * x + Bᵀ * x`",
}
_HELP_FOR_EXPECTED = {
    Kind.VALUE: "write a value such as `u@ℓ,i-1`, or `0`",
    Kind.OPERATOR: "write an operator such as `relu`, or `A@ℓ *`",
    Kind.KERNEL: "write a declared kernel before `*`, or a number or scalar: `A@ℓ * …`",
    Kind.PARAMETER: "write the name of a declared kernel or scalar, as in `tie A@ℓ`",
    Kind.NUMBER: "write a number, or the name of a constant: `let J = 4`",
}


def _declaration_of(symbol: tree.Symbol, expected: Kind) -> str:
    names = [index.name for index in symbol.tag if index.name is not None]
    head = symbol.name + (f"@{','.join(names)}" if len(names) == len(symbol.tag) > 0 else "")
    match expected:
        case Kind.KERNEL | Kind.PARAMETER:
            return f"declare it: `kernel {head} : 3×3 → 64`"
        case Kind.OPERATOR:
            kernel = f"`kernel {head} : 3×3 → 64`, and write `{head} * …`"
            return f"declare it: {kernel}; or, as an operator, `let {head} = relu ∘ bn`"
        case Kind.NUMBER:
            return f"declare it: `let {head} = 4`"
        case _:
            return f"write an equation for it: `{format_symbol(symbol)} = …`"


def _cut_to_head(symbol: tree.Symbol, head: tree.Symbol) -> tree.Symbol:
    """A symbol with too many indices, cut to those that its head names, or to its first ones."""
    names = [index.name for index in head.tag]
    kept = tuple(index for index in symbol.tag if index.name in names)
    tag = kept if len(kept) == len(names) else symbol.tag[: len(names)]
    return tree.Symbol(symbol.name, tag, symbol.span)


def indices_in_words(symbol: tree.Symbol) -> str:
    """`no index`, `one index`, `two indices`."""
    return count_in_words(len(symbol.tag), "index", "indices")


def count_in_words(count: int, one: str, more: str = "") -> str:
    """`no operand`, `one operand`, `two operands`."""
    words = ("no", "one", "two", "three")
    return f"{words[count] if count < len(words) else count} {one if count < 2 else more or one + 's'}"


_NEXT_NAME = re.compile(rf"(?:\s|\\[,;:! ])*(?:(?:∘|\.|\\circ)\s*)?({NAME})")

TaggedStatement = tree.Let | tree.KernelStatement | tree.Scalar
"""What may declare one name several times, for different tags."""
DeclaringStatement = TaggedStatement | tree.Range | tree.InputStatement
Family = tuple[str, int]
NUMBERS = (Kind.NUMBER, Kind.INDEX)
TRAINED = (Kind.SCALAR, Kind.VECTOR)
FACTORS = (*NUMBERS, *TRAINED)
_MOST_SUGGESTIONS = 20
_GRIDS = {1: "signals (1-D)", 2: "images (2-D)", 3: "volumes (3-D)"}
_LONGEST_QUOTE = 40


@dataclass
class Names:
    """Declarations by name, and equations by name and number of indices."""

    problems: Problems
    model: tree.Model | None = None
    outputs: dict[str, tree.Output] = field(default_factory=dict[str, tree.Output])
    inputs: dict[str, tree.InputStatement] = field(default_factory=dict[str, tree.InputStatement])
    declared: dict[str, DeclaringStatement] = field(default_factory=dict[str, DeclaringStatement])
    multiples: Multiples = field(default_factory=lambda: Multiples(set()))
    """What is made of numbers, scalars and inner products."""
    members: dict[str, list[TaggedStatement]] = field(default_factory=dict[str, "list[TaggedStatement]"])
    """All declarations of a name that has several, or one for some tags alone; `declared` has the most general one."""
    open: dict[str, Span] = field(default_factory=dict[str, Span])
    """Sizes that inputs leave open, and where their names stand first."""
    families: dict[Family, list[tree.Equation]] = field(default_factory=dict[Family, list[tree.Equation]])
    kinds: dict[str, Kind | None] = field(default_factory=dict[str, "Kind | None"])
    recursive: set[str] = field(default_factory=set[str])
    """The operators that are defined by themselves, at other indices."""
    misused: set[Family] = field(default_factory=set[Family])
    by_name: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    unknowns: set[str] = field(default_factory=set[str])
    """What `fix` and `solve` call the value that they look for."""
    ties: list[tree.Tie] = field(default_factory=list[tree.Tie])
    renames: list[tree.Rename] = field(default_factory=list[tree.Rename])
    constraints: list[tree.Constrain] = field(default_factory=list[tree.Constrain])

    @cached_property
    def dimension(self) -> int:
        """That of the first input that is a map: 1 for signals, 2 for images, 3 for volumes."""
        return min(3, len(self.maps[0].shape) - 1) if self.maps else 2

    @property
    def maps(self) -> list[tree.InputStatement]:
        """The inputs that are maps, not numbers."""
        return [statement for statement in self.inputs.values() if len(statement.shape) > 1]

    def report_dimension(self, what: str, dimension: int, span: Span, help: str) -> None:
        """Report something of another dimension than the network has."""
        here, network = _GRIDS.get(dimension, f"{dimension} dimensions"), _GRIDS[self.dimension]
        message, labels = f"{what} for {here}, but the network is for {network}", list[Label]()
        for first in self.maps[:1]:
            message = f"{message}, as its input `{first.name}` says"
            labels = [Label(first.shape[0].span.to(first.shape[-1].span), f"{network} here")]
        self.problems.report("E0414", message, span, here, help, *labels)

    def arities(self, name: str) -> list[int]:
        return self.by_name.get(name, [])

    def statements_of(self, name: str) -> list[DeclaringStatement]:
        """All declarations of a name."""
        return [*self.members.get(name, ())] or [self.declared[name]]

    def is_value(self, symbol: tree.Symbol) -> bool:
        given = self.inputs.get(symbol.name)
        return (given is not None and len(given.symbol.tag) == len(symbol.tag)) or (
            symbol.name,
            len(symbol.tag),
        ) in self.families

    def all_of(self, kind: Kind) -> list[str]:
        """Every name of a kind; none once so much is wrong that looking for near ones would take long."""
        if len(self.problems.found) > _MOST_SUGGESTIONS:
            return []
        names = [*self.declared, *(name for name, _ in self.families), *BUILTINS]
        kinds = (Kind.KERNEL, *TRAINED) if kind == Kind.PARAMETER else (kind,)
        return [name for name in names if self.kind_of_symbol(name) in kinds]

    # Errors

    def report_unknown(self, symbol: tree.Symbol, expected: Kind) -> None:
        """Report, once, a name that nothing declares, where `expected` is needed; or a wrong number of indices."""
        name = symbol.name
        if self.arities(name) or name in self.declared:
            self.report_arity(symbol)
        elif not self.inputs and expected == Kind.VALUE and not symbol.tag:
            self.problems.broken.add(name)  # perhaps the input, which is reported as missing
        elif not any(self.problems.explain(part) for part in (name, *name.rpartition("_")[::2])):
            tagged = None if symbol.tag else self.tagged(name)
            help = self.side_by_side(name, symbol) or _declaration_of(symbol, expected)
            if self.is_adjoint(symbol):
                help = HELP_FOR_ADJOINTS
            elif _INVERSE.search(symbol.span.text):
                help = HELP_FOR_INVERSES
            elif self.has_parameter(symbol):
                help = HELP_FOR_PARAMETERS
            help = suggest(name, self.all_of(expected), help)
            if expected == Kind.NUMBER:
                help = help_for_attribute(name) or help
            plain = name.lower().removesuffix("1d").removesuffix("2d").removesuffix("3d")
            known = _CALLED_ELSEWHERE.get(name) or _CALLED_ELSEWHERE.get(plain)
            if known and (expected == Kind.OPERATOR or name in ("I", "Id", "o", "max_with")):
                help = known
            help = f"did you mean `{tagged}`? an index is written after `@`" if tagged else help
            if name in self.open:
                help = f"`{name}` is a size that an input leaves open, not a number; declare one: `let {name} = 64`"
            shown = clipped(name, _LONGEST_QUOTE)
            self.problems.report(
                "E0201", f"undefined name `{shown}`", symbol.span, "unknown name", help.replace(name, shown)
            )
            self.problems.broken.add(name)

    def can_be_index(self, name: str) -> bool:
        """Whether a name is an index or a constant, or will be once an error is mended."""
        return isinstance(self.declared.get(name), tree.Range) or self.is_constant(name) or len(name) == 1

    def has_parameter(self, symbol: tree.Symbol) -> bool:
        """Whether a tag holds something other than an index, as in `S_θ`."""
        return any(index.name is not None and not self.can_be_index(index.name) for index in symbol.tag)

    def is_adjoint(self, symbol: tree.Symbol) -> bool:
        """Whether a tag is LaTeX's sign for the adjoint, `A^T`."""
        return any(index.name in ("T", "H") and index.name not in self.declared for index in symbol.tag)

    def side_by_side(self, name: str, symbol: tree.Symbol) -> str | None:
        """The help for `Wz`, where W and z are known: LaTeX sets them side by side."""
        for at in range(1, min(len(name), _LONGEST_QUOTE)):
            first, second = name[:at], name[at:]
            kind = self.kind_of_symbol(first)
            is_left = kind in (Kind.KERNEL, *TRAINED, Kind.NUMBER, Kind.OPERATOR)
            # `AA` for `A` is a slip.
            if is_left and first != second and self.kind_of_symbol(second):
                sign = "∘" if kind == Kind.OPERATOR else "*"
                return f"did you mean `{first} {sign} {format_symbol(tree.Symbol(second, symbol.tag, symbol.span))}`?"
        return None

    def tagged(self, name: str) -> str | None:
        """`A@i` for `A_i`, and for `Ai`: a known name with its indices, where `@` may have been forgotten."""
        base, underscore, rest = name.partition("_")
        indices = [part for part, range in self.declared.items() if isinstance(range, tree.Range)]
        if not underscore:
            rest = next((index for index in indices if name.endswith(index)), "")
            base = name.removesuffix(rest) if rest else name
        parts = ["ℓ" if part == "l" else part for part in re.split("[_,]", rest)]
        if base == name or not all(part in indices or part.isdecimal() for part in parts):
            return None
        if base not in self.declared and not self.arities(base):
            return None
        head = self.head_of(base)[0]
        if not head.tag:
            return None
        return f"{base}@{','.join(parts)}" if len(parts) == len(head.tag) else format_symbol(self.generic(head))

    def report_no_index(self, name: str, span: Span) -> None:
        if self.problems.explain(name):
            return
        known = [n for n, d in self.declared.items() if isinstance(d, tree.Range) or self.is_constant(n)]
        has_levels = any(isinstance(d, tree.Range) and d.kind == "levels" for d in self.declared.values())
        help = f"declare it: `steps {name} = 1..2`" if has_levels else f"declare it: `levels {name} = 1..4`"
        if name.isupper() or name == "ν":
            help = f"declare it: `let {name} = 4`"
        if name in ("T", "H") and span.source.text[: span.start].rstrip("{ \t").endswith("^"):
            known, help = [], HELP_FOR_ADJOINTS
        if name in self.declared:
            help = "write an index that `levels` or `steps` declares, or a number"
        if re.match(r"[0-9]+\*", span.text) and (name in self.declared or self.arities(name)):
            before = re.search(r"[^\s()*]*$", span.source.text[: span.start].rpartition("\n")[2])
            known, help = [], f"{_STARS_IN_TAGS}: `{before and before[0]}{span.text.replace('*', ' * ', 1)}`"
        kind = self.kind_of_symbol(name)
        what = f"is {kind.value if kind else None}, not an index" if name in self.declared else "is not an index"
        self.problems.report("E0205", f"`{name}` {what}", span, "unknown index", suggest(name, known, help))
        self.problems.broken.add(name)

    def report_arity(self, symbol: tree.Symbol, context: tuple[tree.Index, ...] = ()) -> None:
        """Report a tag with too many or too few indices for its name; each wrong number of them once.

        What is missing is proposed from the context, the tag on the left side.
        """
        name = symbol.name
        if self.problems.explain(name) or (name, len(symbol.tag)) in self.misused:
            return
        self.misused.add((name, len(symbol.tag)))
        head, what = self.head_of(name)
        help = f"write `{format_symbol(head)}`" + (", with the indices of this place" if head.tag else "")
        if not head.tag and self.has_parameter(symbol):
            help = HELP_FOR_PARAMETERS
        elif symbol.tag and head.tag and len(symbol.tag) > len(head.tag):
            help = f"write `{format_symbol(_cut_to_head(symbol, head))}`"
        elif len(symbol.tag) < len(head.tag) == len(context):
            own = {index.name: index for index in symbol.tag}
            tag = tuple(own.get(index.name, other) for index, other in zip(head.tag, context, strict=True))
            help = f"write `{format_symbol(tree.Symbol(name, tag, symbol.span))}`"
        if (
            len(symbol.tag) == len(head.tag) + 1
            and _RAISED.search(symbol.span.text)
            and self.kind_of_symbol(name) in FACTORS
        ):
            base, exponent = replace(symbol, tag=symbol.tag[:-1]), format_index(symbol.tag[-1])
            power = exponent if exponent.isalnum() else f"({exponent})"
            help = f"write `({format_symbol(base)})^{power}` for a power"
        if isinstance(self.declared.get(name), tree.KernelStatement | tree.Scalar):
            word = "kernel" if isinstance(self.declared[name], tree.KernelStatement) else "scalar"
            word = "vector" if self.kind_of_symbol(name) is Kind.VECTOR else word
            many = "to have one for each value of that tag" if symbol.tag else "to have one in the whole network"
            generic = self.generic(symbol)
            if all(index.name in self.declared for index in generic.tag):
                help += f", or declare `{word} {format_symbol(generic)}` {many}"
        if symbol.settings and not symbol.tag and len(symbol.settings) == len(head.tag):
            indices = ",".join("".join(setting.span.text.split()) for setting in symbol.settings)
            help = f"did you mean `{name}@{indices}`? indices are written after `@`"
        message = f"`{name}` is {what} with {indices_in_words(head)}, but used here with {indices_in_words(symbol)}"
        self.problems.report(
            "E0202",
            message,
            symbol.span,
            f"{indices_in_words(symbol)} here",
            help,
            Label(head.span, f"{what} with {indices_in_words(head)}"),
        )

    def generic(self, symbol: tree.Symbol) -> tree.Symbol:
        """A symbol with the index names alone: `A@ℓ,i` for `A@ℓ+1,0`."""
        free = [name for name, range in self.declared.items() if isinstance(range, tree.Range)]
        names: list[str | None] = []
        for index in symbol.tag:
            is_index = index.name in free and index.name not in names
            names.append(index.name if is_index else None)
        left = [name for name in free if name not in names]
        filled = [name or (left.pop(0) if left else "j") for name in names]
        tag = tuple(tree.Index(name, None, 0, symbol.span) for name in filled)
        return tree.Symbol(symbol.name, tag, symbol.span)

    def report_kind(self, expression: tree.Expression, expected: Kind) -> None:
        found = self.kind(expression)
        others: list[Label] = []
        if isinstance(expression, tree.Symbol):
            if self.problems.explain(expression.name):
                return
            if found is None or found == expected:
                self.report_unknown(expression, expected)
                return
            if expression.name in self.declared or self.arities(expression.name):
                others = [Label(self.head_of(expression.name)[0].span, "declared here")]
        if isinstance(expression, tree.Adjoint) and found != Kind.KERNEL:
            self.report_no_adjoint(expression)
            return
        text = clipped(" ".join(expression.span.text.split()) or format_expression(expression), _LONGEST_QUOTE)
        help = _HELP_FOR_KINDS.get((found, expected), _HELP_FOR_EXPECTED[expected])
        if isinstance(expression, tree.Star) and expression.right is None:
            help = "write after `*` what it convolves: `§ …`"
            if re.match(r"\s*-", expression.span.source.text[expression.span.end :][:9]):
                help += ", and a negative in parentheses: `§ (-x)`"
        if isinstance(expression, tree.Symbol) and found == Kind.KERNEL:
            help = HELP_FOR_ADJOINTS if self.is_adjoint(expression) else help
            help = HELP_FOR_INVERSES if _INVERSE.search(expression.span.text) else help
        if found in (Kind.QUOTIENT, Kind.POWER):
            help = self.without_arithmetic(expression)
        if isinstance(expression, tree.Symbol) and (apart := self.without_multiple(expression)):
            help = f"{_STARS_IN_TAGS}: `{apart}`"
        message = f"`{text}` is {found.value if found else 'something unknown'}, not {expected.value}"
        help = self.with_next(help, expression, text) if expected == Kind.OPERATOR else help.replace("§", text)
        self.problems.report("E0211", message, expression.span, f"expected {expected.value}", help, *others)

    def without_multiple(self, symbol: tree.Symbol) -> str | None:
        """`A@2 * f` for `A@2*f`, read as A at twice an index f, where f is something else."""
        written = _STAR_IN_TAG.fullmatch(symbol.span.text) if symbol.tag else None
        name = symbol.tag[-1].name if written else None
        if written is None or name is None or isinstance(self.declared.get(name), tree.Range) or self.is_constant(name):
            return None
        return f"{written[1]} * {written[2]}"

    def report_no_adjoint(self, expression: tree.Adjoint) -> None:
        """Report an adjoint of what is no kernel."""
        inner = expression.kernel
        found = self.kind(inner)
        if isinstance(inner, tree.Symbol) and (found is None or self.problems.explain(inner.name)):
            self.report_kind(inner, Kind.KERNEL)
            return
        what, help = found.value if found else "something unknown", _HELP_FOR_NO_ADJOINT.get(found)
        if isinstance(inner, tree.Adjoint):
            what, help = "an adjoint", f"write `{format_expression(inner.kernel)}`: the two cancel"
        message = f"`{clipped(expression.span.text, _LONGEST_QUOTE)}` is the adjoint of {what}; only kernels have one"
        self.problems.report("E0211", message, expression.span, "expected a kernel", help or HELP_FOR_ADJOINTS)

    def without_arithmetic(self, expression: tree.Expression) -> str:
        match expression:
            case tree.Power(base, tree.Number(2)) if self.kind(base) == Kind.VALUE:
                text = Formatter().text(base, CHAIN)
                return f"write the pointwise product: `{text} ⊙ {text}`"
            case _:
                return "a quotient is one of values, scalars and numbers, a power one of scalars and numbers"

    def with_next(self, help: str, expression: tree.Expression, text: str) -> str:
        """The help for a kernel before `∘`, with the name that follows: `A * σ …`; two names may stand side by side."""
        following = _NEXT_NAME.match(expression.span.source.text, expression.span.end)
        return help.replace("§ * …", f"{text} * {following[1]} …" if following else f"{text} * …").replace("§", text)

    def kind(self, expression: tree.Expression) -> Kind | None:
        """What an expression is; None where a name in it is not known, or is defined in terms of itself."""
        match expression:
            case tree.Symbol(name):
                return self.kinds[name] if name in self.kinds else self.kind_of_symbol(name)
            case tree.Compose(outer, inner) | tree.Apply(outer, inner):
                kinds = self.kind(outer), self.kind(inner)
                if kinds[0] in FACTORS:
                    return self.kind_of_product(*kinds)
                if kinds[1] in NUMBERS and isinstance(outer, tree.Symbol) and is_function(outer.name):
                    return Kind.NUMBER
                return kinds[1] if kinds[1] in (Kind.OPERATOR, *TRAINED) else Kind.VALUE
            case tree.Sum(parts) | tree.Product(parts) | tree.Listing(_, parts):
                return self.kind_of_parts([self.kind(part) for part in parts])
            case tree.Star(left, _, inner):
                return Kind.OPERATOR if inner is None else self.kind_of_product(self.kind(left), self.kind(inner))
            case tree.Number():
                return Kind.NUMBER
            case tree.Argument() | tree.Pairing() | tree.Norm() | tree.ApplyToSeveral():
                return Kind.VALUE
            case tree.Adjoint(kernel):
                return Kind.KERNEL if isinstance(kernel, tree.Symbol) and self.kind(kernel) == Kind.KERNEL else None
            case tree.Quotient(above, below):
                return self.kind_of_quotient(self.kind(above), self.kind(below))
            case tree.Power(base):
                kind = self.kind(base)
                return Kind.NUMBER if kind in (*NUMBERS, None) else kind if kind in TRAINED else Kind.POWER
            case tree.Reduction("softmax", _, _, _, inner):
                return Kind.SCALAR if self.kind(inner) in (*NUMBERS, Kind.SCALAR) else Kind.VALUE
            case tree.Reduction(_, _, _, _, inner):
                return Kind.OPERATOR if self.kind(inner) == Kind.OPERATOR else Kind.VALUE
            case tree.Fix():
                return Kind.VALUE

    def kind_of_parts(self, kinds: list[Kind | None]) -> Kind | None:
        known = [kind for kind in kinds if kind is not None and kind not in NUMBERS]
        other = next((kind for kind in known if kind not in TRAINED), _of_trained(known) if known else None)
        if len(kinds) > 1 and other is Kind.KERNEL:
            return Kind.SUM_OF_KERNELS
        return other or (Kind.NUMBER if any(kind in NUMBERS for kind in kinds) else None)

    def kind_of_product(self, left: Kind | None, right: Kind | None) -> Kind | None:
        """What `left * right` is."""
        if right is Kind.OPERATOR:
            return right
        if right in NUMBERS and left in NUMBERS:
            return Kind.NUMBER
        return _of_trained([left, right]) if left in FACTORS and right in FACTORS else Kind.VALUE

    def kind_of_quotient(self, above: Kind | None, below: Kind | None) -> Kind | None:
        if {above, below} <= {*NUMBERS, None}:
            return Kind.NUMBER
        kinds = {kind for kind in (above, below) if kind not in (*NUMBERS, None)}
        if kinds <= {*TRAINED, Kind.VALUE}:
            return Kind.VALUE if Kind.VALUE in kinds else _of_trained([*kinds])
        return Kind.OPERATOR if above is Kind.OPERATOR and kinds <= {above, *TRAINED} else Kind.QUOTIENT

    def is_image_number(self, expression: tree.Expression) -> bool:
        """Whether an expression may be a number for each image: one, or an operand that may stand for one."""
        if self.multiples.is_image_number(expression):
            return True
        return self.kind(expression) is Kind.VALUE and mentions_argument(expression)

    def is_factor(self, expression: tree.Expression) -> bool:
        """Whether an expression is a number, a scalar or a vector."""
        return self.kind(expression) in FACTORS

    def is_number(self, expression: tree.Expression) -> bool:
        """Whether an expression is a number; an index counts as one.

        That is asked of every part of an equation, so its kind is not worked out as a whole: a value in it is enough.
        """
        match expression:
            case tree.Compose(outer, inner) | tree.Apply(outer, inner):
                kind = self.kind(outer)
                is_applied = kind not in TRAINED and isinstance(outer, tree.Symbol) and is_function(outer.name)
                return (kind in NUMBERS or is_applied) and self.is_number(inner)
            case tree.Sum(parts) | tree.Product(parts) | tree.Listing(_, parts):
                kinds = (self.kind(part) for part in parts)
                known = [*takewhile(lambda kind: kind is None or kind in NUMBERS, kinds)]
                return len(known) == len(parts) and any(kind is not None for kind in known)
            case tree.Star(left, _, inner):
                return inner is not None and self.is_number(left) and self.is_number(inner)
            case _:
                return self.kind(expression) in NUMBERS

    def kind_of_symbol(self, name: str) -> Kind | None:
        if name not in self.kinds:
            if isinstance(declared := self.declared.get(name), tree.Let):
                # What it is for itself, if it is defined by itself: a number where another case of it is one.
                values = [let.values[0] for let in self.members.get(name, [declared]) if isinstance(let, tree.Let)]
                is_number = any(isinstance(value, tree.Number) for value in values)
                self.kinds[name] = Kind.NUMBER if is_number else Kind.OPERATOR
            self.kinds[name] = self.kind_of_name(name)
        return self.kinds[name]

    def kind_of_name(self, name: str) -> Kind | None:
        """What a name stands for; None when nothing is called so, or it is defined in terms of itself."""
        match self.declared.get(name):
            case _ if name in BUILTINS:
                return Kind.OPERATOR
            case tree.KernelStatement():
                return Kind.KERNEL
            case tree.Scalar(_, _, is_fixed, channels=channels):
                return Kind.NUMBER if is_fixed else Kind.SCALAR if channels is None else Kind.VECTOR
            case tree.Range():
                return Kind.INDEX
            case tree.Let() as let if name not in self.problems.broken or let.arguments:
                return self.kind_of_let(let)
            case tree.InputStatement():
                return Kind.VALUE
            case _:
                return Kind.VALUE if self.arities(name) or name in self.unknowns else None

    def kind_of_let(self, let: tree.Let) -> Kind:
        kind = Kind.OPERATOR if let.arguments else self.kind(let.values[0])
        return Kind.NUMBER if kind in NUMBERS else kind if kind in TRAINED else Kind.OPERATOR

    def is_constant(self, name: str) -> bool:
        """Whether a name is a `let` of numbers, not of an operator, or a fixed scalar."""
        is_declared = isinstance(self.declared.get(name), tree.Let | tree.Scalar)
        return is_declared and self.kind_of_symbol(name) == Kind.NUMBER

    def head_of(self, name: str) -> tuple[tree.Symbol, str]:
        """The symbol that introduces a name, and how it does so."""
        match self.declared.get(name):
            case tree.Let(symbol) | tree.KernelStatement(symbol) | tree.Scalar(symbol):
                return symbol, "declared"
            case tree.InputStatement(symbol) if symbol.tag or not self.arities(name):
                return symbol, "declared"
            case tree.Range(_, index, _, _, span):
                return tree.Symbol(index, (), span), "declared"
            case _:
                lefts = [e.left for arity in self.arities(name) for e in self.families[name, arity]]
                return max(lefts, key=lambda left: sum(index.name is not None for index in left.tag)), "defined"


def _of_trained(kinds: Sequence[Kind | None]) -> Kind:
    """What scalars, vectors and numbers make together."""
    return Kind.VECTOR if Kind.VECTOR in kinds else Kind.SCALAR


def is_function(name: str) -> bool:
    """Whether an operator gives a number for a number."""
    return name in FUNCTIONS
