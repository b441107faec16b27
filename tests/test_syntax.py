"""Text → tree → text: spellings, statements, places, and the tables of the grammar."""

import re
import string
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SHOWN_SPECS

from cldfc.diagnostics import Problems, Source, Span
from cldfc.output import ASCII
from cldfc.syntax import build_tables, tables, tree
from cldfc.syntax.format import (
    Formatter,
    format_equation,
    format_expression,
    format_let,
    format_statement,
    statement_line,
)
from cldfc.syntax.keywords import EXAMPLES, STATEMENTS
from cldfc.syntax.parse import parse_spec, split_statements
from cldfc.syntax.read import read_source
from cldfc.syntax.spelling import COMMANDS, LETTER, ascii_name, canonical_name, look_alike
from cldfc.syntax.walk import children, mentions, nesting

ROOT = Path(__file__).parents[1]
SPECS = SHOWN_SPECS
NOWHERE = Span(Source("", ""), 0, 0)


def parse(text: str) -> tuple[tree.Statement, ...]:
    problems = Problems()
    spec = parse_spec(Source("test.cldf", text), problems)
    problems.stop_if_any()
    return spec.statements


def parse_one(text: str) -> tree.Statement:
    (statement,) = parse(text)
    return statement


def value(text: str) -> tree.Expression:
    statement = parse_one(f"x = {text}")
    assert isinstance(statement, tree.Equation)
    return statement.right


def codes(text: str) -> list[str]:
    problems = Problems()
    parse_spec(Source("test.cldf", text), problems)
    return [problem.code for problem in problems.found]


# Spellings


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("r@l,i-1 = r@l,i", "r@ℓ,i-1 = r@ℓ,i"),
        ("r@{ℓ + 1, 0} = 0", "r@ℓ+1,0 = 0"),
        ("r@{ ℓ,\ti - 1 } = 0", "r@ℓ,i-1 = 0"),
        ("let sigma = relu . bn", "let σ = relu ∘ bn"),
        ("let sigma = relu.bn", "let σ = relu∘bn"),
        ("let cal_A@l = A@l *", "let 𝒜@ℓ = A@ℓ *"),
        ("kernel theta : 3x3 -> 64", "kernel θ : 3×3 → 64"),
        ("kernel theta : 3 x 3, 3 -> 64", "kernel θ : 3 × 3, 3 → 64"),
        ("input f : 3 x 32 x 32", "input f : 3×32×32"),
        ("x = K *_2 y", "x = K *_{2} y"),
        ("x = K *_1 y", "x = K * y"),
        ("x = r@J,nu", "x = r@J,ν"),
        ("x = r@{J,nu@J}", "x = r@J,ν@J"),
        ("x = (a)", "x = a"),
        ("x = A * (B * y)", "x = A * B * y"),
        ("x = g ∘ (h ∘ y)", "x = g ∘ h ∘ y"),
        ("let n = 1_000", "let n = 1000"),
        ("levels l = 1 .. 4", "levels ℓ = 1..4"),
        ("x = y # a comment", "x = y"),
    ],
)
def test_spellings_are_one_language(one: str, other: str):
    assert parse(one) == parse(other)


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_specs_in_ascii(spec: Path):
    text = spec.read_text(encoding="utf-8")
    signs = {"∘": ".", "×": "x", "→": "->"}
    ascii_text = "".join(ASCII.get(c, signs.get(c, c)) for line in text.splitlines(True) for c in line.split("#")[0])
    assert ascii_text.isascii()
    assert parse(ascii_text) == parse(text)


def test_names():
    for command, letter in COMMANDS.items():
        assert canonical_name(f"\\{command}") == letter == canonical_name(letter)
    for letter, spelled in ASCII.items():
        assert ascii_name(letter) == spelled
        assert canonical_name(spelled) == letter
    assert canonical_name("theta0") == "θ0" and ascii_name("θ0") == "theta0"
    assert canonical_name(r"\mathcal{A}") == canonical_name(r"\mathcal A") == canonical_name("cal_A") == "𝒜"
    assert canonical_name(r"\tilde{r}") == "tilde_r" and canonical_name(r"f_{in}") == "f_in"
    assert canonical_name(r"R_{\text{ave}}") == "R_ave" and canonical_name(r"\sigma_1") == "σ_1"


def test_look_alikes():
    assert look_alike("А") == "A" and look_alike("Α") == "A" and look_alike("о") == "o"
    assert look_alike("ﬁ") == "fi" and look_alike("²") == "2"
    assert look_alike("漢") is None


