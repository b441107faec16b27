"""Writes a spec from random choices: its constants, kernels, σ, factors, inputs and outputs."""

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]

ACTIVATIONS = ("relu", "relu", "relu", "tanh", "leaky_relu[0.1]", "gelu", "softplus", "elu[0.5]", "soft_threshold[0.1]")
NORMS = ("bn", "bn", "bn", "gn[2]", "ln", "gn[1]")


class Writer:
    """The lines of one spec, and the choices that all its equations share."""

    def __init__(self, draw: Draw, task: str = "scores") -> None:
        self.draw = draw
        self.task = task
        self.start = "θ * f"
        """What the first equation makes of the inputs."""
        self.sides = ("H", "W")
        """Of the input."""
        self.levels = self.of(1, 2, 2, 3, 3)
        self.steps = [self.of(*[0] * (self.levels > 1), 1, 1, 2, 2, 3) for _ in range(self.levels)]
        self.same_width = self.chance(3)
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

    def constants(self, sides: Sequence[int] = (8, 8, 8, 6, 9)) -> None:
        """ν, c, the input and the output."""
        numbers = ", ".join(map(str, self.steps))
        is_plain = len(set(self.steps)) == 1 and self.steps[0] > 0 and self.chance(2)
        self.add(f"let ν = {self.steps[0]}" if is_plain else f"let ν@ℓ = {numbers}")
        self.add("steps i = 1..ν")
        widths = ["4", "2", "2 * 1"] if self.same_width else ["2 * ℓ", "2 + 2 * (ℓ-1)", "8 / 2^(3-ℓ)", self.listed()]
        self.add(f"let c@ℓ = {self.of(*widths)}")
        if self.task != "open":
            self.sides = str(self.of(*sides)), str(self.of(*sides))
        self.add(f"input f : {self.of(1, 2, 3)} × {' × '.join(self.sides)}")
        if self.task in ("several", "open"):
            self.second_input()
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

    def second_input(self) -> None:
        """Another input: as large, half as large, a sequence, a pixel that is spread, or numbers; or none."""
        tall, wide = self.sides
        kind = self.of("map", "half", "sequence", "vector", "numbers", "number", "schedule", "none")
        if kind == "half" and not (tall + wide).isalpha() and int(tall) % 2 + int(wide) % 2:
            kind = "map"
        if kind in ("map", "half", "sequence", "vector"):
            self.add(f"kernel η : {self.of('1×1', '3×3')} → c@1")
        match kind:
            case "map":
                self.add(f"input g0 : 2 × {tall} × {wide}")
                self.start = self.of("(θ * f + η * g0)", "(η * g0 - tanh(θ * f))")
            case "half":
                half = [side + "/2" if side.isalpha() else str(int(side) // 2) for side in self.sides]
                self.add(f"input g0 : 2 × {' × '.join(half)}")
                self.start = self.of("(θ * f + η * upsample(g0))", "(θ * f ⊙ upsample(η * g0))")
            case "sequence":
                last = self.of(1, 2, 3)
                self.add(f"input g0@t : 2 × {tall} × {wide} for t = 1..{last}")
                self.start = f"(θ * f + sum(t = 1..{last} : {self.of('1/t * ', '')}tanh(η * g0@t)))"
            case "vector":
                self.add("input g0 : 3 × 1 × 1")
                self.start = "(θ * f + avgpool(η * g0))"
            case "numbers":
                self.add("input g0 : 2 numbers")
                scaled = [f"{self.of('', 'tanh ∘ ')}linear[c@1](g0) {sign} θ * f" for sign in "⊙+*"]
                self.start = f"({self.of('θ * concat(f, g0)', 'θ * concat(⟨g0, g0⟩, f)', *scaled)})"
            case "number":
                self.add("input g0 : 1 number")
                factors = ["g0", "(1 - g0)", "g0^2", "exp(-g0^2)", "1/(1 + g0^2)", "max(g0, 0.1)", "linear[c@1](g0)"]
                body = self.of("θ * concat(f, g0)", "θ * f + g0", *(f"{factor} * θ * f" for factor in factors))
                self.start = f"({body})"
            case "schedule":
                last = self.of(1, 2, 3)
                self.add(f"input g0@t : 1 number for t = 1..{last}")
                spread = f"sum(t = 1..{last} : {self.of('1/t * ', '')}tanh(g0@t))"
                joined = f"linear[c@1] ∘ concat(t = 1..{last} : g0@t)"
                self.start = f"(θ * f {self.of('+ ' + spread, '+ ' + joined, '⊙ ' + joined)})"

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

    def head(self, value: str, level: str, is_wide: bool = False) -> None:
        """What the network gives of a value of that level: scores of classes, or what its task says.

        `is_wide` says that the value may have other channels than c at that level.
        """
        if self.task == "scores":
            self.scores(value, level, is_wide)
            return
        outputs = {
            "map": ["map"],
            "numbers": ["numbers"],
            "several": self.of(
                ["map", "scores"],
                ["numbers", "map"],
                ["scores", "given", "map"],
                ["map", "numbers", "used"],
                ["number"],
                ["map", "number"],
            ),
            "open": self.of(["map"], ["map", "number"], ["map", "numbers"], ["scores"], ["given", "map"]),
        }
        for kind in outputs[self.task]:
            match kind:
                case "map":
                    self.map(value, level, is_wide)
                case "numbers":
                    self.add(f"output y0 : {self.of(2, 3)} numbers")
                    self.add(f"y0 = {self.of('linear', 'tanh ∘ linear')} ∘ {self.of('avgpool', 'maxpool')}({value})")
                case "number":
                    forms = ["‖{0}‖", "⟨{0}, tanh({0})⟩", "1/(1 + ‖{0}‖)", "max(0.1, ‖{0}‖^2)"]
                    self.add("output n0 : 1 number", f"n0 = {self.of(*forms).format(value)}")
                case "given":
                    self.add(f"output z0 : c@1 × {' × '.join(self.sides)}", f"z0 = tanh({self.start})")
                case "used":
                    # Another output needs it.
                    self.add("output z0 : 3 numbers", "z0 = linear[3] ∘ relu(y0)")
                case _:
                    self.scores(value, level, is_wide)

    def map(self, value: str, level: str, is_wide: bool) -> None:
        """A map as an output: as large as the maps of that level are, or as the input."""
        shrunk = 2 ** ((self.levels if level == "J" else int(level)) - 1)
        width = self.of("1", "2", f"c@{level}")
        sides = [f"{side}/{shrunk}" if side.isalpha() else str(-(-int(side) // shrunk)) for side in self.sides]
        form = "kernel"
        if width[0] == "c" and not is_wide and "concat" not in value:
            form = self.of("plain", "kernel", "kernel", "sigma")
        if form == "kernel":
            self.add(f"kernel Q : {self.of('1×1', '3×3')} → {width}" + self.of("", " bias"))
        body = {"plain": value, "sigma": f"{self.s(level)}({value})", "kernel": f"Q * ({value})"}[form]
        if shrunk > 1 and all(side.isalpha() or int(side) % shrunk == 0 for side in self.sides) and self.chance(3):
            sides, body = list(self.sides), f"upsample[{shrunk}{self.of('', ', bilinear')}]({body})"
        self.add(f"output u0 : {width} × {' × '.join(sides if shrunk > 1 else self.sides)}", f"u0 = {body}")

    def scores(self, value: str, level: str, is_wide: bool) -> None:
        self.add("output h : 3")
        sigma = "relu ∘ bn" if is_wide else self.s(level)
        self.add(
            "h = "
            + self.of(
                f"linear ∘ avgpool({value})",
                f"linear ∘ avgpool({value})",
                f"linear ∘ avgpool ∘ {sigma}({value})",
                f"linear ∘ maxpool({value})",
                f"linear ∘ {'avgpool' if self.task == 'open' else 'flatten'}({value})",
                f"linear ∘ relu ∘ linear[4] ∘ avgpool({value})",
            )
        )
