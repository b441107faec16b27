r"""Formulas as a paper prints them: `\sum`, `\frac`, `\nu_{\ell}`. They look right, but are not read back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cldfc.network.numbers import level_index
from cldfc.network.positions import Constant
from cldfc.syntax import tree
from cldfc.syntax.format import ATOM, PRODUCT, Formatter
from cldfc.syntax.lines import statement_line
from cldfc.syntax.spelling import ACCENTS, ascii_name
from cldfc.syntax.words import COMMANDS, WORDS, Spelling, SpellingWords, spell_name

OPTION = re.compile(r", (groups|dilation|bias|fixed)")


@dataclass(frozen=True, slots=True)
class PaperFormatter(Formatter):
    """Writes trees in LaTeX for people; `constants` are those of the spec."""

    spelling: Spelling = "latex"
    constants: Mapping[str, Constant] = field(default_factory=dict[str, Constant])

    @property
    def words(self) -> SpellingWords:
        """The signs of LaTeX, in the commands that everything which typesets formulas knows."""
        return replace(WORDS["latex"], at_least=r"\geq", at_most=r"\leq")

    def name(self, name: str) -> str:
        r"""`\sigma`, `\tilde{r}`, `f_{\mathrm{in}}`; a word with underscores stays one."""
        head, _, below = name.partition("_")
        if "_" not in name or (head in ACCENTS and "_" not in below):
            return spell_name(name, "latex")
        if len(head) > 1 or "_" in below:
            return rf"\mathrm{{{roman_text(name)}}}"
        return rf"{{{COMMANDS.get(head, head)}_{{\mathrm{{{roman_text(below)}}}}}}}"

    def tag(self, tag: tuple[tree.Index, ...]) -> str:
        r"""`^{\ell,\nu_{\ell}}`: a constant of each level says its level."""
        written = tuple(self.with_level(index, tag) for index in tag)
        text = ",".join(map(self.index, written))
        return f"^{{{text}}}" if text else ""

    def with_level(self, index: tree.Index, tag: tuple[tree.Index, ...]) -> tree.Index:
        """`ν` in a tag as `ν@ℓ`."""
        constant = self.constants.get(index.name or "")
        if constant is None or constant.index is None or index.at is not None:
            return index
        own = level_index(tag, constant.index, lambda name: self.is_per_level(name))
        return index if own is None else replace(index, at=own)

    def is_per_level(self, name: str) -> bool:
        return name in self.constants and self.constants[name].index is not None

    def own_tag(self, index: tree.Index, own: tree.Index) -> str:
        return f"_{{{self.inner_index(own)}}}"

    def configuration(self, settings: tuple[tree.Setting, ...]) -> str:
        r"""`3, \mathrm{stride}=2`."""
        names = (rf"\mathrm{{{roman_text(setting.name)}}}=" if setting.name else "" for setting in settings)
        return ", ".join(name + self.text(setting.value) for name, setting in zip(names, settings, strict=True))

    def parts(self, expression: tree.Expression) -> tuple[str, int]:
        match expression:
            case tree.Quotient(numerator, denominator):
                return rf"\frac{{{self.text(numerator)}}}{{{self.text(denominator)}}}", ATOM
            case tree.Reduction("sum", _, _, _, body):
                return rf"\sum{self.limits(expression)} {self.text(body, PRODUCT)}", PRODUCT
            case tree.Reduction(reducer, _, _, _, body):
                return rf"\mathrm{{{reducer}}}{self.limits(expression)}({self.text(body)})", ATOM
            case _:
                return Formatter.parts(self, expression)

    def limits(self, reduction: tree.Reduction) -> str:
        """`_{j = 0}^{i-1}`."""
        lower, upper = self.bound(reduction.lower), self.bound(reduction.upper)
        return f"_{{{self.name(reduction.name)} = {lower}}}^{{{upper}}}"

    def declaration(self, statement: tree.Statement) -> str:
        r"""`$A^{\ell} : 3 \times 3 \to c^{\ell}$`; of a `tie`, also where it holds."""
        if isinstance(statement, tree.Tie):
            clauses = ", ".join(f"${self.clause(clause, ' : ')}$" for clause in statement.clauses)
            return f"${self.symbol(statement.symbol)}$" + (f" for {clauses}" if clauses else "")
        line = statement_line(statement, self)
        body = OPTION.sub(r", \\mathrm{\1}\\ ", line.body).removesuffix("\\ ")
        return f"${' '.join(part for part in (line.head, line.sign, body) if part)}$"


def roman_text(name: str) -> str:
    r"""A name as the text of `\mathrm`, with Greek letters spelled out."""
    return ascii_name(name).replace("_", r"\_")
