"""Writes a spec from random choices: its constants, kernels, σ, factors and classifier."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]

ACTIVATIONS = ("relu", "relu", "relu", "tanh", "leaky_relu[0.1]", "gelu", "softplus", "elu[0.5]", "soft_threshold[0.1]")
NORMS = ("bn", "bn", "bn", "gn[2]", "ln", "gn[1]")


class Writer:
    """The lines of one spec, and the choices that all its equations share."""

    def __init__(self, draw: Draw, same_width: bool = False) -> None:
        self.draw = draw
        self.levels = self.of(1, 2, 2, 3, 3)
        self.steps = [self.of(*[0] * (self.levels > 1), 1, 1, 2, 2, 3) for _ in range(self.levels)]
        self.same_width = same_width or self.chance(3)
        self.lines = ["model Random", f"let J = {self.levels}", "levels ℓ = 1..J"]
        self.sigma_tag = ""

    def of(self, *choices):
        return self.draw(st.sampled_from(choices))

    def chance(self, times: int) -> bool:
        """True once in so many times."""
        return self.draw(st.integers(1, times)) == 1

    def add(self, *lines: str) -> None:
        self.lines += filter(None, lines)

    def text(self) -> str:
        """The spec; its statements in any order, which does not matter."""
        head, *rest = self.lines
        return "\n".join([head, *(self.draw(st.permutations(rest)) if self.chance(4) else rest), ""])

    def odds(self, half: int) -> str:
        """The odd numbers up to twice a number, as a range."""
        return self.of(f"1..{2 * half} by 2", f"{2 * half - 1}..1 by -2")

    # Declarations

    def constants(self) -> None:
        """ν, c, the input and the output."""
        numbers = ", ".join(map(str, self.steps))
        is_plain = len(set(self.steps)) == 1 and self.steps[0] > 0 and self.chance(2)
        self.add(f"let ν = {self.steps[0]}" if is_plain else f"let ν@ℓ = {numbers}")
        self.add("steps i = 1..ν")
        widths = ["4", "2", "2 * 1"] if self.same_width else ["2 * ℓ", "2 + 2 * (ℓ-1)", "8 / 2^(3-ℓ)", self.listed()]
        self.add(f"let c@ℓ = {self.of(*widths)}")
        self.add(f"input f : {self.of(1, 2, 3)} × {self.of(8, 8, 8, 9)} × {self.of(8, 8, 8, 6)}", "output h : 3")
        self.add(f"kernel θ : {self.of('1×1', '3×3')} → c@1" + self.of("", "", " bias"))

    def listed(self) -> str:
        """One even width for each level."""
        return ", ".join(str(self.of(2, 4)) for _ in range(self.levels))

    def kernel(self, head: str, channels: str = "c@ℓ", extras: bool = True, before: str = "") -> None:
        """A kernel with whatever may be declared for one."""
        text = f"kernel {head} : {self.of('3×3', '3×3', '1×1', '1×3', '5×1')}{before} → {channels}"
        if extras and self.chance(4):
            text += " groups 2"
        if extras and self.chance(5):
            text += self.of(" dilation 2", " dilation ℓ" if "ℓ" in head else " dilation 3")
        if extras and self.chance(6):
            text += self.of(" replicate", " same", " replicate")
        self.add(text + (" bias" if self.chance(5) else ""))

    def sigma(self) -> None:
        """σ: an activation, a normalisation before it or not; with a tag its normalisation is shared by level."""
        activation, norm = self.of(*ACTIVATIONS), self.of(*NORMS)
        self.sigma_tag = "@ℓ" if self.chance(6) else ""
        if self.sigma_tag:
            norm = norm[:2] + self.sigma_tag + norm[2:]
        body = self.of(activation, *[f"{activation} ∘ {norm}"] * 2)
        self.sigma_tag = self.sigma_tag if norm in body else ""
        self.add(f"let σ{self.sigma_tag} = {body}")

    def s(self, level: str = "ℓ") -> str:
        """σ at a level."""
        return f"σ@{level}" if self.sigma_tag else "σ"

    # Parts of equations

    def factor(self, at: str = "ℓ,i") -> str:
        """A damping: nothing, a number, a formula, or a scalar, declared here."""
        kind = self.of("", "", "", "number", "formula", "scalar", "level", "fixed")
        name = self.of("ω", "τ", "γ")
        is_new = not any(line.startswith(f"scalar {name}") for line in self.lines)
        if kind == "number":
            return self.of("0.5 * ", "1/3 * ", "2 * ", "(1/2 - 1) * ")
        if kind == "formula" and "i" in at:
            return self.of("1/(i+1) * ", "1/2^i * ", "(ℓ - i/4) * ")
        if kind == "scalar" and is_new:
            self.add(f"scalar {name}@{at} = {self.of('0.75', '1', '1/ℓ')}")
            return f"{name}@{at} * "
        if kind == "level" and is_new:
            self.add(f"scalar {name} = -0.5")
            return f"{name} * "
        if kind == "fixed" and is_new:
            self.add(f"scalar {name}@ℓ = 1/(ℓ+1) fixed")
            return f"{name}@ℓ * "
        return ""

    def head(self, value: str, level: str) -> None:
        """The classifier."""
        self.add(
            "h = "
            + self.of(
                f"linear ∘ avgpool({value})",
                f"linear ∘ avgpool({value})",
                f"linear ∘ avgpool ∘ {self.s(level)}({value})",
                f"linear ∘ maxpool({value})",
                f"linear ∘ flatten({value})",
                f"linear ∘ relu ∘ linear[4] ∘ avgpool({value})",
            )
        )