# Expressions


def test_one_precedence_to_the_right():
    star = value("A@ℓ * σ ∘ B * σ(r)")
    assert isinstance(star, tree.Star) and isinstance(star.right, tree.Compose)
    inner = star.right.inner
    assert isinstance(inner, tree.Star) and isinstance(inner.right, tree.Apply)
    assert star == value("A@ℓ * (σ ∘ (B * (σ(r))))")
    assert star != value("(A@ℓ * σ) ∘ B * σ(r)")


def test_sums_are_weaker():
    total = value("-a + K * b - g ∘ c")
    assert isinstance(total, tree.Sum)
    assert total.signs == (-1, 1, -1)
    assert [type(term) for term in total.terms] == [tree.Symbol, tree.Star, tree.Compose]


def test_application_is_stronger():
    assert value("g ∘ h(x)") == value("g ∘ (h(x))") != value("(g ∘ h)(x)")


def test_star_without_right_side():
    assert isinstance(value("(K *)(x)"), tree.Apply)
    star = parse_one("let g = K *_2")
    assert isinstance(star, tree.Let) and star.values == (tree.Star(symbol("K"), 2, None, NOWHERE),)


def test_indices():
    assert value("r@ℓ+1,0,ν@J,c@2,i-10") == tree.Symbol(
        "r",
        (
            tree.Index("ℓ", None, 1, NOWHERE),
            tree.Index(None, None, 0, NOWHERE),
            tree.Index("ν", tree.Index("J", None, 0, NOWHERE), 0, NOWHERE),
            tree.Index("c", tree.Index(None, None, 2, NOWHERE), 0, NOWHERE),
            tree.Index("i", None, -10, NOWHERE),
        ),
        NOWHERE,
    )


def test_numbers():
    assert [value(text) for text in ("0", "64", "1_0", "0.5", "1e3", "2.5e-1")] == [
        tree.Number(number, NOWHERE) for number in (0, 64, 10, 0.5, 1000.0, 0.25)
    ]


@pytest.mark.parametrize("text", ["x = 3_", "x = ٣", "x = ³", "x = r@٣", "x = r@\u00a0ℓ", "x = K *_٢ y", "x = 1e999"])
def test_no_other_digits_and_spaces(text: str):
    assert codes(text)


# Round trip


def symbol(name: str) -> tree.Symbol:
    return tree.Symbol(name, (), NOWHERE)


def indices(own: bool = True) -> st.SearchStrategy[tree.Index]:
    shift = st.integers(-3, 3)
    number = st.builds(lambda n: tree.Index(None, None, n, NOWHERE), st.integers(0, 99))
    name = st.builds(lambda n, by: tree.Index(n, None, by, NOWHERE), st.sampled_from(["ℓ", "i", "J", "ν"]), shift)
    if not own:
        return number | name
    at = st.builds(lambda at: tree.Index("ν", at, 0, NOWHERE), indices(own=False))
    return number | name | at


names = st.sampled_from(["r", "u", "σ", "𝒜", "ℓ", "A1", "x", "bn_2", "θ"])
symbols = st.builds(
    lambda name, tag: tree.Symbol(name, tuple(tag), NOWHERE), names, st.lists(indices(), max_size=3)
)  # fmt: skip
numbers = st.builds(
    lambda number: tree.Number(number, NOWHERE),
    st.integers(0, 10**20 - 1) | st.floats(0, 1e300, allow_nan=False).filter(lambda f: f > 1e-300 or f == 0),
)


def compounds(parts: st.SearchStrategy[tree.Expression]) -> st.SearchStrategy[tree.Expression]:
    signs = st.sampled_from([1, -1])
    terms = st.lists(st.tuples(signs, parts), min_size=2, max_size=4) | st.tuples(st.tuples(st.just(-1), parts))
    return (
        st.builds(lambda k, s, x: tree.Star(k, s, x, NOWHERE), parts, st.sampled_from([1, 2, 3]), parts | st.none())
        | st.builds(lambda g, x: tree.Compose(g, x, NOWHERE), parts, parts)
        | st.builds(lambda g, x: tree.Apply(g, x, NOWHERE), parts, parts)
        | st.builds(lambda ts: tree.Sum(tuple(t for _, t in ts), tuple(s for s, _ in ts), NOWHERE), terms)
    )


expressions = st.recursive(symbols | numbers, compounds, max_leaves=12)


@settings(max_examples=150, deadline=None)
@given(expressions)
def test_format_and_parse_an_expression(expression: tree.Expression):
    assert value(format_expression(expression)) == expression


