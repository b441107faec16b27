"""One equation as lines of Python: a line for each convolution, everything else where it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from cldfc.emit import layout
from cldfc.network.program import Operand, Read, Reads, Step, Template
from cldfc.ops import Add, Identity, Kernel, Total

SHORT_SUM = 48
MOST_TERMS = 4


@dataclass(frozen=True, slots=True)
class Code:
    """An expression, whether it is a name, a call, a product or a sum, and the temporary variables in it."""

    text: str
    kind: str
    temporaries: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CodeLine:
    """A line, and the step that it computes."""

    text: str
    step: int


@dataclass(frozen=True)
class CodeNames:
    """How an equation's reads and steps are written, and which temporary variables are free."""

    read: Callable[[Read | Reads], str]
    apply: Callable[[int, Step, list[str]], str]
    temporaries: Sequence[str]


def write_equation(
    template: Template, vocabulary: CodeNames, target: str, depth: int, held: Iterable[int] = ()
) -> list[str]:
    """The lines that compute an equation; the last assigns to, or returns, what `target` says.

    The results of the steps in `held` get a line of their own. From a line that is too long, a part gets one, until
    all of them fit.
    """
    held = kept_results(template) | set(held)
    split: set[int] = set()
    while True:
        writer = StatementWriter(template, vocabulary, frozenset(held), frozenset(split))
        lines = writer.write(target)
        long = [line for line in lines if not layout.fits(line.text, depth)]
        if not any(take_apart(writer, line.step, held, split) for line in long):
            return [part for line in lines for part in layout.breakable(line.text, depth)]


def kept_results(template: Template) -> set[int]:
    """The steps whose results get a line of their own: what is used twice, or convolved."""
    uses = [0] * len(template.steps)
    for step in template.steps:
        for operand in step.operands:
            if isinstance(operand, int):
                uses[operand] += 2 if isinstance(step.operator, Kernel) else 1
    return {at for at, count in enumerate(uses) if count > 1}


def take_apart(writer: StatementWriter, step: int, held: set[int], split: set[int]) -> bool:
    """Choose what to take out of a line that is too long; False when nothing can be."""
    inside = list(writer.inside(step))
    terms = [at for at in writer.template.steps[step].operands if at in inside] if inside else []
    if len(terms) > MOST_TERMS:
        held.update(at for at in terms if isinstance(at, int))
        return True
    sums = [at for at in inside if isinstance(writer.template.steps[at].operator, Add)]
    if inside:
        held.add(sums[0] if sums else max(inside, key=lambda at: len(writer.codes[at].text)))
        return True
    if isinstance(writer.template.steps[step].operator, Add) and step not in split:
        split.add(step)
        return True
    return False


@dataclass
class StatementWriter:
    """Writes one equation; `held` results get a line of their own, `split` sums several."""

    template: Template
    vocabulary: CodeNames
    held: frozenset[int]
    split: frozenset[int]
    lines: list[CodeLine] = field(default_factory=list[CodeLine])
    codes: list[Code] = field(default_factory=list[Code])
    results: list[Code] = field(default_factory=list[Code])
    pending: dict[int, None] = field(default_factory=dict[int, None])
    last_uses: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        steps = enumerate(self.template.steps)
        self.last_uses = {operand: at for at, step in steps for operand in step.operands if isinstance(operand, int)}
        if isinstance(self.template.result, int):
            self.last_uses[self.template.result] = len(self.template.steps)

    def write(self, target: str) -> list[CodeLine]:
        """The lines of the equation."""
        last = self.template.result
        assert last is not None
        for at, step in enumerate(self.template.steps):
            self.codes.append(self.step(at, step))
            self.results.append(self.codes[at])
            self.pending[at] = None
            if at in self.held and at != last:
                self.results[at] = self.assign(self.codes[at], at, self.needed(at + 1, but=at))
        return [*self.lines, CodeLine(target + self.code(last).text, last if isinstance(last, int) else -1)]

    def inside(self, step: int) -> Iterator[int]:
        """The steps that are written into the line of another, from the outermost in."""
        for operand in self.template.steps[step].operands if step >= 0 else ():
            if isinstance(operand, int) and self.results[operand].kind != "name":
                yield operand
                yield from self.inside(operand)

    def step(self, at: int, step: Step) -> Code:
        """One step as an expression over its operands."""
        operands = [self.code(operand) for operand in step.operands]
        if isinstance(step.operator, Add):
            return self.sum(at, step.operator.signs, operands)
        if isinstance(step.operator, Identity):
            return operands[0]
        if isinstance(step.operator, Total):
            return Code(f"sum({operands[0].text})", "call")
        kind = step.operator.binds
        texts = [bound(code, kind, place) for place, code in enumerate(operands)]
        text = self.vocabulary.apply(at, step, texts)
        return Code(text, kind, frozenset[str]().union(*(code.temporaries for code in operands)))

    def sum(self, at: int, signs: Sequence[int], operands: list[Code]) -> Code:
        """A sum; a long one in parts, for Python's own compiler is recursive."""
        while at in self.split and len(operands) > 2:
            count = next((n for n in range(2, len(operands)) if len(join(signs[:n], operands[:n]).text) > SHORT_SUM), 0)
            if not count:
                break
            part = self.assign(join(signs[:count], operands[:count]), at, self.needed(at))
            signs, operands = (1, *signs[count:]), [part, *operands[count:]]
        return join(signs, operands)

    def code(self, operand: Operand) -> Code:
        """An operand as an expression."""
        return self.results[operand] if isinstance(operand, int) else Code(self.vocabulary.read(operand), "name")

    def needed(self, after: int, but: int | None = None) -> frozenset[str]:
        """The temporary variables that steps from `after` on still need, for other operands than one."""
        for at in [at for at in self.pending if self.last_uses[at] < after]:
            del self.pending[at]
        codes = (self.results[at] for at in self.pending if at != but)
        return frozenset[str]().union(*(code.temporaries for code in codes))

    def assign(self, code: Code, step: int, needed: frozenset[str]) -> Code:
        """Put an expression into the first temporary variable that nothing else needs."""
        name = next(name for name in self.vocabulary.temporaries if name not in needed)
        self.lines.append(CodeLine(f"{name} = {code.text}", step))
        return Code(name, "name", frozenset({name}))


def bound(code: Code, kind: str, place: int) -> str:
    """An operand in the parentheses that a product needs, whose own order may not change."""
    is_loose = code.kind == "sum" or (code.kind == "product" and place > 0)
    return f"({code.text})" if kind == "product" and is_loose else code.text


def join(signs: Sequence[int], operands: Sequence[Code]) -> Code:
    """`x + y - z`."""
    turned = [place > 0 and code.kind == "product" and code.text.startswith("-") for place, code in enumerate(operands)]
    signs = [-sign if turn else sign for sign, turn in zip(signs, turned, strict=True)]
    texts = [f"({code.text})" if code.kind == "sum" else code.text for code in operands]
    texts = [text.removeprefix("-") if turn else text for text, turn in zip(texts, turned, strict=True)]
    text = texts[0] if signs[0] > 0 else f"-{texts[0]}"
    text += "".join(f" {'+' if sign > 0 else '-'} {term}" for sign, term in zip(signs[1:], texts[1:], strict=True))
    return Code(text, "sum", frozenset[str]().union(*(code.temporaries for code in operands)))
