r"""The paper's equations, pasted as they stand: they are read as their canonical spelling, and compile as it does."""

import pytest
import torch
from networks import build, compare, compile_text
from reference_networks import FeatureResNet, PreActResNet
from test_networks import feature_name, preact_name

from cldfc.diagnostics import CldfError, Problems, Source
from cldfc.syntax import tree
from cldfc.syntax.parse import parse_spec

# As in the paper, with what stands around them; in (4.3) the text that we have had lost the `\r` of `\right`.
LATEX = {
    "1.3": (
        r"$$u^{i} = u^{i-1} + B^{i} * (f - A * u^{i-1}), \quad i = 1 : \nu.$$"
        "\n"
        r"(1.3)"
    ),
    "1.4": (
        r"$$u^{i} = u^{i-1} + \sigma \circ B^{i} * \sigma (f - A * u^{i-1}), \quad i = 1 : \nu.$$"
        "\n"
        r"(1.4)"
    ),
    "1.5": (r"$$r^i = f - A * u^i, \tag{1.5}$$"),
    "1.6": (
        r"$$r^{i} = r^{i-1} - A * \sigma \circ B^{i} * \sigma(r^{i-1}), \quad i = 1 : \nu.$$"
        "\n"
        r"(1.6)"
    ),
    "1.7": (
        r"$$r^{i} = r^{i-1} - A^{i} * \sigma \circ B^{i} * \sigma(r^{i-1}), \quad i = 1 : \nu.$$"
        "\n"
        r"(1.7)"
    ),
    "2.1": (r"$r^{\ell,i} = r^{\ell,i-1} + A^{\ell,i} * \sigma \circ B^{\ell,i} * \sigma(r^{\ell,i-1}).$ (2.1)"),
    "2.2": (
        r"$r^{\ell+1,0} = R_{\ell}^{\ell+1} *_2 r^{\ell,\nu_{\ell}} + A^{\ell+1,0} \circ \sigma \circ "
        r"B^{\ell+1,0} *_2 \sigma(r^{\ell,\nu_{\ell}}).$ (2.2)"
    ),
    "2.3": (
        r"$$r^{\ell,i} = \sigma \left( r^{\ell,i-1} + A^{\ell,i} * \sigma \circ B^{\ell,i} * "
        r"r^{\ell,i-1} \right), \tag{2.3}$$"
    ),
    "2.4": (
        r"$$r^{\ell+1,0} = \sigma \left( R_{\ell}^{\ell+1} *_2 r^{\ell,\nu_{\ell}} + A^{\ell+1,0} * "
        r"\sigma \circ B^{\ell+1,0} *_2 r^{\ell,\nu_{\ell}} \right), \tag{2.4}$$"
    ),
    "3.3": (
        r"$$u^{\ell,i} = u^{\ell,i-1} + B^{\ell,i} * (f^{\ell} - A^{\ell} * u^{\ell,i-1}), \ i = 1 : "
        r"\nu_{\ell},$$"
        "\n"
        r"(3.3)"
    ),
    "3.4": (
        r"$$u^{\ell,i} = u^{\ell,i-1} + \sigma \circ B^{\ell,i} * \sigma(f^{\ell} - A^{\ell} * "
        r"u^{\ell,i-1}), \quad i = 1 : \nu_{\ell}.$$"
        "\n"
        r"(3.4)"
    ),
    "3.5": (
        r"$$r^{\ell,i} = r^{\ell,i-1} - A^{\ell} * \sigma \circ B^{\ell,i} * \sigma(r^{\ell,i-1}).$$"
        "\n"
        r"(3.5)"
    ),
    "3.6": (
        r"$$r^{\ell,i} = r^{\ell,i-1} + A^{\ell} * \sigma \circ B^{\ell,i} * \sigma(r^{\ell,i-1}).$$"
        "\n"
        r"(3.6)"
    ),
    "3.7": (
        r"$$r^{\ell,i} = \sigma \left( r^{\ell,i-1} + A^{\ell} * \sigma \circ B^{\ell,i} * r^{\ell,i-1} "
        r"\right).$$"
        "\n"
        r"(3.7)"
    ),
    "4.2": (
        r"$$u^{\ell,i} = u^{\ell,i-1} + \mathcal{B}^{\ell,i}(f^{\ell} - "
        r"\mathcal{A}^{\ell}(u^{\ell,i-1})), \ i = 1 : \nu_{\ell},$$"
        "\n"
        r"(4.2)"
    ),
    "4.3": (
        r"$u^{\ell,i} = u^{\ell,i-1} + \mathcal{B}^{\ell,i}\left(f^\ell - \mathcal{A}^\ell(u^{\ell,i-1}) "
        r"\right).$"
        "\t(4.3)"
    ),
    "4.4": (
        r"$$u^{\ell+1,0} = \Pi_{\ell}^{\ell+1} *_{2} u^{\ell,\nu_{\ell}}$$"
        "\n"
        r"  "
        "\n"
        r"$$f^{\ell+1} = R_{\ell}^{\ell+1} *_{2} (f^{\ell} - \mathcal{A}^{\ell}(u^{\ell,\nu_{\ell}}) + "
        r"\mathcal{A}^{\ell+1}(u^{\ell+1,0}).$$"
        "\n"
        r"  "
        "\n"
        r"(4.4)"
    ),
    "4.5": (
        r"$$r^{\ell,i} = r^{\ell,i-1} - \mathcal{A}^{\ell} \mathcal{B}^{\ell,i}(r^{\ell,i-1}).$$"
        "\n"
        r"(4.5)"
    ),
    "4.6": (r"$$r^{\ell,i} = r^{\ell,i-1} - A^{\ell} * \sigma \circ B^{\ell,i} * \sigma(r^{\ell,i-1}), \tag{4.6}$$"),
    "6.1": (
        r"$$\tilde{r}^{\ell+1,0} = \tilde{R}_{\ell}^{\ell+1} *_2 r^{\ell,\nu_{\ell}} + "
        r"\tilde{A}^{\ell+1} * \sigma \circ \tilde{B}^{\ell+1,0} *_2 \sigma(r^{\ell,\nu_{\ell}}).$$"
        "\n"
        r"(6.1)"
    ),
    "6.2": (
        r"$$r^{\ell+1,0} = R_{\ell}^{\ell+1} *_2 \left( f^{\ell} - A^{\ell}(u^{\ell,\nu_{\ell}}) \right) "
        r"= R_{\ell}^{\ell+1} *_2 r^{\ell,\nu_{\ell}}.$$"
        "\n"
        r"(6.2)"
    ),
    "6.3": (
        r"$$r^{\ell+1,1} = r^{\ell+1,0} + A^{\ell+1} * \sigma \circ B^{\ell+1,1} * \sigma(r^{\ell+1,0}).$$"
        "\n"
        r"(6.3)"
    ),
    "6.4": (
        r"$$r^{\ell+1,1} = R_{\ell}^{\ell+1} *_2 r^{\ell,\nu_{\ell}} + A^{\ell+1} \circ \sigma \circ "
        r"B^{\ell+1,1} * \sigma(R_{\ell}^{\ell+1} *_2 r^{\ell,\nu_{\ell}}).$$"
        "\n"
        r"(6.4)"
    ),
    "6.5": (
        r"$$\tilde{r}^{\ell+1,0} = R_{\ell}^{\ell+1} *_2 r^{\ell,\nu_{\ell}} + A^{\ell+1} * \sigma \circ "
        r"\tilde{B}^{\ell+1,0} *_2 \sigma(r^{\ell,\nu_{\ell}}).$$"
        "\n"
        r"(6.5)"
    ),
}

