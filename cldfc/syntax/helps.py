"""What to write instead, for mistakes that are found in several places; `parse_errors.py` takes long to load."""

from __future__ import annotations

from cldfc.syntax.keywords import BOUNDARIES, KERNEL_RULES

HELP_FOR_INDICES = "write indices like `ℓ`, `i-1`, `0` or `ν@ℓ`, joined by commas"
HELP_FOR_ADJOINTS = (
    "write the adjoint of a kernel as `Aᵀ@ℓ * x`, in ASCII `A'@l * x`, in LaTeX `(A^{\\ell})^{\\top} * x`"
)
HELP_FOR_FUNCTIONS = (
    "there is no such operator; there are `tanh`, `sigmoid`, `softplus`, `abs`, `soft_threshold[0.1]` and others"
)
HELP_FOR_EQUATIONS = "write each equation on a line of its own"
HELP_FOR_FROZEN = "leave `fixed` out: it keeps the running statistics of a `bn`, and the numbers of a kernel or scalar"
HELP_FOR_STARS = "a star is not an index: write an adjoint as `Aᵀ` or `A^\\top`, a fixed point as a value of its own"
HELP_FOR_EXPONENTIALS = "the exponential function is `exp(x)`, of a number or scalar: `exp(-β)`"
HELP_FOR_FLOORS = "write an index that is always whole: `x@{i/2}` with `for i = 2..8 by 2`"
HELP_FOR_INVERSES = "a kernel has no inverse: write what it solves, `u = solve(u : A * u = f)`"
HELP_FOR_FRACTIONS = "an index is a whole number: give the half steps a name of their own, such as `v@i`"
HELP_FOR_PARAMETERS = (
    "leave it out: an index is a name that `levels` or `steps` declares, or a number, as in `u@ℓ,i-1`; "
    "a threshold is a setting of the operator, `soft_threshold[0.1]`, or `soft_threshold[θ]` with `scalar θ = 0.1`"
)
HELP_FOR_GRIDS = "an index is one name, plus or minus a number; grids are numbered, `ℓ` for h, `ℓ+1` for 2h"
HELP_FOR_ARITHMETIC = (
    "an index is one name, plus or minus a number: let the sum run over the index itself, as in `\\sum_{j=k-2}^{k} x_j`"
)
HELP_FOR_PARTS = "leave it out: a name stands for the whole value"


def help_for_attribute(word: str) -> str | None:
    """Where a word about a kernel stands; None for what is none."""
    if word == "each":
        return "write it in place of the channels: `kernel K : 3×3 each`"
    number = " 2" if word in ("groups", "dilation", "padding") else " zero" if word == "start" else ""
    is_known = number or word in (*BOUNDARIES, *KERNEL_RULES, "bias", "fixed")
    return f"write it behind the channels: `kernel K : 3×3 → 16, {word}{number}`" if is_known else None