@settings(max_examples=50, deadline=None)
@given(symbols, expressions)
def test_format_and_parse_an_equation(left: tree.Symbol, right: tree.Expression):
    equation = tree.Equation(left, right, NOWHERE)
    assert parse_one(format_equation(equation)) == equation
    assert parse_one(format_equation(equation, 30)) == equation


@settings(max_examples=50, deadline=None)
@given(symbols, st.lists(expressions, min_size=1, max_size=3))
def test_format_and_parse_a_let(left: tree.Symbol, values: list[tree.Expression]):
    let = tree.Let(left, tuple(values), NOWHERE)
    assert parse_one(f"let {format_let(let)}") == let


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_format_and_parse_the_specs(spec: Path):
    for statement in parse(spec.read_text(encoding="utf-8")):
        if isinstance(statement, tree.Equation):
            assert parse_one(format_equation(statement)) == statement
            assert format_equation(statement).split() == statement.span.text.split()
        elif isinstance(statement, tree.Let):
            assert parse_one(f"let {format_let(statement)}") == statement


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("rσℓi012@{},+-*_∘()=:.×→ \n#\tа²") | st.characters(), max_size=60))
def test_any_text_is_parsed_or_reported(text: str):
    problems = Problems()
    source = Source("test.cldf", text)
    spec = parse_spec(source, problems)
    assert len(spec.statements) + len(problems.found) >= len(list(split_statements(source)))
    for problem in problems.found:
        span = problem.places[0].span
        assert 0 <= span.start < span.end <= len(text)


# Statements


def statements(text: str) -> list[str]:
    return [span.text for span in split_statements(Source("test.cldf", text))]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("\n\n  \n# nothing\n", []),
        ("a = b\nc = d", ["a = b", "c = d"]),
        ("a = b\n\n\nc = d\n", ["a = b", "c = d"]),
        ("a = b\n  + c\n\t+ d\ne = f", ["a = b\n  + c\n\t+ d", "e = f"]),
        ("a = b\n\n  + c", ["a = b\n\n  + c"]),
        ("a = b\n# between\n  + c", ["a = b\n# between\n  + c"]),
        ("a = b # of it\n  # and more\n  + c", ["a = b # of it\n  # and more\n  + c"]),
        ("  a = b\nc = d", ["a = b", "c = d"]),
        ("a = b  \r\nc = d\r\n", ["a = b", "c = d"]),
        ("a = b\r\n  + c\r\n", ["a = b\r\n  + c"]),
    ],
)
def test_split_statements(text: str, found: list[str]):
    assert [part.lstrip() for part in statements(text)] == found


def test_line_ends_comments_and_continuations_say_the_same():
    plain = parse("a = b + c\nd = e")
    assert parse("a = b # first\n# between\n  + c\n\nd = e\n") == plain
    assert parse("a = b\r\n  + c\r\nd = e\r\n") == plain


def test_byte_order_mark(tmp_path: Path):
    path = tmp_path / "spec.cldf"
    path.write_bytes(b"\xef\xbb\xbfa = b\r\n")
    assert read_source(path).text == "a = b\r\n"
    assert parse(read_source(path).text) == parse("a = b")


def test_every_wrong_statement_is_reported_and_left_out():
    problems = Problems()
    spec = parse_spec(Source("test.cldf", "a = = b\nlet c = 1\nkernel K : 3\nd = e"), problems)
    assert [problem.places[0].span.line for problem in problems.found] == [1, 3]
    assert [type(statement) for statement in spec.statements] == [tree.Let, tree.Equation]
    assert {"a", "K"} <= problems.broken and not problems.lost


def test_names_of_wrong_statements():
    for text, names in {
        "kernal B@ℓ : 3×3 → 64": {"B", "kernel"},
        "Levels l = 1..2": {"ℓ", "levels"},
        "levels ℓ = 1..2, i = 1..2": {"ℓ", "i"},
        "kernel А : 3×3 → 64": {"A"},
        "let a = ∘\n  kernel B : 3": {"a", "B"},
        "model A-B": {"A", "model"},
    }.items():
        problems = Problems()
        parse_spec(Source("test.cldf", text), problems)
        assert names <= problems.broken and not problems.lost, text


def test_a_statement_without_a_name_may_have_been_any():
    problems = Problems()
    parse_spec(Source("test.cldf", "let 漢字 = relu"), problems)
    assert problems.lost and problems.explain("anything")


# Places


