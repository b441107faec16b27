"""Random trees of every form that the parser can produce: `specs()`, `statements()`, `expressions()`."""

from dataclasses import replace
from functools import cache
from typing import Literal, get_args, get_type_hints

from hypothesis import strategies as st

from cldfc.diagnostics import Source, Span
from cldfc.syntax import tree
from cldfc.syntax.keywords import REDUCTIONS, STATEMENTS
from cldfc.syntax.spelling import COMMANDS, PLAIN_NAME, canonical_name
from cldfc.syntax.walk import in_lowest_terms

NOWHERE = Span(Source("", ""), 0, 0)
NAMES = (
    "r u x f σ 𝒜 ℓ i J ν A1 bn_2 θ σ_1 tilde_r f_in 𝒜2 θ0 x_ σx hat_𝒜 tilde_ℓ tilde_l R_σ value_of_x bar_σ_in "
    "σ_in_out 𝒜_1 cal l_ a__b tilde_ hat_x_ check_rel summary concat_2 input for bias groups relu e x1"
).split()

signs = st.sampled_from([1, -1])


@cache
def names() -> st.SearchStrategy[str]:
    """Names as trees hold them, but for the two words that start reductions."""
    spelled = st.from_regex(PLAIN_NAME, fullmatch=True).map(canonical_name)
    return st.sampled_from(NAMES) | spelled.filter(lambda name: name not in REDUCTIONS)


def index(name: str | None, at: tree.Index | None, offset: int) -> tree.Index:
    return tree.Index(name, at, offset, NOWHERE)


def multiple(index: tree.Index, factor: int, divisor: int) -> tree.Index:
    """`2*k-1`, `i/2`: with a name."""
    return in_lowest_terms(replace(index, factor=factor, divisor=divisor)) if index.name else index


steps_by = st.sampled_from([1, 1, 2, 3, -1, -2])


@cache
def simple_indices() -> st.SearchStrategy[tree.Index]:
    """`3`, `-1`, `ℓ`, `i-1`."""
    shifts = st.integers(-3, 3)
    return st.builds(index, st.none(), st.none(), st.integers(-3, 99)) | st.builds(index, names(), st.none(), shifts)


@cache
def indices() -> st.SearchStrategy[tree.Index]:
    """Indices, some with a tag of their own, a few of these with one again."""
    commands = st.sampled_from(sorted(set(COMMANDS.values()))).map(lambda name: index(name, None, 0))
    shifts = st.integers(-3, 3)
    inner = st.builds(index, names(), simple_indices(), st.just(0)) | st.builds(index, names(), commands, shifts)
    return simple_indices() | st.builds(index, names(), simple_indices() | inner, shifts)


@cache
def tags() -> st.SearchStrategy[tuple[tree.Index, ...]]:
    """Those of a declaration or of a left side."""
    return st.just(()) | st.lists(indices(), min_size=1, max_size=3).map(tuple)


@cache
def symbols() -> st.SearchStrategy[tree.Symbol]:
    """Names with tags in which an index may be a multiple or a part of a name."""
    some = st.builds(multiple, indices(), st.integers(1, 3), st.integers(1, 3))
    written = st.lists(some, min_size=1, max_size=3).map(tuple)
    return heads() | st.builds(lambda name, tag: tree.Symbol(name, tag, NOWHERE), names(), written)


@cache
def heads() -> st.SearchStrategy[tree.Symbol]:
    """Names with tags, as they are declared."""
    return st.builds(lambda name, tag: tree.Symbol(name, tag, NOWHERE), names(), tags())


@cache
def numbers() -> st.SearchStrategy[tree.Number]:
    values = st.integers(0, 10**20 - 1) | st.integers(0, 9) | st.floats(0, allow_nan=False, allow_infinity=False)
    return values.map(lambda value: tree.Number(abs(value), NOWHERE))


def compounds(parts: st.SearchStrategy[tree.Expression]) -> st.SearchStrategy[tree.Expression]:
    """Expressions made of smaller ones."""
    terms = st.lists(st.tuples(signs, parts), min_size=1, max_size=4)
    several = st.lists(parts, min_size=2, max_size=3).map(tuple)
    reducers, listed = st.sampled_from(get_args(tree.Reducer)), st.sampled_from(REDUCTIONS)
    strides = st.sampled_from([1, 2, 3, 255, (2, 1), (1, 3)])
    settings = st.lists(
        st.builds(
            lambda name, value: tree.Setting(name, value, NOWHERE), st.none() | st.sampled_from(["k", "stride"]), parts
        ),
        min_size=1,
        max_size=3,
    )
    return st.one_of(
        st.builds(lambda h, s: tree.Symbol(h.name, h.tag, NOWHERE, tuple(s)), heads(), settings),
        st.builds(lambda k, s, x, t: tree.Star(k, s, x, NOWHERE, t), parts, strides, parts | st.none(), st.booleans()),
        st.builds(lambda k: tree.Adjoint(k, NOWHERE), heads() | parts),
        st.builds(lambda g, x: tree.Compose(g, x, NOWHERE), parts, parts),
        st.builds(lambda g, x: tree.Apply(g, x, NOWHERE), parts, parts),
        terms.map(lambda ts: tree.Sum(tuple(t for _, t in ts), tuple(s for s, _ in ts), NOWHERE)),
        several.map(lambda factors: tree.Product(factors, NOWHERE)),
        st.builds(lambda a, b: tree.Quotient(a, b, NOWHERE), parts, parts),
        st.builds(lambda a, b: tree.Power(a, b, NOWHERE), parts, parts),
        st.builds(
            lambda *p: tree.Reduction(*p[:-1], NOWHERE, NOWHERE, p[-1]),
            reducers,
            names(),
            parts,
            parts,
            parts,
            steps_by,
        ),
        st.builds(lambda r, m: tree.Listing(r, (m,), NOWHERE), listed, parts),
        st.builds(lambda r, m: tree.Listing(r, m, NOWHERE), listed, several),
    )


