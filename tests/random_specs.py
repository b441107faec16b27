"""Random well-formed specs: Algorithm 2 and its variations, residual, multi-step, dense and V-cycle networks.

Every one of them compiles. Channels are 2 to 4 and images about 8 × 8, so that hundreds are compared in a minute.
"""

from collections.abc import Callable, Sequence

from hypothesis import strategies as st
from spec_writer import Draw, Writer


def data_mapping(w: Writer) -> None:
    """𝒜: linear, with one kernel or several, or one of Table 1's non-linear forms."""
    s = w.s()
    # Where a level has no step, nothing else says the channels of its u@ℓ,0 = 0.
    before = ", c@ℓ" if 0 in w.steps or w.chance(4) else ""
    w.kernel("A@ℓ", before=before)
    linear = ["A@ℓ *", "A@ℓ *", "0.5 * A@ℓ *", "ω@ℓ * A@ℓ *", "(A@ℓ *) + (K@ℓ *)", "A@ℓ * K@ℓ *", "identity - (A@ℓ *)"]
    linear += ["1/8 * L@ℓ *", "Aᵀ@ℓ *", "Aᵀ@ℓ * A@ℓ *", "Kᵀ@ℓ * A@ℓ * K@ℓ *"]
    nonlinear = [f"A@ℓ * {s}", f"{s} ∘ A@ℓ *", f"{s} ∘ A@ℓ * {s}", "A@ℓ * abs"]
    body = w.of(*linear, *nonlinear)
    if "L" in body:
        w.add(f"kernel L@ℓ : 3×3 each = {w.of('laplace5 fixed', '1/2 * [0 -1 0; -1 4 -1; 0 -1 0]', 'laplace9')}")
    if "K" in body:
        w.kernel("K@ℓ", before=before)
    if "ω" in body:
        w.add("scalar ω@ℓ = 0.5")
    w.add(f"let 𝒜@ℓ = {body}")


def smoother(w: Writer) -> None:
    """ℬ: Table 1's forms, by level or by step."""
    s, tag = w.s(), w.of("ℓ,i", "ℓ,i", "ℓ")
    w.kernel(f"B@{tag}")
    forms = [f"{s} ∘ B@{tag} * {s}", f"{s} ∘ B@{tag} *", f"B@{tag} * {s}", f"B@{tag} *", f"Bᵀ@{tag} * {s} ∘ B@{tag} *"]
    w.add(f"let ℬ@ℓ,i = {w.of(*forms)}")
    if tag == "ℓ,i" and w.chance(4):
        w.add(w.of("tie B@ℓ", "tie B@ℓ for i >= 2", "tie B@ℓ for ℓ >= 2"))


def features(w: Writer) -> None:
    """Algorithm 2, as printed and varied."""
    prolong = w.of("Π@ℓ *_2 u@ℓ,ν", "Π@ℓ *_2 u@ℓ,ν", "σ", "pool", "zero")
    if w.steps[-1] == 0 and (w.levels == 1 or w.steps[0] == 0 or prolong == "zero"):
        w.steps[-1] = 1
    w.constants()
    w.sigma()
    data_mapping(w)
    smoother(w)
    w.kernel("Π@ℓ", "c@ℓ+1", extras=False)
    w.kernel("R@ℓ", "c@ℓ+1", extras=False)
    up = w.s("ℓ+1")
    start = {"σ": f"{up} ∘ Π@ℓ *_2 u@ℓ,ν", "pool": "Π@ℓ * avgpool[3, stride=2](u@ℓ,ν)", "zero": "0"}.get(
        prolong, prolong
    )
    again = "A@ℓ *_2 " if w.same_width else "R@ℓ *_2 "
    restrict = w.of("R@ℓ *_2 ", "R@ℓ *_2 ", again, f"{up} ∘ R@ℓ *_2 ", "R@ℓ * maxpool[3, stride=2]")
    w.add("f@1 = " + w.of(f"{w.s('1')} ∘ {w.start}", w.start, f"relu ∘ bn ∘ {w.start}"), "u@1,0 = 0")
    more = w.of("", "", "", " - 1/4 * u@ℓ,i-1", " + A@ℓ * u@ℓ,i-1", " + f@ℓ ⊙ u@ℓ,i-1")
    w.add(f"u@ℓ,i = u@ℓ,i-1 + {w.factor()}ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(u@ℓ,i-1)){more}")
    w.add(f"u@ℓ+1,0 = {start}")
    w.add(f"f@ℓ+1 = {restrict}(f@ℓ - 𝒜@ℓ(u@ℓ,ν)){w.of(' + 𝒜@ℓ+1(u@ℓ+1,0)', ' + 𝒜@ℓ+1(u@ℓ+1,0)', '')}")
    w.head("u@J,ν", "J")