def test_spans_point_at_their_text():
    text = "# 𝒜 first\nr@ℓ+1,0 = A@ℓ *_2 g(x)\n   - (y + 0)\n"
    statement = parse_one(text)
    assert isinstance(statement, tree.Equation)
    assert statement.span.text == text.split("\n", 1)[1].rstrip()
    assert str(statement.span) == "test.cldf:2:1"
    assert statement.left.span.text == "r@ℓ+1,0"
    assert [index.span.text for index in statement.left.tag] == ["ℓ+1", "0"]
    right = statement.right
    assert isinstance(right, tree.Sum)
    assert right.span.text == "A@ℓ *_2 g(x)\n   - (y + 0)"
    assert [term.span.text for term in right.terms] == ["A@ℓ *_2 g(x)", "(y + 0)"]
    star = right.terms[0]
    assert isinstance(star, tree.Star) and star.right is not None
    assert star.left.span.text == "A@ℓ" and star.right.span.text == "g(x)"


def test_spans_of_names_and_numbers():
    levels, kernel, given, output = parse(
        "levels ℓ = 1..J\nkernel K@ℓ : 3×5, 7 → c@ℓ\ninput  f : 1 × 2 × 3\noutput h : 4"
    )
    assert isinstance(levels, tree.Range) and isinstance(kernel, tree.KernelStatement)
    assert isinstance(given, tree.InputStatement) and isinstance(output, tree.Output)
    assert (levels.name_span.text, levels.lower.span.text, levels.upper.span.text) == ("ℓ", "1", "J")
    assert [part.span.text for part in (kernel.symbol, *kernel.sizes)] == ["K@ℓ", "3", "5"]
    assert kernel.channels_in is not None and kernel.channels_in.span.text == "7"
    assert kernel.channels_out.span.text == "c@ℓ"
    assert given.symbol.span.text == "f" and [size.span.text for size in given.shape] == ["1", "2", "3"]
    assert output.name_span.text == "h" and [size.span.text for size in output.shape] == ["4"]


LIKE = [
    ["x1 = x0 + A * relu ∘ bn(x0)", "x2 = x1 + A * relu ∘ bn(x1)", "x3 = x1 + A * relu ∘ bn(x2)"],
    ["x1@i = relu(x1@i-1)  # x1", "x2@i = relu(x2@i-1)  # x2", "x2@i = relu(x2@i-2)  # x2"],
    ["kernel K1 : 3 x3 → 8", "kernel K2 : 3 x5 → 8", "kernel K3 : 3 x7 → 8"],
    ["kernel K1 : 3 x3 → 8 for i = x3", "kernel K2 : 3 x5 → 8 for i = x5"],
    ["kernel K1 : 3×3 → 8 = laplace5", "kernel K1 : 3×3 → 8 = laplace9"],
    ["let S(u1, u2) = u1 + u2", "let S(u3, u4) = u3 + u4", "let S(u5, u5) = u5 + u5", "let S(u1, u2) = u2 + u1"],
    ["y = fix(u1 : relu(f + u1), tol1e-4)", "y = fix(u2 : relu(f + u2), tol1e-5)"],
    ["sigma1 = cal_A1(beta_10)\n  + l1", "sigma2 = cal_A2(beta_20)\n  + l2", "sigma2 = cal_A2(beta_2)\n  + l2"],
    ["x1 = 2e1*x1_2 + x2", "x2 = 2e2*x2_3 + x3", "x2 = 2e1*x2_3 + x3", "x2 = 2e1*x2_3 + x2"],
    [r"x_{k1} = \mathrm{conv1}(x_{k0})", r"x_{k2} = \mathrm{conv2}(x_{k1})"],
    ["u1 = sum(j1 = 0..n1 : x1@j1)", "u2 = sum(j2 = 0..n2 : x2@j2)", "u2 = sum(j2 = 0..n2 : x2@j1)"],
    ["x1 = " + "(" * 50 + "x0" + ")" * 50, "x2 = " + "(" * 50 + "x1" + ")" * 50],
    ["x1 = " + "relu(" * 190 + "x0" + ")" * 190, "x2 = " + "relu(" * 190 + "x1" + ")" * 190],
]


def with_places(node: object) -> object:
    """A tree as nested tuples, with the text that each part stands at."""
    match node:
        case Span():
            return node.text, node.start
        case tuple():
            return tuple(map(with_places, node))
        case _ if is_dataclass(node):
            return type(node).__name__, *(with_places(getattr(node, field.name)) for field in fields(node))
        case _:
            return node


