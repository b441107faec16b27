"""Iterations on a residual, each a few changes away from specs/fbresnet.cldf, for the tests of their residual forms."""

import random
import re

from networks import ROOT, spec_text

ITERATION = "u@ℓ,i   = u@ℓ,i-1 + ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(u@ℓ,i-1))"
INTERPOLATION = "u@ℓ+1,0 = Π@ℓ *_2 u@ℓ,ν"
RESTRICTION = "f@ℓ+1   = R@ℓ *_2 (f@ℓ - 𝒜@ℓ(u@ℓ,ν)) + 𝒜@ℓ+1(u@ℓ+1,0)"
OUTPUT = "h       = linear ∘ avgpool ∘ σ(u@J,ν)"
MAPPING = "𝒜@ℓ   = A@ℓ *"
START = "u@1,0   = 0"
LAST = "output h : 10"

SMALL = [
    ("ν@ℓ = 2, 2, 2, 2", "ν@ℓ = 2, 1, 3"),
    ("let J = 4", "let J = 3"),
    ("c@ℓ = 64, 128, 256, 512", "c@ℓ = 4, 6, 8"),
    ("3 × 32 × 32", "3 × 8 × 8"),
    (LAST, "output h : 5"),
]


def changed(*changes: tuple[str, str], text: str | None = None) -> str:
    if text is None:
        return spec_text("fbresnet", *changes)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def small(*changes: tuple[str, str]) -> str:
    """fbresnet with three small levels, and changes."""
    return changed(*changes, text=changed(*SMALL))


def kernel(declaration: str) -> tuple[str, str]:
    return ("kernel B@", f"{declaration}\nkernel B@")


def iteration(right: str, *others: str) -> tuple[str, str]:
    return (ITERATION, "\n".join([f"u@ℓ,i = {right}", *others]))


def by_level(*equations: str) -> tuple[str, str]:
    """The iteration written out for each of the three levels."""
    return iteration_lines(*(equation.replace("ℓ", str(level)) for level in (1, 2, 3) for equation in equations))


def iteration_lines(*equations: str) -> tuple[str, str]:
    return (ITERATION, "\n".join(equations))


TWO_STARTS = [(START, "u@1,-1 = 0\nu@1,0 = 0"), (INTERPOLATION, f"u@ℓ+1,-1 = Π@ℓ *_2 u@ℓ,ν-1\n{INTERPOLATION}")]
C = kernel("kernel C@ℓ : 1×1 → c@ℓ")
C_OF_STEPS = kernel("kernel C@ℓ,i : 3×3 → c@ℓ")
FROM_DATA = [kernel("kernel P : 3×3 → c@1"), (START, "u@1,0 = relu ∘ P * f")]
HALF = "t@ℓ,i = u@ℓ,i-1 + ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(u@ℓ,i-1))"
OTHER_HALF = "u@ℓ,i = t@ℓ,i + σ ∘ C@ℓ,i * (f@ℓ - 𝒜@ℓ(t@ℓ,i))"
WITHOUT_MAPPING = [(f"let {MAPPING}\n", ""), ("kernel A@ℓ   : 3×3 → c@ℓ\n", "")]

ONE_LEVEL = """
model OneLevel
steps i = 1..ν
let ν = 3
input g : 3 × 8 × 8
output h : 5
kernel θ : 3×3 → 4
kernel A : 3×3 → 4
kernel B@i : 3×3 → 4
let σ = relu ∘ bn
f = σ ∘ θ * g
u@0 = 0
u@i = u@i-1 + B@i * (f - A * u@i-1)
h = linear ∘ avgpool(u@ν)
"""
STEP_FIRST = """
model StepFirst
levels ℓ = 1..J
steps i = 1..2
let J = 2
let κ@ℓ = 0.5, 0.25
input f : 3 × 8 × 8
output h : 5
kernel θ : 3×3 → 4
kernel A@ℓ : 3×3 → 4
kernel B@i,ℓ : 3×3 → 4
kernel R@ℓ : 3×3 → 4
f@1 = relu ∘ bn ∘ θ * f
f@ℓ+1 = κ * R@ℓ * (f@ℓ - κ@ℓ * A@ℓ * u@2,ℓ) + κ * A@ℓ+1 * u@0,ℓ+1
u@0,1 = 0
u@0,ℓ+1 = κ * u@2,ℓ
u@i,ℓ = u@i-1,ℓ + relu ∘ bn ∘ B@i,ℓ * (f@ℓ - κ * A@ℓ * u@i-1,ℓ)
h = linear ∘ avgpool(u@2,J)
"""