def residual(w: Writer) -> None:
    """Algorithm 1, with every sharing, gates and bottlenecks."""
    w.constants()
    w.sigma()
    s, up = w.s(), w.s("ℓ+1")
    one_for_all = w.same_width and w.chance(4)
    tag, above = ("", "") if one_for_all else w.of(("@ℓ", "@ℓ+1"), ("@ℓ,i", "@ℓ+1,0"))
    w.kernel("A" + tag)
    w.kernel("B@ℓ,i", extras=w.same_width)
    w.add(f"kernel R@ℓ : {w.of('1×1', '3×3')} → c@ℓ")
    if tag == "@ℓ,i" and w.chance(2):
        w.add(w.of("tie A@ℓ", "tie A@ℓ for ℓ >= 2", "tie A@ℓ for i >= 1", "tie A@ℓ for i <= 1"))
    if w.chance(3):
        # Without its range the tie has one B at two strides.
        w.add(w.of("tie B@ℓ", "tie B@ℓ for i >= 1") if w.same_width else "tie B@ℓ for i >= 1")
    w.add(f"r@1,0 = {w.s('1')} ∘ {w.start}")
    step = f"A{w.of('', '', 'ᵀ')}{tag} * {s} ∘ B@ℓ,i * {w.of(f'{s}(r@ℓ,i-1)', 'r@ℓ,i-1')}"
    if w.chance(5):
        w.kernel("G@ℓ,i", extras=False)
        step += " ⊙ sigmoid ∘ G@ℓ,i * r@ℓ,i-1"
    body = f"r@ℓ,i-1 {w.of('+', '-')} {w.factor()}{step}"
    body = w.of(body, body, f"{s}({body})")
    other = f"r@ℓ,i-1 + {s} ∘ R@ℓ,ℓ+1 * relu(r@ℓ,i-1)" if w.same_width else "tanh(r@ℓ,i-1)"
    match w.of("all", "all", "all", "first step", "last level", "from the second", "first level"):
        case "first step":
            w.add(f"r@ℓ,i = {body} for i >= 2", f"r@ℓ,1 = {other.replace('i-1', '0')}")
        case "last level":
            w.add(f"r@ℓ,i = {body} for ℓ = 1..J-1, i = 1..ν", f"r@ℓ,i = {other} for ℓ = J..J, i = 1..ν")
        case "from the second":
            w.add(f"r@ℓ,i = {other} for i = 1..1", f"r@ℓ,i = {body} for i = 2..ν")
        case "first level":
            w.add(f"r@ℓ,i = {other} for ℓ <= 1, i = 1..ν", f"r@ℓ,i = {body} for ℓ >= 2, i = 1..ν")
        case _:
            w.add(f"r@ℓ,i = {body}")
    pooled = w.of("R@ℓ+1 *_2 r@ℓ,ν", "R@ℓ+1 * avgpool[3, stride=2](r@ℓ,ν)", "bn ∘ R@ℓ+1 *_2 r@ℓ,ν")
    if w.chance(4):
        w.add(f"r@ℓ+1,0 = {pooled}")
    else:
        w.add(f"r@ℓ+1,0 = {pooled} + A{above} * {up} ∘ B@ℓ+1,0 *_2 {s}(r@ℓ,ν)")
    w.head("r@J,ν", "J")