CANONICAL = {
    "1.3": "u@i = u@i-1 + B@i * (f - A * u@i-1) for i = 1..ν",
    "1.4": "u@i = u@i-1 + σ ∘ B@i * σ(f - A * u@i-1) for i = 1..ν",
    "1.5": "r@i = f - A * u@i",
    "1.6": "r@i = r@i-1 - A * σ ∘ B@i * σ(r@i-1) for i = 1..ν",
    "1.7": "r@i = r@i-1 - A@i * σ ∘ B@i * σ(r@i-1) for i = 1..ν",
    "2.1": "r@ℓ,i = r@ℓ,i-1 + A@ℓ,i * σ ∘ B@ℓ,i * σ(r@ℓ,i-1)",
    "2.2": "r@ℓ+1,0 = R@ℓ,ℓ+1 *_2 r@{ℓ,ν@ℓ} + A@ℓ+1,0 ∘ σ ∘ B@ℓ+1,0 *_2 σ(r@{ℓ,ν@ℓ})",
    "2.3": "r@ℓ,i = σ(r@ℓ,i-1 + A@ℓ,i * σ ∘ B@ℓ,i * r@ℓ,i-1)",
    "2.4": "r@ℓ+1,0 = σ(R@ℓ,ℓ+1 *_2 r@{ℓ,ν@ℓ} + A@ℓ+1,0 * σ ∘ B@ℓ+1,0 *_2 r@{ℓ,ν@ℓ})",
    "3.3": "u@ℓ,i = u@ℓ,i-1 + B@ℓ,i * (f@ℓ - A@ℓ * u@ℓ,i-1) for i = 1..ν@ℓ",
    "3.4": "u@ℓ,i = u@ℓ,i-1 + σ ∘ B@ℓ,i * σ(f@ℓ - A@ℓ * u@ℓ,i-1) for i = 1..ν@ℓ",
    "3.5": "r@ℓ,i = r@ℓ,i-1 - A@ℓ * σ ∘ B@ℓ,i * σ(r@ℓ,i-1)",
    "3.6": "r@ℓ,i = r@ℓ,i-1 + A@ℓ * σ ∘ B@ℓ,i * σ(r@ℓ,i-1)",
    "3.7": "r@ℓ,i = σ(r@ℓ,i-1 + A@ℓ * σ ∘ B@ℓ,i * r@ℓ,i-1)",
    "4.2": "u@ℓ,i = u@ℓ,i-1 + ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(u@ℓ,i-1)) for i = 1..ν@ℓ",
    "4.3": "u@ℓ,i = u@ℓ,i-1 + ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(u@ℓ,i-1))",
    "4.4": "u@ℓ+1,0 = Π@ℓ,ℓ+1 *_2 u@{ℓ,ν@ℓ}\nf@ℓ+1 = R@ℓ,ℓ+1 *_2 (f@ℓ - 𝒜@ℓ(u@{ℓ,ν@ℓ}) + 𝒜@ℓ+1(u@ℓ+1,0)",
    "4.5": "r@ℓ,i = r@ℓ,i-1 - 𝒜@ℓ ∘ ℬ@ℓ,i(r@ℓ,i-1)",
    "4.6": "r@ℓ,i = r@ℓ,i-1 - A@ℓ * σ ∘ B@ℓ,i * σ(r@ℓ,i-1)",
    "6.1": "tilde_r@ℓ+1,0 = tilde_R@ℓ,ℓ+1 *_2 r@{ℓ,ν@ℓ} + tilde_A@ℓ+1 * σ ∘ tilde_B@ℓ+1,0 *_2 σ(r@{ℓ,ν@ℓ})",
    "6.2": "r@ℓ+1,0 = R@ℓ,ℓ+1 *_2 (f@ℓ - A@ℓ(u@{ℓ,ν@ℓ})) = R@ℓ,ℓ+1 *_2 r@{ℓ,ν@ℓ}",
    "6.3": "r@ℓ+1,1 = r@ℓ+1,0 + A@ℓ+1 * σ ∘ B@ℓ+1,1 * σ(r@ℓ+1,0)",
    "6.4": "r@ℓ+1,1 = R@ℓ,ℓ+1 *_2 r@{ℓ,ν@ℓ} + A@ℓ+1 ∘ σ ∘ B@ℓ+1,1 * σ(R@ℓ,ℓ+1 *_2 r@{ℓ,ν@ℓ})",
    "6.5": "tilde_r@ℓ+1,0 = R@ℓ,ℓ+1 *_2 r@{ℓ,ν@ℓ} + A@ℓ+1 * σ ∘ tilde_B@ℓ+1,0 *_2 σ(r@{ℓ,ν@ℓ})",
}