@pytest.mark.parametrize("statements", LIKE, ids=lambda statements: statements[0][:30])
def test_a_statement_like_an_earlier_one_has_the_tree_that_it_has_alone(statements: list[str]):
    source, before = Source("test.cldf", "\n".join([*statements, *statements])), 0
    problems = Problems()
    together = iter(parse_spec(source, problems).statements)
    places = [problem.places[0].span.start for problem in problems.found]
    for text in [*statements, *statements]:
        alone = Problems()
        expected = parse_spec(Source("test.cldf", "\n" * before + text), alone).statements
        assert [with_places(next(together)) for _ in expected] == list(map(with_places, expected))
        for problem in alone.found:
            assert problem.places[0].span.start in places
        before += len(text) + 1
    assert next(together, None) is None


def test_spans_take_no_part_in_equality():
    assert parse_one("a   =  b") == parse_one("a = b")


# Walks


def test_walks():
    equation = parse_one("a@ℓ = g(K * b@i-1) + 0")
    assert isinstance(equation, tree.Equation)
    assert [mention.name for mention in mentions(equation)] == ["a", "ℓ", "g", "K", "b", "i"]
    assert nesting(equation.left) == 2 and nesting(equation) == 6
    assert equation.left in list(children(equation))


# The grammar


def test_tables_are_those_of_the_grammar():
    assert build_tables.digest() == tables.DIGEST, "run `python -m cldfc.syntax.build_tables`"


def test_letters_of_names_are_those_with_an_ascii_spelling():
    letters = {chr(code) for code in range(0x110000) if re.fullmatch(LETTER, chr(code))}
    assert letters == {*string.ascii_letters, *ASCII}


# The table of statements is the tree: what is made from it, and what stands beside it

GRAMMAR = (ROOT / "grammar" / "cldf.lark").read_text(encoding="utf-8")
STARTING = re.findall(r'^[a-z]+: +"(\w+)"', GRAMMAR, re.MULTILINE)
KINDS = [kind for kind in get_args(tree.Statement) if kind is not tree.Equation]


def test_every_statement_of_the_grammar_has_an_example():
    for word in STARTING:
        assert word in STATEMENTS, f"no statement of cldfc/syntax/tree.py has an example that starts with `{word}`"
    assert {*STATEMENTS} == {*STARTING}, "the grammar does not have every statement of cldfc/syntax/tree.py"


@pytest.mark.parametrize("word", STATEMENTS)
def test_a_statement_is_read_written_and_completed(word):
    for example in EXAMPLES[word].strip("`").split("` or `"):
        problems = Problems()
        (statement,) = parse_spec(Source("example.cldf", f"{example}\n"), problems).statements
        assert not problems.found
        is_built = isinstance(statement, get_args(tree.Statement))
        assert is_built, f"no method of cldfc/syntax/build.py makes a statement of `{word}`"
        assert example in type(statement).examples
        is_written = statement_line(statement, Formatter()) is not None
        assert is_written, f"no case of cldfc/syntax/format.py writes `{word}`"
        written = format_statement(statement)
        assert parse_spec(Source("written.cldf", f"{written}\n"), Problems()).statements == (statement,)
    assert EXAMPLES[word]
    page = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"^```cldf\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    is_there = re.search(rf"^{word}\b", blocks, re.MULTILINE) or re.search(rf"`{word}\b[^`]*`", page)
    assert is_there, f"`{word}` is not in docs/language.md"


@pytest.mark.parametrize("word", STATEMENTS)
def test_some_spec_has_the_statement(word):
    paths = [*ROOT.glob("specs/**/*.cldf"), *ROOT.glob("examples/*.cldf"), *ROOT.glob("tests/golden/**/*.cldf")]
    found = any(re.search(rf"^{word}\b", path.read_bytes().decode(errors="ignore"), re.MULTILINE) for path in paths)
    assert found, f"no spec has `{word}`: write one in tests/golden/compile"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_statement_means_something(kind):
    """Some file beside those of the syntax speaks of it."""
    speaks = re.compile(rf"\btree\.{kind.__name__}\b")
    rooms = [folder for folder in (ROOT / "cldfc").iterdir() if folder.is_dir() and folder.name != "syntax"]
    found = any(speaks.search(path.read_text(encoding="utf-8")) for room in rooms for path in room.rglob("*.py"))
    only_read = kind in (tree.Version, tree.Extend)  # they say how a text is to be read
    assert found or only_read, f"`tree.{kind.__name__}` means nothing yet: say what in cldfc/network"