def multi_step(w: Writer) -> None:
    """Two-step iterations, in features or in residuals."""
    w.steps[0] = max(1, w.steps[0])
    w.constants()
    w.sigma()
    s = w.s()
    w.kernel("A@ℓ")
    w.kernel("B@ℓ,i")
    w.kernel("R@ℓ", "c@ℓ+1", extras=False)
    if w.chance(3):
        w.add("tie B@ℓ for i >= 2")
    w.add(f"f@1 = {w.s('1')} ∘ {w.start}", f"u@1,-1 = {w.of('0', 'f@1')}", f"u@1,0 = {w.of('0', 'f@1', '1/2 * f@1')}")
    step = w.of(f"{s} ∘ B@ℓ,i * {s}(f@ℓ - A@ℓ * u@ℓ,i-1)", "B@ℓ,i * relu(u@ℓ,i-1) - A@ℓ * f@ℓ")
    w.add(f"u@ℓ,i = {w.factor()}u@ℓ,i-1 {w.of('+', '-')} {w.of('1/4 * ', '')}u@ℓ,i-2 + {step}")
    w.add("u@ℓ+1,-1 = R@ℓ *_2 u@ℓ,ν-1", "u@ℓ+1,0 = R@ℓ *_2 u@ℓ,ν", "f@ℓ+1 = R@ℓ *_2 (f@ℓ - A@ℓ * u@ℓ,ν)")
    if w.steps[-1] == 0:
        w.head("u@J,ν + f@J", "J")
    else:
        w.head("u@J,ν", "J")


def dense(w: Writer) -> None:
    """Reductions over the steps so far: concatenations, and sums with numbers, kernels and normalisations."""
    w.steps = [max(1, steps) for steps in w.steps]
    w.constants()
    w.sigma()
    s = w.s()
    kind = w.of("concat", "sum", "kernels", "owned", "nested")
    w.kernel("T@ℓ", extras=False)
    w.add(f"x@1,0 = {w.s('1')} ∘ {w.start}")
    if kind == "concat":
        w.kernel("K@ℓ,i", extras=False)
        w.add(f"x@ℓ,i = K@ℓ,i * {w.of('relu ∘ bn', 'tanh', 'relu')}(concat(j = 0..i-1 : x@ℓ,j))")
        w.add("x@ℓ+1,0 = T@ℓ+1 *_2 concat(j = 0..ν : x@ℓ,j)")
        w.head("concat(j = 0..ν : x@J,j)", "J") if not w.sigma_tag else w.head("x@J,ν", "J")
        return
    body = {
        "sum": "x@ℓ,j",
        "kernels": f"K@ℓ,j * {s}(x@ℓ,j)",
        "owned": f"1/(i+j) * {w.of('K@ℓ,j * relu ∘ bn(x@ℓ,j)', 'relu ∘ bn ∘ K@ℓ,j * x@ℓ,j')}",
        "nested": "K@ℓ,j * sum(k = 0..j : 1/(k+1) * relu(x@ℓ,k))",
    }[kind]
    w.kernel("K@ℓ,j".replace("j", "i"), extras=False)
    w.add(f"x@ℓ,i = {w.of('', 'x@ℓ,i-1 + ')}{w.factor()}{w.of('relu', s)}(sum(j = 0..i-1 : {body}))")
    w.add("x@ℓ+1,0 = T@ℓ+1 *_2 sum(j = 1..ν : x@ℓ,j)")
    w.head(w.of("x@J,ν", "x@J,ν", "sum(j = 0..ν : x@J,j)"), "J")