# The paper's misprints: what stands there, what is meant, and what is said of it.
MISPRINTS = {
    "2.2": (r"A^{\ell+1,0} \circ", r"A^{\ell+1,0} *", "E0211"),
    "4.4": (r"\mathcal{A}^{\ell}(u^{\ell,\nu_{\ell}}) +", r"\mathcal{A}^{\ell}(u^{\ell,\nu_{\ell}})) +", "E0101"),
    "6.4": (r"A^{\ell+1} \circ", r"A^{\ell+1} *", "E0211"),
}
# The right side of a chain a = b = c is no expression: (6.2) says two things, of which a spec takes one.
MEANT = LATEX | {n: LATEX[n].replace(wrong, right) for n, (wrong, right, _) in MISPRINTS.items()}
MEANT["6.2"] = LATEX["6.2"].replace(
    r"\left( f^{\ell} - A^{\ell}(u^{\ell,\nu_{\ell}}) \right) = R_{\ell}^{\ell+1} *_2 ", ""
)
MEANT["6.2 left"] = LATEX["6.2"].replace(r" = R_{\ell}^{\ell+1} *_2 r^{\ell,\nu_{\ell}}.", ".")
CANONICAL_MEANT = CANONICAL | {
    "2.2": CANONICAL["2.2"].replace("A@ℓ+1,0 ∘", "A@ℓ+1,0 *"),
    "4.4": CANONICAL["4.4"].replace("(u@{ℓ,ν@ℓ}) +", "(u@{ℓ,ν@ℓ})) +"),
    "6.2": "r@ℓ+1,0 = R@ℓ,ℓ+1 *_2 r@{ℓ,ν@ℓ}",
    "6.2 left": "r@ℓ+1,0 = R@ℓ,ℓ+1 *_2 (f@ℓ - A@ℓ(u@{ℓ,ν@ℓ}))",
    "6.4": CANONICAL["6.4"].replace("A@ℓ+1 ∘", "A@ℓ+1 *"),
}

