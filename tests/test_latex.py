r"""LaTeX as people write it: equations of papers on unrolled, iterative and multigrid networks, as they print them.

Each is compiled in a small network around it. What the language can say compiles to the same bytes as its plain
spelling; what it cannot say is refused, in words that tests/golden/latex/NAME.txt holds.
"""

from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path

import pytest
from networks import compile_text, some
from paper_equations import CASES

from cldfc.compilation import Compilation
from cldfc.diagnostics import CldfError, Source, plain_text, render
from cldfc.syntax.arrange import format_source
from cldfc.syntax.format import Spelling

GOLDEN = Path(__file__).parent / "golden" / "latex"
READ = {name: case for name, case in CASES.items() if case.plain is not None}
REFUSED = {name: case for name, case in CASES.items() if case.plain is None}
SPELLINGS: tuple[Spelling, ...] = ("unicode", "ascii", "latex")


@cache
def code_of(name: str) -> str:
    return compile_text(READ[name].spec(READ[name].latex))


@pytest.mark.parametrize("name", READ)
def test_an_equation_is_read_as_its_plain_spelling(name: str):
    case = READ[name]
    assert case.plain is not None
    assert code_of(name) == compile_text(case.spec(case.plain))


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_language_cannot_say_is_refused(name: str, golden: Callable[[Path, str], None]):
    case = REFUSED[name]
    with pytest.raises(CldfError) as caught:
        Compilation(Source(f"{name}.cldf", case.spec(case.latex))).check()
    golden(GOLDEN / f"{name}.txt", plain_text(render(caught.value.diagnostics)))


def test_every_refusal_has_a_case():
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(REFUSED)


# Most equations in one spelling.
@pytest.mark.parametrize(("name", "spelling"), some(product(READ, SPELLINGS), 4))
def test_formatted_equations_compile_to_the_same_bytes(name: str, spelling: Spelling):
    text = READ[name].spec(READ[name].latex)
    formatted = format_source(Source("test.cldf", text), spelling)
    assert compile_text(formatted) == code_of(name)
    assert format_source(Source("test.cldf", formatted), spelling) == formatted