@cache
def expressions() -> st.SearchStrategy[tree.Expression]:
    return st.recursive(symbols() | numbers(), compounds, max_leaves=10)


@cache
def clauses() -> st.SearchStrategy[tuple[tree.Clause, ...]]:
    """Ranges of indices, each with at least one end."""
    ends = st.tuples(expressions(), expressions(), steps_by)
    ends = ends | st.tuples(expressions(), st.none(), steps_by.filter(lambda by: by != -1))
    ends = ends | st.tuples(st.none(), expressions(), st.just(1))
    one = st.builds(lambda name, ends: tree.Clause(name, *ends[:2], NOWHERE, NOWHERE, ends[2]), names(), ends)
    return st.lists(one, max_size=2).map(tuple)


@cache
def statements() -> st.SearchStrategy[tree.Statement]:
    """Statements of all kinds, equations the most often."""
    plain = st.sampled_from(["Net", "A_1", "x"])
    sizes = st.builds(lambda name: tree.Symbol(name, (), NOWHERE), names()) | numbers()
    some, perhaps = expressions(), expressions() | st.none()
    paddings = st.just(()) | st.tuples(some) | st.tuples(some, numbers())
    boundaries = st.none() | st.sampled_from(["circular", "reflect", "replicate"])
    entries = st.integers(0, 99).map(lambda value: tree.Number(value, NOWHERE))
    rows = st.lists(st.lists(entries, min_size=1, max_size=3).map(tuple), min_size=1, max_size=3).map(tuple)
    planes = st.lists(rows, min_size=1, max_size=3).map(tuple)
    given = st.builds(lambda p, f: tree.Stencil(p, None, f, NOWHERE), planes, perhaps)
    axes = st.lists(sizes, min_size=1, max_size=3).map(tuple)
    stencils = st.none() | given | st.builds(lambda f: tree.Stencil((), "laplace5", f, NOWHERE), perhaps)
    paths = st.text(st.characters(exclude_characters='"\n', exclude_categories=["Cs"]), max_size=9)
    lefts = heads().filter(lambda symbol: symbol.name not in STATEMENTS)
    equations = st.builds(lambda a, b, c: tree.Equation(a, b, NOWHERE, c), lefts, some, clauses())
    narrow = {
        tree.Version: st.nothing(),
        tree.Model: plain.map(lambda name: tree.Model(name, NOWHERE)),
        tree.Extend: paths.map(lambda path: tree.Extend(path, NOWHERE)),
        tree.Let: st.builds(
            lambda s, v: tree.Let(s, tuple(v), NOWHERE), heads(), st.lists(some, min_size=1, max_size=4)
        ),
        tree.InputStatement: st.builds(
            lambda n, c, s: tree.InputStatement(tree.Symbol(n, (), NOWHERE), (c, *s), NOWHERE), names(), sizes, axes
        ),
        tree.Output: st.builds(
            lambda n, s, scores: tree.Output(n, (s,), scores, NOWHERE, NOWHERE), names(), sizes, st.booleans()
        ),
        tree.KernelStatement: st.builds(
            lambda s, a, i, o, g, d, b, p, e, t, f: tree.KernelStatement(
                s, a, i, o, NOWHERE, g, d, b, p, e, stencil=t, is_fixed=f
            ),
            *(heads(), axes, perhaps, some, perhaps, perhaps, st.booleans(), paddings, boundaries),
            *(stencils, st.booleans()),
        ),
        tree.Scalar: st.builds(
            lambda s, v, f, c: tree.Scalar(s, tuple(v), f, NOWHERE, c),
            *(heads(), st.lists(some, min_size=1, max_size=3), st.booleans(), perhaps),
        ),
        tree.Expect: st.builds(lambda q, n: tree.Expect(q, n, NOWHERE, NOWHERE), plain, numbers()),
        tree.Equation: equations,
    }
    return equations | st.one_of(
        *(narrow[kind] if kind in narrow else of_its_fields(kind) for kind in get_args(tree.Statement))
    )


def of_its_fields(kind: type) -> st.SearchStrategy[tree.Statement]:
    """Statements of a kind that takes whatever fits the types of its fields."""
    some = {
        Span: st.just(NOWHERE),
        str: names(),
        bool: st.booleans(),
        int: steps_by,
        tree.Symbol: heads(),
        tree.Number: numbers(),
        tree.Expression: expressions(),
        tuple[tree.Clause, ...]: clauses(),
        tuple[tree.Number, ...]: st.lists(numbers(), min_size=1, max_size=3).map(tuple),
        tuple[tree.Expression, ...]: st.lists(expressions(), min_size=1, max_size=3).map(tuple),
        Literal["levels", "steps"]: st.sampled_from(["levels", "steps"]),
    }
    return st.builds(kind, *(some[of] for name, of in get_type_hints(kind).items() if name != "examples"))


@cache
def specs() -> st.SearchStrategy[tuple[tree.Statement, ...]]:
    """The statements of whole files."""
    return st.lists(statements(), max_size=6).map(tuple)