ONE_LEVEL = """
model Paper
steps i = 1..ν
let ν = 3
input g : 3 × 8 × 8
output h : 5
kernel θ : 3×3 → 4
kernel B@i : 3×3 → 4
let σ = relu ∘ bn
"""
LEVELS = """
model Paper
let J = 2
levels ℓ = 1..J
steps i = 1..ν
let ν@ℓ = 2, 1
let c@ℓ = 4, 6
input g : 3 × 8 × 8
output h : 5
kernel θ : 3×3 → c@1
kernel B@ℓ,i : 3×3 → c@ℓ
kernel R@ℓ : 1×1 → c@ℓ
let σ = relu ∘ bn
"""
FEATURES = """
kernel A@ℓ : 3×3 → c@ℓ
kernel Π@ℓ : 3×3 → c@ℓ
let 𝒜@ℓ = A@ℓ *
let ℬ@ℓ,i = σ ∘ B@ℓ,i * σ
f@1 = σ ∘ θ * g
u@1,0 = 0
h = linear ∘ avgpool ∘ σ(u@J,ν)
"""
FEATURE_POOLING = """
u@ℓ+1,0 = Π@ℓ+1 *_2 u@ℓ,ν
f@ℓ+1 = R@ℓ+1 *_2 (f@ℓ - A@ℓ * u@ℓ,ν) + A@ℓ+1 * u@ℓ+1,0
"""
RESIDUAL = """
r@1,0 = σ ∘ θ * g
h = linear ∘ avgpool ∘ σ(r@J,ν)
"""
A = "kernel A@ℓ : 3×3 → c@ℓ\n"
A_I = "kernel A@ℓ,i : 3×3 → c@ℓ\n"
POOLING = "r@ℓ+1,0 = R@ℓ+1 *_2 r@ℓ,ν + A@ℓ+1 * σ ∘ B@ℓ+1,0 *_2 σ(r@ℓ,ν)\n"
TILDE = """
kernel A@ℓ : 3×3 → c@ℓ
kernel tilde_R@ℓ : 1×1 → c@ℓ
kernel tilde_A@ℓ : 3×3 → c@ℓ
kernel tilde_B@ℓ,i : 3×3 → c@ℓ
r@ℓ+1,0 = tilde_r@ℓ+1,0
r@ℓ,i = r@ℓ,i-1 + A@ℓ * σ ∘ B@ℓ,i * σ(r@ℓ,i-1)
"""
# The first two steps of an iteration, one step on each level, σ without normalisation.
FIRST_STEPS = LEVELS.replace("ν@ℓ = 2, 1", "ν@ℓ = 1, 1").replace("relu ∘ bn", "relu") + A
FIRST_STEP = "r@1,1 = r@1,0 + A@1 * σ ∘ B@1,1 * σ(r@1,0)\n"
ONE_A = "kernel A : 3×3 → 4\n"
DATA = "f = σ ∘ θ * g\nu@0 = 0\n"