def history(w: Writer) -> None:
    """Reductions over the steps so far, of data and values that may start from zero, beside a second family."""
    w.steps = [max(1, steps) for steps in w.steps]
    w.constants()
    w.sigma()
    s, zero = w.s(), w.chance(2)
    w.kernel("A@ℓ", before=", c@ℓ", extras=False)
    w.kernel("B@ℓ,i", before=", c@ℓ", extras=False)
    w.kernel("T@ℓ", "c@ℓ+1", extras=False)
    w.add(w.of("", "tie B@ℓ", "tie B@ℓ for i >= 2", "tie B@ℓ for ℓ >= 2"))
    w.add(f"f@1 = {w.s('1')} ∘ {w.start}", f"f@ℓ+1 = {w.of('T@ℓ *_2 f@ℓ', 'T@ℓ *_2 (f@ℓ - A@ℓ * x@ℓ,ν)')}")
    w.add(f"x@1,0 = {'0' if zero else w.of('f@1', 'relu(f@1)')}")

    def term(j: str) -> str:
        plain = [f"x@ℓ,{j}", f"A@ℓ * x@ℓ,{j}", f"{w.s()}(x@ℓ,{j})", f"1/({j}+1) * x@ℓ,{j}", f"bn(x@ℓ,{j})"]
        data = [f"relu(f@ℓ - A@ℓ * x@ℓ,{j})", f"{s} ∘ B@ℓ,{j} * (f@ℓ + x@ℓ,{j})", f"f@ℓ ⊙ tanh(f@ℓ - x@ℓ,{j})"]
        return w.of(*data, *([] if zero else plain))

    def total(upper: str = "i-1", lower: str = "0", least: str = "0") -> str:
        """A reduction up to `upper`, which is never less than `least`."""
        body = term("j")
        match w.of("sum", "sum", "sum", "nested", "concat", "recent", "first"):
            case "nested":
                body = f"{w.of('', 'B@ℓ,j * ')}sum(k = 0..j : {w.of('', '1/(j+k+1) * ')}{term('k')})"
            case "concat":
                name = f"G{len(w.lines)}@ℓ,i"
                w.add(f"kernel {name} : 1×1 → c@ℓ")
                return f"{name} * {w.of('', 'relu ∘ ', 'relu ∘ bn ∘ ')}concat(j = {lower}..{upper} : {body})"
            case "recent":
                lower = upper
            case "first":
                upper = least
        return f"sum(j = {lower}..{upper} : {body})"

    def step(least: str = "0") -> str:
        before = w.of("", "", "x@ℓ,i-1 + ")
        after = w.of("", "", f" - 1/4 * {total(least=least)}", " + f@ℓ", f" + 1/2 * {s}(f@ℓ)")
        return f"{before}{w.factor()}{w.of('', 'relu', s, 'B@ℓ,i * ')}({total(least=least)}){after}"

    match w.of("all", "all", "first", "last level", "halves"):
        case "first":
            w.add(f"x@ℓ,1 = {w.of('f@ℓ', 'relu(f@ℓ - A@ℓ * x@ℓ,0)')}", f"x@ℓ,i = {step('1')} for i >= 2")
        case "last level":
            w.add(f"x@ℓ,i = {step()} for ℓ = 1..J-1, i = 1..ν", f"x@ℓ,i = {step()} for ℓ = J..J, i = 1..ν")
        case "halves":
            w.add(f"x@ℓ,i = {step()} for i = 1..2", f"x@ℓ,i = {step('2')} for i >= 3")
        case _:
            w.add(f"x@ℓ,i = {step()}")
    kept = w.of("x@ℓ,ν", "sum(j = 1..ν : x@ℓ,j)", "sum(j = 0..ν : relu(x@ℓ,j))")
    w.add(f"x@ℓ+1,0 = {w.of('0', f'T@ℓ *_2 {kept}') if zero else f'T@ℓ *_2 {kept}'}")
    if w.chance(2):
        w.head(w.of("x@J,ν", "sum(j = 1..ν : x@J,j)", "sum(j = 0..ν : tanh(x@J,j))"), "J")
        return
    w.add("y@1,0 = f@1", f"y@ℓ,i = y@ℓ,i-1 {w.of('+ x@ℓ,i-1', f'- {s}(x@ℓ,i)', f'+ 1/2 * tanh({total()})')}")
    w.add(f"y@ℓ+1,0 = T@ℓ *_2 y@ℓ,ν{w.of('', ' + x@ℓ+1,0')}")
    w.head("y@J,ν", "J")