# A spec, and an equation of its residual form.
VARIATIONS: dict[str, tuple[str, str]] = {
    "as it is": (small(), "r@ℓ,i = r@ℓ,i-1 - 𝒜@ℓ(e@ℓ,i)"),
    "two kernels": (small(C, (MAPPING, "𝒜@ℓ = A@ℓ * C@ℓ *")), "r@ℓ,i = r@ℓ,i-1 - 𝒜@ℓ(e@ℓ,i)"),
    "a sum of kernels": (small(C, (MAPPING, "𝒜@ℓ = A@ℓ * + C@ℓ *")), "r@ℓ+1,0 = R@ℓ *_2 r@ℓ,ν"),
    "a sum written out": (
        small(
            C,
            iteration("u@ℓ,i-1 + ℬ@ℓ,i(f@ℓ - A@ℓ * u@ℓ,i-1 - C@ℓ * u@ℓ,i-1)"),
            (RESTRICTION, "f@ℓ+1 = R@ℓ *_2 (f@ℓ - (A@ℓ * + C@ℓ *)(u@ℓ,ν)) + C@ℓ+1 * u@ℓ+1,0 + A@ℓ+1 * u@ℓ+1,0"),
        ),
        "r@ℓ,i = r@ℓ,i-1 - A@ℓ * e@ℓ,i - C@ℓ * e@ℓ,i",
    ),
    "scaled": (small(kernel("scalar ω@ℓ = 0.7"), (MAPPING, "𝒜@ℓ = ω@ℓ * A@ℓ *")), "r@1,0 = σ ∘ θ * f"),
    "numbers in the mapping": (
        small(
            kernel("scalar λ@ℓ = ℓ/3, fixed\nlet κ@ℓ = 0.5, 0.25, 2"),
            (MAPPING, "𝒜@ℓ = κ@ℓ * λ@ℓ * A@ℓ * + 1/ℓ * identity"),
        ),
        "r@ℓ+1,0 = R@ℓ *_2 r@ℓ,ν",
    ),
    "pooled and prolonged": (
        small((MAPPING, "𝒜@ℓ = A@ℓ *^2 avgpool[2]"), ("3 × 8 × 8", "3 × 16 × 16")),
        "r@ℓ+1,0 = R@ℓ *_2 r@ℓ,ν",
    ),
    "damped": (
        small(kernel("scalar ω@ℓ,i = 0.7"), iteration("u@ℓ,i-1 + ω@ℓ,i * ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(u@ℓ,i-1))")),
        "e@ℓ,i = ω@ℓ,i * ℬ@ℓ,i(r@ℓ,i-1)",
    ),
    "the other sign": (
        small(iteration("u@ℓ,i-1 - ℬ@ℓ,i(𝒜@ℓ(u@ℓ,i-1) - f@ℓ)")),
        "r@ℓ,i = r@ℓ,i-1 + 𝒜@ℓ(e@ℓ,i)",
    ),
    "several corrections": (
        small(iteration("u@ℓ,i-1 - σ(f@ℓ - 𝒜@ℓ(u@ℓ,i-1)) + 1/2 * ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(u@ℓ,i-1))")),
        "e@ℓ,i = -σ(r@ℓ,i-1) + 1/2 * ℬ@ℓ,i(r@ℓ,i-1)",
    ),
    "two steps": (
        small(
            *TWO_STARTS,
            iteration("2 * u@ℓ,i-1 - u@ℓ,i-2 + ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(u@ℓ,i-1)) - σ(f@ℓ - 𝒜@ℓ(u@ℓ,i-2))"),
        ),
        "r@ℓ,i = 2 * r@ℓ,i-1 - r@ℓ,i-2 - 𝒜@ℓ(e@ℓ,i)",
    ),
    "weights of constants and scalars": (
        small(
            *TWO_STARTS,
            kernel("scalar ω = 0.3\nlet κ@ℓ = 0.5, 0.25, 2"),
            iteration("(1-κ@ℓ) * u@ℓ,i-1 + κ@ℓ * (u@ℓ,i-2 + ω * (u@ℓ,i-1 - u@ℓ,i-2)) + ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(u@ℓ,i-1))"),
        ),
        "r@1,0 = σ ∘ θ * f",
    ),
    "extrapolated": (
        small(*TWO_STARTS, iteration("u@ℓ,i-1 + ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(2 * u@ℓ,i-1 - u@ℓ,i-2))")),
        "e@ℓ,i = ℬ@ℓ,i(2 * r@ℓ,i-1 - r@ℓ,i-2)",
    ),
    "a sum over the history": (
        small(iteration("u@ℓ,i-1 + sum(j = 0..i-1 : 1/(j+1) * ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(u@ℓ,j)))")),
        "e@ℓ,i = sum(j = 0..i-1 : 1/(j+1) * ℬ@ℓ,i(r@ℓ,j))",
    ),
    "a pointwise product": (
        small(iteration("u@ℓ,i-1 + sigmoid(f@ℓ - 𝒜@ℓ(u@ℓ,i-1)) ⊙ ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(u@ℓ,i-1))")),
        "e@ℓ,i = sigmoid(r@ℓ,i-1) ⊙ ℬ@ℓ,i(r@ℓ,i-1)",
    ),
    "a mapping tied to its level": (
        small(
            ("kernel A@ℓ   :", "kernel A@ℓ,i :"),
            iteration("u@ℓ,i-1 + ℬ@ℓ,i(f@ℓ - A@ℓ,i * u@ℓ,i-1)"),
            (RESTRICTION, "f@ℓ+1 = R@ℓ *_2 (f@ℓ - A@ℓ,ν * u@ℓ,ν) + A@ℓ+1,0 * u@ℓ+1,0\ntie A@ℓ"),
            (f"let {MAPPING}\n", ""),
        ),
        "r@ℓ,i = r@ℓ,i-1 - A@ℓ,i * e@ℓ,i",
    ),
    "one mapping in the network": (small(("4, 6, 8", "4, 4, 4"), (OUTPUT, f"{OUTPUT}\ntie A")), "u@1,0 = 0"),
    "σ around Π and R": (
        small(("Π@ℓ *_2", "σ ∘ Π@ℓ *_2"), ("R@ℓ *_2 (", "σ ∘ R@ℓ *_2 (")),
        "r@ℓ+1,0 = σ ∘ R@ℓ *_2 r@ℓ,ν",
    ),
    "no term of u in the restriction": (
        small((" + 𝒜@ℓ+1(u@ℓ+1,0)", "")),
        "r@ℓ+1,0 = R@ℓ *_2 r@ℓ,ν - 𝒜@ℓ+1(u@ℓ+1,0)",
    ),
    "a restriction without stride": (
        small((INTERPOLATION, "u@ℓ+1,0 = Π@ℓ * u@ℓ,ν"), ("R@ℓ *_2", "R@ℓ * avgpool[3, stride=1] ∘")),
        "r@ℓ+1,0 = R@ℓ * avgpool[3, stride=1] ∘ r@ℓ,ν",
    ),
    "a restriction taken apart": (
        small((RESTRICTION, "f@ℓ+1 = R@ℓ *_2 f@ℓ - R@ℓ *_2 𝒜@ℓ(u@ℓ,ν) + 𝒜@ℓ+1(u@ℓ+1,0)")),
        "r@ℓ+1,0 = R@ℓ *_2 r@ℓ,ν",
    ),
    "features that start from data": (
        small(kernel("kernel P : 3×3 → c@1"), (START, "u@1,0 = relu ∘ P * f")),
        "r@1,0 = σ ∘ θ * f - 𝒜@1(u@1,0)",
    ),
    "features that start from 0 everywhere": (
        small(
            (START, "u@ℓ,0 = 0"),
            (f"{INTERPOLATION}\n", ""),
            (" + 𝒜@ℓ+1(u@ℓ+1,0)", ""),
            ("kernel Π@ℓ   : 3×3 → c@ℓ+1\n", ""),
        ),
        "r@ℓ+1,0 = R@ℓ *_2 r@ℓ,ν",
    ),
    "a linear correction": (small(("σ ∘ B@ℓ,i * σ", "B@ℓ,i *")), "e@ℓ,i = ℬ@ℓ,i(r@ℓ,i-1)"),
    "the input as data": (
        small(("4, 6, 8", "3, 3, 3"), ("f@1     = σ ∘ θ * f", "f@1 = f"), ("kernel θ     : 3×3 → c@1\n", "")),
        "r@1,0 = f",
    ),
    "an output of the residual": (
        small(("avgpool ∘ σ(u@J,ν)", "avgpool ∘ σ(f@J - 𝒜@J(u@J,ν))")),
        "r@ℓ,i = r@ℓ,i-1 - 𝒜@ℓ(ℬ@ℓ,i(r@ℓ,i-1))",
    ),
    "an output of the data": (
        small(("avgpool ∘ σ(u@J,ν)", "avgpool(u@J,ν + f@J)")),
        "f@ℓ+1 = r@ℓ+1,0 + 𝒜@ℓ+1(u@ℓ+1,0)",
    ),
    "an equation for the first step": (
        small(iteration("u@ℓ,i-1 + ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(u@ℓ,i-1)) for i = 2..ν", "u@ℓ,1 = u@ℓ,0 + ℬ@ℓ,1(f@ℓ - 𝒜@ℓ(u@ℓ,0))")),
        "r@ℓ,i = r@ℓ,i-1 - 𝒜@ℓ(e@ℓ,i) for i = 2..ν",
    ),
    "a correction with a name": (
        small(iteration("u@ℓ,i-1 + d@ℓ,i", "d@ℓ,i = ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(u@ℓ,i-1))")),
        "r@ℓ,i = r@ℓ,i-1 - 𝒜@ℓ(d@ℓ,i)",
    ),
    "a residual with a name": (
        small(iteration("u@ℓ,i-1 + ℬ@ℓ,i(ρ@ℓ,i-1)", "ρ@ℓ,i = f@ℓ - 𝒜@ℓ(u@ℓ,i) for i = 0..ν")),
        "ρ@ℓ,i = ρ@ℓ,i-1 - 𝒜@ℓ(e@ℓ,i)",
    ),
    "r and e are taken": (
        small(("kernel R@ℓ", "kernel r@ℓ"), ("R@ℓ *_2", "r@ℓ *_2"), ("let σ ", "let e = 1\nlet σ ")),
        "s@ℓ,i = s@ℓ,i-1 - 𝒜@ℓ(d@ℓ,i)",
    ),
    "data beside the residual": (
        small(iteration("u@ℓ,i-1 + ℬ@ℓ,i(2 * (f@ℓ - 𝒜@ℓ(u@ℓ,i-1) + σ(f@ℓ)) - σ(f@ℓ))")),
        "e@ℓ,i = ℬ@ℓ,i(2 * (r@ℓ,i-1 + σ(f@ℓ)) - σ(f@ℓ))",
    ),
    "eq. (1.3), one level": (ONE_LEVEL, "r@i = r@i-1 - A * e@i"),
    "eq. (1.4) and (1.5), one level": (
        changed(("B@i * (f", "σ ∘ B@i * σ(f"), ("avgpool(u@ν)", "avgpool(r@ν)\nr@i = f - A * u@i"), text=ONE_LEVEL),
        "r@i = r@i-1 - A * σ ∘ B@i * σ(r@i-1)",
    ),
    "the step before the level": (STEP_FIRST, "r@i,ℓ = r@i-1,ℓ - κ@ℓ * A@ℓ * e@i,ℓ"),
    "the level before the step, constants without a tag": (
        changed(
            ("i,ℓ", "ℓ,i"),
            ("i-1,ℓ", "ℓ,i-1"),
            ("@2,ℓ", "@ℓ,2"),
            ("@0,ℓ+1", "@ℓ+1,0"),
            ("@0,1", "@1,0"),
            ("@2,J", "@J,2"),
            text=STEP_FIRST,
        ),
        "r@ℓ+1,0 = κ * R@ℓ * r@ℓ,2",
    ),
    "level by level": (small(by_level(ITERATION)), "r@ℓ+1,0 = R@ℓ *_2 r@ℓ,ν"),
    "level by level, all of it": (
        small(
            by_level(ITERATION),
            (INTERPOLATION, "u@2,0 = Π@1 *_2 u@1,ν\nu@3,0 = Π@2 *_2 u@2,ν"),
            (
                RESTRICTION,
                "f@2 = R@1 *_2 (f@1 - 𝒜@1(u@1,ν)) + 𝒜@2(u@2,0)\nf@3 = R@2 *_2 (f@2 - 𝒜@2(u@2,ν)) + 𝒜@3(u@3,0)",
            ),
        ),
        "r@3,0 = R@2 *_2 r@2,ν",
    ),
    "level by level, a mapping with a name on each": (
        small(
            by_level("u@ℓ,i = u@ℓ,i-1 + ℬ@ℓ,i(f@ℓ - Aℓ * u@ℓ,i-1)"),
            (f"let {MAPPING}\n", ""),
            ("kernel A@ℓ   : 3×3 → c@ℓ", "kernel A1 : 3×3 → c@1\nkernel A2 : 3×3 → c@2\nkernel A3 : 3×3 → c@3"),
            (
                RESTRICTION,
                "f@2 = R@1 *_2 (f@1 - A1 * u@1,ν) + A2 * u@2,0\nf@3 = R@2 *_2 (f@2 - A2 * u@2,ν) + A3 * u@3,0",
            ),
        ),
        "r@2,i = r@2,i-1 - A2 * e@2,i",
    ),
    "the last level by itself": (
        small(
            iteration_lines(
                f"{ITERATION} for ℓ = 1..J-1, i = 1..ν", "u@J,i = u@J,i-1 + ℬ@J,i(f@J - 𝒜@J(u@J,i-1)) for i = 1..ν@J"
            )
        ),
        "r@J,i = r@J,i-1 - 𝒜@J(e@J,i) for i = 1..ν@J",
    ),
    "the next step on the left": (
        small(iteration_lines("u@ℓ,i+1 = u@ℓ,i + ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(u@ℓ,i)) for i = 0..ν-1")),
        "r@ℓ,i+1 = r@ℓ,i - 𝒜@ℓ(e@ℓ,i+1) for i = 0..ν-1",
    ),
    "step by step": (
        changed(
            (
                "u@i = u@i-1 + B@i * (f - A * u@i-1)",
                "\n".join(f"u@{i} = u@{i - 1} + B@{i} * (f - A * u@{i - 1})" for i in (1, 2, 3)),
            ),
            text=ONE_LEVEL,
        ),
        "r@2 = r@1 - A * e@2",
    ),
    "two half-steps": (small(C_OF_STEPS, iteration_lines(HALF, OTHER_HALF)), "s@ℓ,i = r@ℓ,i-1 - 𝒜@ℓ(d@ℓ,i)"),
    "two half-steps, level by level": (
        small(C_OF_STEPS, by_level(HALF, OTHER_HALF)),
        "s@2,i = r@2,i-1 - 𝒜@2(d@2,i)",
    ),
    "two half-steps with named residuals": (
        small(
            C_OF_STEPS,
            iteration_lines(
                "t@ℓ,i = u@ℓ,i-1 + ℬ@ℓ,i(ρ@ℓ,i-1)",
                "u@ℓ,i = t@ℓ,i + σ ∘ C@ℓ,i * q@ℓ,i",
                "ρ@ℓ,i = f@ℓ - 𝒜@ℓ(u@ℓ,i) for i = 0..ν",
                "q@ℓ,i = f@ℓ - 𝒜@ℓ(t@ℓ,i)",
            ),
        ),
        "ρ@ℓ,i = q@ℓ,i - 𝒜@ℓ(e@ℓ,i)",
    ),
    "a half-step between two whole ones": (
        small(
            C_OF_STEPS,
            iteration_lines(
                HALF,
                "u@ℓ,i = 1/2 * (t@ℓ,i + u@ℓ,i-1) + σ ∘ C@ℓ,i * (f@ℓ - 𝒜@ℓ(1/2 * t@ℓ,i + 1/2 * u@ℓ,i-1))",
            ),
        ),
        "e@ℓ,i = σ ∘ C@ℓ,i * (1/2 * s@ℓ,i + 1/2 * r@ℓ,i-1)",
    ),
    "Nesterov": (
        small(
            *TWO_STARTS,
            iteration_lines("y@ℓ,i = u@ℓ,i-1 + 1/2 * (u@ℓ,i-1 - u@ℓ,i-2)", "u@ℓ,i = y@ℓ,i + ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(y@ℓ,i))"),
        ),
        "s@ℓ,i = r@ℓ,i - 𝒜@ℓ(d@ℓ,i)",
    ),
    "Nesterov with trained weights, on one level": (
        changed(
            (
                "u@i = u@i-1 + B@i * (f - A * u@i-1)",
                "y@i = u@i-1 + β@i * (u@i-1 - u@i-2)\nu@i = y@i + B@i * (f - A * y@i)",
            ),
            ("u@0 = 0", "u@0 = 0\nu@-1 = 0"),
            ("kernel θ", "scalar β@i = 0.5\nkernel θ"),
            text=ONE_LEVEL,
        ),
        "s@i = r@i - A * d@i",
    ),
    "an average of the history": (
        small(
            *FROM_DATA,
            iteration_lines("u@ℓ,i = sum(j = 0..i-1 : 1/i * u@ℓ,j) + ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(u@ℓ,i-1))"),
        ),
        "r@ℓ,i = sum(j = 0..i-1 : 1/i * r@ℓ,j) - 𝒜@ℓ(e@ℓ,i)",
    ),
    "an average of corrected values": (
        small(
            *FROM_DATA,
            iteration_lines("u@ℓ,i = 1/i * sum(j = 0..i-1 : u@ℓ,j + ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(u@ℓ,j)))"),
        ),
        "e@ℓ,i = 1/i * sum(j = 0..i-1 : ℬ@ℓ,i(r@ℓ,j))",
    ),
    "an average under the mapping, by its name": (
        small(
            *FROM_DATA,
            iteration_lines("y@ℓ,i = sum(j = 0..i-1 : 1/i * u@ℓ,j)", "u@ℓ,i = u@ℓ,i-1 + ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(y@ℓ,i))"),
        ),
        "r@ℓ,i = sum(j = 0..i-1 : 1/i * s@ℓ,j)",
    ),
    "weights that differ from step to step": (
        small(
            *TWO_STARTS,
            iteration_lines("u@ℓ,i = (i-1)/i * u@ℓ,i-1 + 1/i * u@ℓ,i-2 + ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(u@ℓ,i-1))"),
        ),
        "r@ℓ,i = (i-1)/i * r@ℓ,i-1 + 1/i * r@ℓ,i-2 - 𝒜@ℓ(e@ℓ,i)",
    ),
    "data with the first feature": (
        small(*FROM_DATA, iteration("u@ℓ,i-1 + ℬ@ℓ,i(f@ℓ + u@ℓ,0 - 𝒜@ℓ(u@ℓ,i-1))")),
        "r@ℓ,i = r@ℓ,i-1 - 𝒜@ℓ(e@ℓ,i)",
    ),
    "the first feature in each step": (
        small(*FROM_DATA, iteration("1/2 * u@ℓ,i-1 + 1/2 * u@ℓ,0 + ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(u@ℓ,i-1))")),
        "r@ℓ,i = 1/2 * r@ℓ,i-1 + 1/2 * r@ℓ,0 - 𝒜@ℓ(e@ℓ,i)",
    ),
    "the first feature added in each step": (
        small(*FROM_DATA, iteration("u@ℓ,i-1 + relu(u@ℓ,0) + ℬ@ℓ,i(f@ℓ - 𝒜@ℓ(u@ℓ,i-1))")),
        "e@ℓ,i = relu(u@ℓ,0) + ℬ@ℓ,i(r@ℓ,i-1)",
    ),
    "data with a term of other values": (
        small(iteration("u@ℓ,i-1 + ℬ@ℓ,i(f@ℓ + g@ℓ - 𝒜@ℓ(u@ℓ,i-1))", "g@ℓ = tanh(f@ℓ)")),
        "r@1,0 = f@1 + g@1",
    ),
    "the identity as mapping": (
        small(("𝒜@ℓ   = A@ℓ *", "𝒜@ℓ   = identity"), WITHOUT_MAPPING[1]),
        "r@ℓ,i = r@ℓ,i-1 - 𝒜@ℓ(e@ℓ,i)",
    ),
    "f - u": (
        small(
            *WITHOUT_MAPPING,
            iteration("u@ℓ,i-1 + ℬ@ℓ,i(f@ℓ - u@ℓ,i-1)"),
            (RESTRICTION, "f@ℓ+1 = R@ℓ *_2 (f@ℓ - u@ℓ,ν) + u@ℓ+1,0"),
        ),
        "r@ℓ,i = r@ℓ,i-1 - e@ℓ,i",
    ),
    "f - ω * u": (
        changed(("f - A * u@i-1", "f - ω * u@i-1"), ("kernel A : 3×3 → 4", "scalar ω = 0.3"), text=ONE_LEVEL),
        "r@i = r@i-1 - ω * e@i",
    ),
    "the residual itself as correction": (
        changed(("B@i * (f - A * u@i-1)", "f - A * u@i-1"), ("kernel B@i : 3×3 → 4\n", ""), text=ONE_LEVEL),
        "r@i = r@i-1 - A * r@i-1",
    ),
    "a residual taken apart": (
        changed(
            ("B@i * (f - A * u@i-1)", "ω * B@i * f - ω * B@i * A * u@i-1"),
            ("kernel B", "scalar ω = 0.3\nkernel B"),
            text=ONE_LEVEL,
        ),
        "r@i = r@i-1 - A * e@i",
    ),
    "a first step of its own kind": (
        small(iteration_lines(f"{ITERATION} for i = 2..ν", "u@ℓ,1 = relu(u@ℓ,0 + ℬ@ℓ,1(f@ℓ))")),
        "r@ℓ,1 = f@ℓ - 𝒜@ℓ(u@ℓ,1)",
    ),
    "momentum": (
        changed(
            (
                "u@i = u@i-1 + B@i * (f - A * u@i-1)",
                "v@i = 1/2 * v@i-1 + B@i * (f - A * u@i-1)\nu@i = u@i-1 + v@i\nv@0 = 0",
            ),
            text=ONE_LEVEL,
        ),
        "r@i = r@i-1 - A * v@i",
    ),
    "a V-cycle": (
        (ROOT / "tests" / "golden" / "compile" / "mgnet_v_cycle.cldf").read_text(encoding="utf-8"),
        "s@J,0 = r@J,ν",
    ),
    "a V-cycle of another kind": (
        (ROOT / "tests" / "golden" / "compile" / "v_cycle.cldf").read_text(encoding="utf-8"),
        "r@ℓ+1,0 = r@ℓ,2 - A@ℓ+1 * u@ℓ+1,0",
    ),
}