# What the paper leaves out, and which of its equations come into it.
NETWORKS = {
    "linear iteration": (ONE_LEVEL + ONE_A + DATA + "h = linear ∘ avgpool(u@ν)", ["1.3"]),
    "constrained iteration": (ONE_LEVEL + ONE_A + DATA + "h = linear ∘ avgpool(u@ν)", ["1.4"]),
    "its residual": (ONE_LEVEL + ONE_A + DATA + "h = linear ∘ avgpool(r@ν)", ["1.4", "1.5"]),
    "residual form": (ONE_LEVEL + ONE_A + "r@0 = σ ∘ θ * g\nh = linear ∘ avgpool(r@ν)", ["1.6"]),
    "pre-act block": (ONE_LEVEL + "kernel A@i : 3×3 → 4\nr@0 = σ ∘ θ * g\nh = linear ∘ avgpool(r@ν)", ["1.7"]),
    "pre-act ResNet": (LEVELS + A_I + RESIDUAL, ["2.1", "2.2"]),
    "ResNet": (LEVELS + A_I + RESIDUAL, ["2.3", "2.4"]),
    "linear features": (LEVELS + FEATURES + FEATURE_POOLING, ["3.3"]),
    "features": (LEVELS + FEATURES + FEATURE_POOLING, ["3.4"]),
    "residuals": (LEVELS + A + RESIDUAL + POOLING, ["3.5"]),
    "modified pre-act ResNet": (LEVELS + A + RESIDUAL + POOLING, ["3.6"]),
    "modified ResNet": (LEVELS + A + RESIDUAL + POOLING, ["3.7"]),
    "mappings": (LEVELS + FEATURES + FEATURE_POOLING, ["4.2"]),
    "FB-ResNet": (LEVELS + FEATURES, ["4.3", "4.4"]),
    "mappings of residuals": (
        LEVELS + A + RESIDUAL + POOLING + "let 𝒜@ℓ = A@ℓ *\nlet ℬ@ℓ,i = σ ∘ B@ℓ,i * σ",
        ["4.5"],
    ),
    "their kernels": (LEVELS + A + RESIDUAL + POOLING, ["4.6"]),
    "pooling block": (LEVELS + RESIDUAL + TILDE, ["6.1"]),
    "restriction of residuals": (LEVELS + A + RESIDUAL, ["6.2", "3.6"]),
    "restriction of data": (
        LEVELS
        + "kernel K@ℓ : 3×3 → c@ℓ\nlet A@ℓ = K@ℓ *\nf@1 = σ ∘ θ * g\nf@ℓ+1 = r@ℓ+1,0\nu@ℓ,0 = 0\n"
        + "u@ℓ,i = u@ℓ,i-1 + σ ∘ B@ℓ,i * σ(f@ℓ - A@ℓ(u@ℓ,i-1))\nh = linear ∘ avgpool(u@J,ν)",
        ["6.2 left"],
    ),
    "first step": (FIRST_STEPS + RESIDUAL + FIRST_STEP, ["6.2", "6.3"]),
    "first step at once": (FIRST_STEPS + RESIDUAL + FIRST_STEP, ["6.4"]),
    "pooling block with shared kernels": (LEVELS + RESIDUAL + TILDE, ["6.5"]),
}