def chain(w: Writer) -> None:
    """Layer after layer from the input itself, by level, or dense; widths may differ from step to step."""
    w.constants()
    w.sigma()
    width = w.of("c@ℓ", "c@ℓ", "2 * i", "c@ℓ + 2 * i")
    w.add(f"kernel K@ℓ,i : {w.of('3×3', '1×1')} → {width}" + w.of("", " bias"))
    w.add("x@1,0 = " + w.of("f", "f", "relu(f)", "θ * f") if w.start == "θ * f" else f"x@1,0 = {w.start}")
    step = f"{w.of('relu', 'relu ∘ bn', 'tanh')} ∘ K@ℓ,i * {w.of('x@ℓ,i-1', 'x@ℓ,i-1', 'relu ∘ bn(x@ℓ,i-1)')}"
    w.add(f"x@ℓ,i = {w.of(step, step, f'concat(x@ℓ,i-1, {step})')}")
    w.add(f"x@ℓ+1,0 = {w.of('maxpool[3, stride=2]', 'avgpool[3, stride=2] ∘ tanh')}(x@ℓ,ν)")
    w.head("x@J,ν", "J", is_wide=True)


def v_cycle(w: Writer) -> None:
    """Down the levels and up again, with prolongations; the way up reads what the way down has left."""
    w.steps = [max(1, steps) for steps in w.steps]
    w.constants(sides=(8,))
    w.sigma()
    s = w.s()
    w.kernel("A@ℓ")
    w.kernel("B@ℓ,i")
    w.kernel("C@ℓ,i")
    w.kernel("R@ℓ", "c@ℓ+1", extras=False)
    size = w.of("2×2", "3×3", "4×4", "1×1")
    w.add(f"kernel P@ℓ : {size} → c@ℓ" + w.of("", " bias", " groups 2"))
    w.add(f"f@1 = {w.s('1')} ∘ {w.start}", f"u@1,0 = {w.of('0', 'f@1')}")
    w.add(f"u@ℓ,i = u@ℓ,i-1 + {w.factor()}{s} ∘ B@ℓ,i * {w.of(s, 'relu')}(f@ℓ - A@ℓ * u@ℓ,i-1)")
    w.add(
        "f@ℓ+1 = R@ℓ *_2 (f@ℓ - A@ℓ * u@ℓ,ν)",
        f"u@ℓ+1,0 = {w.of('0', 'R@ℓ *_2 u@ℓ,ν', 'Pᵀ@ℓ *^2 u@ℓ,ν')}",
        "v@J,0 = u@J,ν",
    )
    up = w.of("P@ℓ-1 *^2 v@ℓ,ν", "1/2 * P@ℓ-1 *^2 relu(v@ℓ,ν)", "P@ℓ-1 *^2 v@ℓ,0", "Rᵀ@ℓ-1 *_2 v@ℓ,ν")
    w.add(f"v@ℓ-1,0 = u@ℓ-1,ν + {up}", f"v@ℓ,i = v@ℓ,i-1 + {s} ∘ C@ℓ,i * (f@ℓ - A@ℓ * v@ℓ,i-1)")
    w.head("v@1,ν", "1")


def expression(w: Writer, values: list[str], tag: str, depth: int) -> str:
    """Any expression over some values of one shape, in parentheses if it is not a plain one.

    Terms have factors, so that they do not cancel but for rounding, which would be all that is compared then.
    """

    def inner() -> str:
        return expression(w, values, tag, depth - 1)

    if depth == 0:
        return w.of(*values)
    level = tag.split(",")[0]
    forms = {
        "sum": lambda: f"({w.of('', '-')}{inner()} {w.of('+', '-')} 3/4 * {inner()})",
        "three": lambda: f"({inner()} - 1/4 * ({inner()} {w.of('+', '-')} 1/3 * {inner()}))",
        "product": lambda: f"(tanh({inner()}) ⊙ {inner()})",
        "number": lambda: f"({w.of('2', '1/3', '(1 - 3)', '-0.5', '1/(ℓ+1)' if 'ℓ' in tag else '3/4')} * {inner()})",
        "kernel": lambda: f"({w.of('K', 'L')}@{w.of(level + ',1', tag)} * {inner()})",
        "sigma": lambda: f"{w.s(level)}({inner()})",
        "operators": lambda: f"({w.of('relu', 'identity')} {w.of('+', '-')} {w.of('2 * ', '')}tanh)({inner()})",
        "chain": lambda: f"(sigmoid ∘ K@{tag} * abs)({inner()})",
        "identity": lambda: f"identity({inner()})",
        "listing": lambda: f"sum({inner()}, {inner()})",
        "norm": lambda: f"bn({inner()})",
        "pooled": lambda: f"avgpool[3, stride=1]({inner()})",
        "value": inner,
    }
    return forms[w.of(*forms)]()