# Networks put together at random


def random_network(seed: int) -> str:
    """A mapping, corrections, weights, pooling, starts and an output, each drawn from what can be written."""
    draw = random.Random(seed)
    mapping = draw.choice(MAPPINGS)
    two = draw.random() < 0.3
    earlier = ["u@ℓ,i-1", "u@ℓ,i-2", "(2 * u@ℓ,i-1 - u@ℓ,i-2)"] if two else ["u@ℓ,i-1"]

    def residual(level: str, feature: str, *others: str) -> str:
        mapped = mapping.replace("□", feature).replace("ℓ", level)
        return draw.choice([*RESIDUALS, *others]).replace("□", mapped).replace("f@ℓ", f"f@{level}")

    def corrected(weights: str, *features: str) -> str:
        """Earlier values and their corrections, which read one feature or another."""
        found = [weights]
        for _ in range(draw.randint(1, 3)):
            inner = residual("ℓ", draw.choice(features), "□ - f@ℓ", "-(f@ℓ - □)")
            found.append(f"{draw.choice('+-')} {draw.choice(CORRECTIONS).replace('□', inner)}")
        return " ".join(found)

    equations = [f"u@ℓ,i = {corrected(draw.choice(TWO_WEIGHTS if two else WEIGHTS), *earlier)}"]
    match draw.choice(["", "", "half-steps", "level by level", "both", "the next step on the left"]):
        case "half-steps" | "both" as shape:
            equations = [equations[0].replace("u@ℓ,i =", "t@ℓ,i ="), f"u@ℓ,i = {corrected('t@ℓ,i', 't@ℓ,i')}"]
            lines = by_level(*equations) if shape == "both" else iteration_lines(*equations)
        case "level by level":
            lines = by_level(*equations)
        case "the next step on the left":
            ahead = re.sub(r"ℓ,i(-\d)?", lambda tag: f"ℓ,i{int(tag[1] or 0) + 1:+d}".removesuffix("+0"), equations[0])
            lines = iteration_lines(f"{ahead} for i = 0..ν-1")
        case _:
            lines = iteration_lines(*equations)
    back = mapping.replace("ℓ", "ℓ+1").replace("□", "u@ℓ+1,0")
    restriction = f"{draw.choice(RESTRICTIONS)} ({residual('ℓ', 'u@ℓ,ν')})"
    last = residual("J", "u@J,ν")
    feature = draw.choice(["σ ∘ Π@ℓ *_2 u@ℓ,ν", "Π@ℓ *_2 u@ℓ,ν", f"Π@ℓ *_2 (u@ℓ,ν + relu({residual('ℓ', 'u@ℓ,ν')}))"])
    return small(
        *(TWO_STARTS if two else []),
        kernel("kernel C@ℓ : 3×3 → c@ℓ\nkernel T : 3×3 → c@1\nscalar ω@ℓ = 0.6\nlet κ@ℓ = 0.5, 0.25, 2"),
        ("2, 1, 3", draw.choice(["2, 1, 3", "1, 2, 1", "3, 2, 2"])),
        lines,
        (INTERPOLATION, f"u@ℓ+1,0 = {feature}"),
        (RESTRICTION, f"f@ℓ+1 = {restriction}{draw.choice([f' + {back}', '', ' + relu(R@ℓ *_2 f@ℓ)'])}"),
        ("u@1,0 = 0" if two else START, f"u@1,0 = {draw.choice(['0', 'relu ∘ T * f'])}"),
        (OUTPUT, f"h = linear ∘ avgpool({draw.choice(['u@J,ν', last, 'u@J,ν + f@J', f'u@J,ν + relu({last})'])})"),
    )