def parse(text: str) -> tuple[tree.Statement, ...]:
    problems = Problems()
    spec = parse_spec(Source("paper.cldf", text), problems)
    problems.stop_if_any()
    return spec.statements


def network(name: str, equations: dict[str, str]) -> str:
    rest, numbers = NETWORKS[name]
    return "\n".join([rest, *(equations[number] for number in numbers)]) + "\n"


def without_docstring(source: str) -> str:
    return source.split('"""', 2)[2]


@pytest.mark.parametrize("number", [number for number in MEANT if number in CANONICAL_MEANT])
def test_an_equation_is_its_canonical_spelling(number):
    assert parse(MEANT[number]) == parse(CANONICAL_MEANT[number])


@pytest.mark.parametrize("number", ["2.2", "6.4"])
def test_a_misprint_is_read_as_it_stands(number):
    assert parse(LATEX[number]) == parse(CANONICAL[number])


def test_every_equation_is_in_a_network():
    assert {number for _, numbers in NETWORKS.values() for number in numbers} == MEANT.keys()


@pytest.mark.parametrize("name", NETWORKS)
def test_pasted_equations_compile_to_the_same_bytes(name):
    pasted = compile_text(network(name, MEANT))
    assert pasted == compile_text(network(name, CANONICAL_MEANT))
    assert build(pasted)(torch.zeros(2, 3, 8, 8)).shape == (2, 5)


@pytest.mark.parametrize("number", MISPRINTS)
def test_misprints_are_reported(number):
    wrong, _, code = MISPRINTS[number]
    name = next(name for name, (_, numbers) in NETWORKS.items() if number in numbers)
    with pytest.raises(CldfError) as raised:
        compile_text(network(name, MEANT | {number: LATEX[number]}))
    (problem,) = raised.value.diagnostics
    assert problem.code == code
    span = problem.places[0].span
    line = span.source.text[: span.start].count("\n")
    assert wrong in span.source.text.splitlines()[line]


def test_a_chain_of_equalities_is_reported():
    with pytest.raises(CldfError) as raised:
        parse(LATEX["6.2"])
    (problem,) = raised.value.diagnostics
    assert problem.code == "E0101" and problem.places[0].span.text == "="


WIDE = [
    ("ν@ℓ = 2, 1", "ν@ℓ = 3, 2"),
    ("input g : 3 × 8 × 8", "input g : 3 × 16 × 16"),
    ("output h : 5", "output h : 10"),
]


def wide(text: str) -> str:
    for old, new in WIDE:
        assert old in text
        text = text.replace(old, new)
    return text


