"""Who is called what: the declarations of a spec by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cldfc.diagnostics import Label, Problems, Span, nearest
from cldfc.ops import BUILTINS
from cldfc.syntax import tree
from cldfc.syntax.errors import EXAMPLES, STATEMENTS
from cldfc.syntax.format import format_expression, format_symbol
from cldfc.syntax.spelling import ascii_name

Declaration = tree.Let | tree.Range | tree.Kernel | tree.Input
Family = tuple[str, int]
LONGEST_TEXT = 40
MOST_SUGGESTIONS = 20


@dataclass
class Names:
    """Declarations by name, and equations by name and number of indices."""

    problems: Problems
    model: tree.Model | None = None
    output: tree.Output | None = None
    input: tree.Input | None = None
    declared: dict[str, Declaration] = field(default_factory=dict[str, Declaration])
    families: dict[Family, list[tree.Equation]] = field(default_factory=dict[Family, list[tree.Equation]])
    kinds: dict[str, str | None] = field(default_factory=dict[str, "str | None"])
    misused: set[Family] = field(default_factory=set[Family])

    def arities(self, name: str) -> list[int]:
        """The numbers of indices with which equations define a name."""
        return [arity for known, arity in self.families if known == name]

    def is_value(self, symbol: tree.Symbol) -> bool:
        """Whether a symbol is the input or is defined by equations."""
        is_input = self.input is not None and symbol.name == self.input.name and not symbol.tag
        return is_input or (symbol.name, len(symbol.tag)) in self.families

    def all_of(self, kind: str) -> list[str]:
        """Every name of a kind; none once so much is wrong that looking for near ones would take long."""
        if len(self.problems.found) > MOST_SUGGESTIONS:
            return []
        names = [*self.declared, *(name for name, _ in self.families), *BUILTINS]
        return [name for name in names if self.kind_of_symbol(name) == kind]

    # Errors

    def report_unknown(self, symbol: tree.Symbol, expected: str) -> None:
        """Report, once, a name that nothing declares, where `expected` is needed; or a wrong number of indices."""
        name = symbol.name
        if self.arities(name) or name in self.declared:
            self.report_arity(symbol)
        elif not self.problems.explain(name):
            help = suggest(name, self.all_of(expected), declaration_of(symbol, expected))
            self.problems.report("E0201", f"nothing is called `{shorten(name)}`", symbol.span, "unknown name", help)
            self.problems.broken.add(name)

    def report_no_index(self, name: str, span: Span) -> None:
        """Report, once, an index that neither `levels` nor `steps` declares."""
        if self.problems.explain(name):
            return
        known = [n for n, d in self.declared.items() if isinstance(d, tree.Range) or self.is_constant(n)]
        has_levels = any(isinstance(d, tree.Range) and d.kind == "levels" for d in self.declared.values())
        help = f"declare it: `steps {name} = 1..2`" if has_levels else f"declare it: `levels {name} = 1..4`"
        if name in self.declared:
            help = "write an index that `levels` or `steps` declares, or a number"
        what = f"is {self.kind_of_symbol(name)}, not an index" if name in self.declared else "is no index"
        self.problems.report("E0205", f"`{name}` {what}", span, "unknown index", suggest(name, known, help))
        self.problems.broken.add(name)

    def report_arity(self, symbol: tree.Symbol) -> None:
        """Report a tag with too many or too few indices for its name; each wrong number of them once."""
        name = symbol.name
        if self.problems.explain(name) or (name, len(symbol.tag)) in self.misused:
            return
        self.misused.add((name, len(symbol.tag)))
        head, what = self.head_of(name)
        help = f"write `{format_symbol(head)}`" + (", with the indices of this place" if head.tag else "")
        if isinstance(self.declared.get(name), tree.Kernel):
            many = "to have one for each value of that tag" if symbol.tag else "to have one in the whole network"
            help += f", or declare `kernel {format_symbol(symbol)}` {many}"
        self.problems.report(
            "E0202",
            f"`{name}` is {what} with {count(head)}, but used here with {count(symbol)}",
            symbol.span,
            f"{count(symbol)} here",
            help,
            Label(head.span, f"{what} with {count(head)}"),
        )

    def report_kind(self, expression: tree.Expression, expected: str) -> None:
        """Report an expression of the wrong kind, with its declaration as the second place."""
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
        text = shorten(format_expression(expression))
        help = HELP_FOR_KINDS.get((found or "", expected), HELP_FOR_EXPECTED[expected])
        if isinstance(expression, tree.Star):
            help = "write after `*` what it convolves: `§ …`"
        self.problems.report(
            "E0211",
            f"`{text}` is {found or 'something unknown'}, not {expected}",
            expression.span,
            f"expected {expected}",
            help.replace("§", text),
            *others,
        )

    def kind(self, expression: tree.Expression) -> str | None:
        """What an expression is, as a message says it."""
        match expression:
            case tree.Number():
                return "a number"
            case tree.Star():
                inner = expression.right
                return "an operator" if inner is None or self.kind(inner) == "an operator" else "a value"
            case tree.Compose(_, inner) | tree.Apply(_, inner):
                return "an operator" if self.kind(inner) == "an operator" else "a value"
            case tree.Sum(terms):
                kinds = [self.kind(term) for term in terms]
                other = next((kind for kind in kinds if kind not in (None, "a number")), None)
                if other == "a kernel":
                    return "a sum of kernels"
                return other or ("a number" if "a number" in kinds else None)
            case tree.Symbol(name):
                return self.kind_of_symbol(name)

    def kind_of_symbol(self, name: str) -> str | None:
        """What a name stands for, worked out once."""
        if name not in self.kinds:
            self.kinds[name] = self.kind_of_name(name)
        return self.kinds[name]

    def kind_of_name(self, name: str) -> str | None:
        """What a name stands for; None when nothing is called so, or it is defined by itself."""
        match self.declared.get(name):
            case _ if name in BUILTINS:
                return "an operator"
            case tree.Kernel():
                return "a kernel"
            case tree.Range():
                return "an index"
            case tree.Let(_, values) if name not in self.problems.broken:
                return "a number" if self.kind(values[0]) == "a number" else "an operator"
            case tree.Input():
                return "a value"
            case _:
                return "a value" if self.arities(name) else None

    def is_constant(self, name: str) -> bool:
        """Whether a name is a `let` of numbers, not of an operator."""
        return isinstance(self.declared.get(name), tree.Let) and self.kind_of_symbol(name) == "a number"

    def head_of(self, name: str) -> tuple[tree.Symbol, str]:
        """The symbol that introduces a name, and how it does so."""
        match self.declared.get(name):
            case tree.Let(symbol) | tree.Kernel(symbol):
                return symbol, "declared"
            case tree.Input(input, _, span) if not self.arities(name):
                return tree.Symbol(input, (), span), "declared"
            case tree.Range(_, index, _, _, span):
                return tree.Symbol(index, (), span), "declared"
            case _:
                lefts = [e.left for (known, _), found in self.families.items() if known == name for e in found]
                return max(lefts, key=lambda left: sum(index.name is not None for index in left.tag)), "defined"


# `§` stands for the expression; by what it is and what it should be.
HELP_FOR_KINDS = {
    ("a kernel", "a value"): "convolve with it: `§ * …`",
    ("a kernel", "an operator"): "write `*` after a kernel: `§ * …`",
    ("an operator", "a value"): "apply it: `§(…)`",
    ("an operator", "a kernel"): "apply an operator with `∘`: `§ ∘ …`",
    ("a value", "an operator"): "write an operator before `∘` or a parenthesis, and values inside",
    ("an index", "a value"): "indices stand in tags only: `u@§`",
}
HELP_FOR_EXPECTED = {
    "a value": "write a value such as `u@ℓ,i-1`, or `0`",
    "an operator": "write an operator such as `relu`, or `A@ℓ *`",
    "a kernel": "write a declared kernel before `*`: `A@ℓ * …`",
    "a number": "write a number, or the name of a constant: `let J = 4`",
}


def declaration_of(symbol: tree.Symbol, expected: str) -> str:
    """How a missing name would be declared, as the kind of thing that its place needs."""
    names = [index.name for index in symbol.tag if index.name is not None]
    head = symbol.name + (f"@{','.join(names)}" if len(names) == len(symbol.tag) > 0 else "")
    match expected:
        case "a kernel":
            return f"declare it: `kernel {head} : 3×3 → 64`"
        case "an operator":
            return f"declare it: `let {head} = relu ∘ bn`"
        case "a number":
            return f"declare it: `let {head} = 4`"
        case _:
            return f"write an equation for it: `{format_symbol(symbol)} = …`"


def suggest(name: str, known: Iterable[str], otherwise: str) -> str:
    """`did you mean …?` with the nearest known name, in whichever spelling."""
    spelled = {ascii_name(other): other for other in known if other != name}
    close = nearest(ascii_name(name), spelled)
    return f"did you mean `{spelled[close]}`?" if close else otherwise


def shorten(text: str) -> str:
    """The text, or its two ends."""
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT // 2]}…{text[-LONGEST_TEXT // 2 :]}"


def count(symbol: tree.Symbol) -> str:
    """`no index`, `one index`, `two indices`."""
    words = ("no index", "one index", "two indices", "three indices")
    return words[len(symbol.tag)] if len(symbol.tag) < len(words) else f"{len(symbol.tag)} indices"


def collect_names(spec: tree.Spec, problems: Problems) -> Names:
    """Sort the statements by what they declare; report what is declared twice or missing."""
    names = Names(problems)
    for statement in spec.statements:
        match statement:
            case tree.Model():
                once(names, "model", names.model, statement.span)
                names.model = names.model or statement
            case tree.Output():
                once(names, "output", names.output, statement.name_span)
                names.output = names.output or statement
            case tree.Equation(left):
                names.families.setdefault((left.name, len(left.tag)), []).append(statement)
            case _:
                declare(names, statement)
    report_clashes(names)
    return names


def declare(names: Names, statement: Declaration) -> None:
    """Enter a `let`, `kernel`, `levels`, `steps` or `input`."""
    name, span = head(statement)
    if isinstance(statement, tree.Input):
        once(names, "input", names.input, span)
        names.input = names.input or statement
    if is_taken(names, name, span):
        return
    if (earlier := names.declared.get(name)) is not None:
        names.problems.report(
            "E0203",
            f"`{name}` is declared twice",
            span,
            "declared again",
            "remove one of the two, or give it another name",
            Label(head(earlier)[1], "declared first"),
        )
    else:
        names.declared[name] = statement


def is_taken(names: Names, name: str, span: Span) -> bool:
    """Whether the language has a name for itself, and a report."""
    if name not in BUILTINS and name not in STATEMENTS:
        return False
    what = "a built-in operator" if name in BUILTINS else "a word of the language"
    names.problems.report("E0204", f"`{name}` is {what}", span, "already taken", "choose another name")
    return True


def head(statement: Declaration) -> tuple[str, Span]:
    """The name that a declaration introduces, and where."""
    match statement:
        case tree.Let(symbol) | tree.Kernel(symbol):
            return symbol.name, symbol.span
        case tree.Range(_, name) | tree.Input(name):
            return name, statement.name_span


def once(names: Names, keyword: str, earlier: tree.Model | tree.Output | tree.Input | None, span: Span) -> None:
    """Report a second `model`, `input` or `output`."""
    if earlier is not None:
        before = earlier.span if isinstance(earlier, tree.Model) else earlier.name_span
        names.problems.report(
            "E0203",
            f"there is a second `{keyword}`",
            span,
            "the second",
            "keep one of the two",
            Label(before, "the first"),
        )


def report_clashes(names: Names) -> None:
    """Equations may not define what a declaration already says."""
    for equation in (equations[0] for equations in names.families.values()):
        left, earlier = equation.left, names.declared.get(equation.left.name)
        if is_taken(names, left.name, left.span):
            continue
        if earlier is not None and not (isinstance(earlier, tree.Input) and left.tag):
            names.problems.report(
                "E0203",
                f"`{left.name}` is declared, so no equation may define it",
                left.span,
                "defined again",
                "give one of the two another name",
                Label(head(earlier)[1], "declared here"),
            )


def report_missing(names: Names, end: Span) -> None:
    """Report the statements that every spec has, and this one has not."""
    present = {"model": names.model, "input": names.input, "output": names.output}
    missing = [word for word, found in present.items() if found is None and not names.problems.explain(word)]
    if missing:
        names.problems.report(
            "E0301",
            f"there is no {', no '.join(f'`{word}`' for word in missing)} statement",
            end,
            "missing",
            f"add {', '.join(EXAMPLES[word] for word in missing)}",
        )