def mixed(w: Writer) -> None:
    """Two families that need one another, by arbitrary expressions; a kernel may have two strides."""
    w.steps[0] = max(1, w.steps[0])
    w.constants()
    w.sigma()
    for name in "KL":
        w.add(f"kernel {name}@ℓ,i : {w.of('3×3', '1×1')} → c@ℓ")
    w.add(w.of("tie K@ℓ", "tie L@ℓ for i >= 2", ""))
    w.add(f"kernel T@ℓ : {w.of('1×1', '3×3')} → c@ℓ", f"x@1,0 = {w.start}", "y@1,0 = " + w.of("relu(x@1,0)", "x@1,0"))
    before = ["x@ℓ,i-1", "y@ℓ,i-1", "x@ℓ,0", "x@ℓ,i-1"]
    w.add(f"x@ℓ,i = x@ℓ,i-1 + {expression(w, before, 'ℓ,i', w.of(1, 2, 3))}")
    w.add(f"y@ℓ,i = {expression(w, [*before, 'x@ℓ,i'], 'ℓ,i', w.of(1, 2, 3))} - 1/2 * y@ℓ,i-1")
    again = "K@ℓ,1" if w.same_width and w.chance(2) else "T@ℓ+1"
    w.add(f"x@ℓ+1,0 = {again} *_2 {expression(w, ['x@ℓ,ν', 'y@ℓ,ν'], 'ℓ,1', 2)}")
    w.add("y@ℓ+1,0 = " + w.of("x@ℓ+1,0", "T@ℓ+1 *_2 y@ℓ,ν", "T@ℓ+1 * maxpool[3, stride=2](y@ℓ,ν)"))
    w.head(w.of("x@J,ν + y@J,ν", "x@J,ν + y@J,ν", "concat(x@J,ν, y@J,ν)") if not w.sigma_tag else "x@J,ν - y@J,ν", "J")


def stepped(w: Writer) -> None:
    """Ranges in steps, up and down, and multiples and parts of indices; vectors, families of declarations, norms."""
    w.levels, w.steps, w.same_width = 1, [1], True
    w.lines[1] = "let J = 1"
    w.constants()
    w.sigma()
    s, half = w.s("1"), w.of(2, 3, 4)
    w.add(f"steps k = 1..{2 * half}", f"kernel K@k : {w.of('3×3', '1×1')} → c@1")
    if w.chance(2):
        w.add("kernel K@2 : 1×1 → c@1")
    w.add("vector γ : c@1 = 0.5", "scalar ω@k = 1/k", "scalar ω@1 = 0.75")
    factor = w.of("", "", "γ * ", "ω@k * ", "1/k * ", "(1 - ω@{k/2}) * ", "1/(1 + ‖x@0‖) * ")
    w.add(f"x@0 = {w.start}")
    w.add(f"x@k = x@k-2 + {factor}{s} ∘ K@k * x@{w.of('k-2', '{k/2}', '{k/2-1}', 'k-1')} for k = 2..{2 * half} by 2")
    w.add(f"x@k = K@{{(k+1)/2}} * {w.of('relu', s)}(x@{{(k-1)/2}}) {w.of('', '- 1/2 * x@k-1 ')}for k = {w.odds(half)}")
    ends = w.of(f"1..{half}", f"{half}..1 by -1")
    w.add(f"y@k = {w.of('tanh', 'relu ∘ bn')}(K@{w.of('k', '2*k', '2*k-1')} * x@2*k) + x@2*k-1 for k = {ends}")
    if w.chance(3):
        w.add("y@1 = x@2 + γ")
    summed = w.of("y@k", "y@k", "1/k * y@k", "γ * tanh(y@k)", "max(y@k, 0.1)")
    bounds = w.of(f"1..{half}", f"{half}..1 by -1", f"1..{half} by 2", f"{half}..1 by -2")
    w.head(f"{w.of('sum', 'sum', 'max')}(k = {bounds} : {summed})", "1")