# R_ℓ^{ℓ+1} declared in three ways: its size, and the index under which it is found.
@pytest.mark.parametrize(
    ("declaration", "key"),
    [
        ("kernel R@ℓ : 1×1 → c@ℓ", "2"),
        ("kernel R@ℓ : 1×1 → c@ℓ+1", "1"),
        (r"kernel R_\ell^{\ell+1} : 1×1 → c@ℓ+1", "1"),
    ],
)
def test_modified_pre_act_resnet_equals_the_hand_written_one(declaration, key):
    """(3.6) with the pooling (2.2), misprint corrected and A^ℓ for A^{ℓ,0}."""
    pooling = MEANT["2.2"].replace(r"A^{\ell+1,0}", r"A^{\ell+1}")
    text = "\n".join([wide(LEVELS + A + RESIDUAL), MEANT["3.6"], pooling])
    generated = build(compile_text(text.replace("kernel R@ℓ : 1×1 → c@ℓ", declaration)))
    assert [name for name, _ in generated.R.named_children()] == [key]

    def rename(name: str) -> str:
        return preact_name(name).replace("R.2", f"R.{key}")

    torch.manual_seed(0)
    assert compare(generated, PreActResNet((3, 2), (4, 6)), rename, torch.randn(2, 3, 16, 16)) < 1e-12


@pytest.mark.parametrize("pooled", [FEATURE_POOLING, MEANT["4.4"]], ids=["canonical", "(4.4)"])
@pytest.mark.parametrize("number", ["3.4", "4.2", "4.3"])
def test_features_equal_the_hand_written_ones(number, pooled):
    text = "\n".join([wide(LEVELS + FEATURES), MEANT[number], pooled]).replace("R@ℓ : 1×1", "R@ℓ : 3×3")
    generated = build(compile_text(text))

    def rename(name: str) -> str:
        name = feature_name(name)
        return name.replace(".1", ".2") if name.startswith(("Pi.", "R.")) else name

    torch.manual_seed(1)
    assert compare(generated, FeatureResNet((3, 2), (4, 6)), rename, torch.randn(2, 3, 16, 16)) < 1e-12


@pytest.mark.parametrize("declaration", ["kernel R@ℓ : 3×3 → c@ℓ+1", r"kernel R_\ell^{\ell+1} : 3×3 → c@ℓ+1"])
def test_a_kernel_between_levels_may_be_declared_below(declaration):
    """R at ℓ, of 3×3, as Algorithm 2 has it; both declarations give one class."""
    text = (LEVELS + FEATURES).replace("kernel R@ℓ : 1×1 → c@ℓ", declaration)
    text = text.replace("kernel Π@ℓ : 3×3 → c@ℓ", "kernel Π@ℓ : 3×3 → c@ℓ+1")
    generated = compile_text("\n".join([wide(text), MEANT["4.3"], MEANT["4.4"]]))
    canonical = ["u@ℓ+1,0 = Π@ℓ *_2 u@ℓ,ν", "f@ℓ+1 = R@ℓ *_2 (f@ℓ - 𝒜@ℓ(u@ℓ,ν)) + 𝒜@ℓ+1(u@ℓ+1,0)"]
    plain = text.replace(declaration, "kernel R@ℓ : 3×3 → c@ℓ+1")
    expected = compile_text("\n".join([wide(plain), CANONICAL["4.3"], *canonical]))
    assert without_docstring(generated) == without_docstring(expected)
    torch.manual_seed(2)
    by_hand = FeatureResNet((3, 2), (4, 6))
    assert compare(build(generated), by_hand, feature_name, torch.randn(2, 3, 16, 16)) < 1e-12


def test_the_first_step_at_once_is_the_first_step():
    """(6.4) is (6.3) with (6.2) put in."""
    one, other = (build(compile_text(network(n, MEANT))) for n in ("first step", "first step at once"))
    assert compare(one, other, str, torch.randn(2, 3, 8, 8)) < 1e-12


def test_residuals_follow_from_features():
    """Theorem 1: r = f - A * u of (1.4) is the iteration (1.6)."""
    relu = [("relu ∘ bn", "relu")]
    texts = [network(name, MEANT) for name in ("its residual", "residual form")]
    one, other = (build(compile_text(text.replace(*relu[0]))) for text in texts)
    assert compare(one, other, str, torch.randn(2, 3, 8, 8)) < 1e-12