# □ is what stands under the mapping, then the mapping, then the residual.
MAPPINGS = [
    "𝒜@ℓ(□)",
    "A@ℓ * □",
    "A@ℓ * C@ℓ * □",
    "(A@ℓ * + C@ℓ *)(□)",
    "ω@ℓ * A@ℓ * □",
    "A@ℓ * (□ + 1/2 * C@ℓ * □)",
    "κ@ℓ * C@ℓ *^2 A@ℓ *_2 □",
    "1/3 * A@ℓ * avgpool[3, stride=1] ∘ □",
]
RESIDUALS = [
    "f@ℓ - □",
    "-(□) + f@ℓ",
    "f@ℓ + σ(f@ℓ) - □ - σ(f@ℓ)",
    "2 * f@ℓ - □ - f@ℓ",
    "f@ℓ - 1/2 * □ - 1/2 * □",
]
CORRECTIONS = [
    "ℬ@ℓ,i(□)",
    "σ ∘ B@ℓ,i * (□)",
    "B@ℓ,i * σ(□)",
    "ω@ℓ * ℬ@ℓ,i(□)",
    "1/4 * B@ℓ,i * (□)",
    "sigmoid(□) ⊙ relu(f@ℓ)",
    "κ@ℓ * bn(□)",
]
RESTRICTIONS = ["R@ℓ *_2", "σ ∘ R@ℓ *_2", "R@ℓ * avgpool[2] ∘"]
WEIGHTS = ["u@ℓ,i-1", "(1-κ@ℓ) * u@ℓ,i-1 + κ@ℓ * u@ℓ,i-1"]
TWO_WEIGHTS = ["u@ℓ,i-1", "2 * u@ℓ,i-1 - u@ℓ,i-2", "1/2 * (u@ℓ,i-1 + u@ℓ,i-2)", "(1-κ@ℓ) * u@ℓ,i-1 + κ@ℓ * u@ℓ,i-2"]