def cycles(w: Writer) -> None:
    """Operators with named operands and one defined by itself, functions of scalars, inner products, fixed points."""
    w.levels, w.same_width = w.of(2, 3), True
    w.steps, w.lines[1] = [1] * w.levels, f"let J = {w.levels}"
    w.constants()
    w.sigma()
    s = w.s()
    w.add("kernel A@ℓ : 3×3 → c@ℓ", f"kernel B@ℓ : {w.of('3×3', '1×1')} → c@ℓ", "kernel R@ℓ : 3×3 → c@ℓ+1")
    w.add(
        f"steps n = 1..{w.of(1, 2, 3)}", "scalar ω@ℓ = 0.5, 0.25, 0.75" if w.levels == 3 else "scalar ω@ℓ = 0.5, 0.25"
    )
    w.add(f"scalar α = {w.of('0.3', '1/3')}")
    damping = w.of(
        "ω@ℓ", "sigmoid(ω@ℓ)", "exp(-ω@ℓ)", "1/(1 + ω@ℓ^2)", "min(ω@ℓ, 0.4)", "(1 - tanh(ω@ℓ)) / 2", "sqrt(abs(ω@ℓ))"
    )
    smoothed = w.of("B@ℓ * (f - A@ℓ * u)", f"{s} ∘ B@ℓ * (f - A@ℓ * u)", "B@ℓ * tanh(f) - 1/4 * Aᵀ@ℓ * A@ℓ * u")
    w.add(f"let S@ℓ(u, f) = u + {damping} * {smoothed}")
    w.add("let C@ℓ(u, f) = u + 1/4 * Rᵀ@ℓ *_2 M@ℓ+1(R@ℓ *_2 (f - A@ℓ * u)) for ℓ = 1..J-1")
    w.add(f"let M@J = {w.of('1/4 * identity', 'B@J *', 'relu')}")
    w.add(
        f"let M@ℓ(f) = {w.of('C@ℓ(1/2 * f, f)', 'S@ℓ(C@ℓ(B@ℓ * f, f), f)', 'C@ℓ(S@ℓ(tanh(f), f), f)')} for ℓ = 1..J-1"
    )
    step = w.of("", "α * ", "1/(1 + ‖g - x@n-1‖) * ", "⟨g, g⟩ / (1 + ⟨x@n-1, x@n-1⟩ + ⟨g, g⟩) * ", "max(α, 0.2) * ")
    w.add(f"g = {w.start}", f"x@0 = {w.of('0', 'g', 'tanh(g)')}", f"x@n = x@n-1 + {step}M@1(g - A@1 * x@n-1)")
    last = "x@" + w.lines[[line.startswith("steps n") for line in w.lines].index(True)].rpartition("..")[2]
    found = w.of(
        last,
        last,
        f"fix(u : 1/64 * tanh(A@1 * u) + {last}, tol 1e-13, steps 500)",
        f"fix(u : 1/64 * relu(α * B@1 * u) + {last}, tol 1e-13, steps 500, memory 0)",
        f"solve(u : u + 1/64 * Aᵀ@1 * A@1 * u = {last}, by cg, tol 1e-13, steps 500)",
    )
    w.head(found, "1")


FAMILIES = (
    *[cycles] * 3,
    *[stepped] * 3,
    *[features] * 4,
    *[residual] * 2,
    multi_step,
    dense,
    *[history] * 3,
    chain,
    v_cycle,
    *[mixed] * 2,
)


TASKS = (*["scores"] * 10, *["map", "numbers", "several"] * 2, "open")
"""What a network is given and gives; those with open sizes take longest, for they are compared at two."""


def random_specs(
    families: Sequence[Callable[[Writer], None]] = FAMILIES, tasks: Sequence[str] = TASKS
) -> st.SearchStrategy[str]:
    """The texts of specs that compile."""

    @st.composite
    def texts(draw: Draw) -> str:
        writer = Writer(draw, draw(st.sampled_from(tasks)))
        draw(st.sampled_from(families))(writer)
        return writer.text()

    return texts()


def feature_specs() -> st.SearchStrategy[str]:
    """Classifiers in the shape of Algorithm 2 alone."""
    return random_specs([features], ["scores"])
