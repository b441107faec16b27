"""The additions of CONTRIBUTING.md, carried out in a copy of the repository, whole and with each step left out.

Tests run there in a process of their own, which has torch already: tests/program.py.
"""

import json
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from networks import some
from program import ROOT, Program

STEP = re.compile(
    r"^In (?:a new file, )?`(?P<path>[^`]+)`"
    r"(?:, (?:(?P<how>after|before|in place of) (?P<ticks>``?)(?P<anchor>.+?)(?P=ticks)|at the end))?:\n\n"
    r"(?P<fence>```+)\w+\n(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
PARTS = "cldfc tests grammar specs examples docs editors pyproject.toml README.md".split()
# What adds a new kind of thing, at most so many files, and what its absence is called.
MOST_FILES = {"operator": 4, "rewrite": 2, "data set": 2, "output format": 2, "statement": 7}
MOST_FILES |= {"error": 4, "field of the recipe": 3, "reserved name": 2}


@dataclass(frozen=True)
class Step:
    """A block of the page, and where it goes."""

    path: str
    how: str
    anchor: str
    text: str

    def apply(self, root: Path) -> None:
        path = root / self.path
        if not self.how:
            before = path.read_text(encoding="utf-8") + "\n\n" if path.exists() else ""
            path.write_text(before + self.text, encoding="utf-8")
            return
        whole = path.read_text(encoding="utf-8")
        if self.how == "in place of":
            assert whole.count(self.anchor) == 1, f"{self.path} has not once `{self.anchor}`"
            path.write_text(whole.replace(self.anchor, self.text.rstrip("\n")), encoding="utf-8")
            return
        lines = whole.splitlines(keepends=True)
        (at,) = (at for at, line in enumerate(lines) if line.strip().startswith(self.anchor))
        at += self.how == "after"
        path.write_text("".join([*lines[:at], self.text, *lines[at:]]), encoding="utf-8")


def additions() -> dict[str, list[Step]]:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    sections = re.findall(r"^### How to add an? (.*?)\n(.*?)(?=^##)", page, re.MULTILINE | re.DOTALL)
    steps = {
        kind: [
            Step(*(found[name] or "" for name in ("path", "how", "anchor", "text"))) for found in STEP.finditer(text)
        ]
        for kind, text in sections
    }
    return {kind: found for kind, found in steps.items() if found}


ADDITIONS = additions()

GOLDEN = [
    "tests/test_operators.py::test_page",
    "tests/test_editors.py::test_the_grammar",
    "tests/test_data_page.py::test_the_table_is_the_catalogue",
    "tests/test_formats.py::test_every_format_is_on_its_page",
    "tests/test_formats.py::test_what_is_written[01_one_iteration.graphml]",
    "tests/test_errors.py::test_report[E0601_shape]",
    "tests/test_errors.py::test_report[R0906_dropout]",
]
TESTS = [
    *GOLDEN,
    "tests/test_operators.py::test_every_operator_has_a_case",
    "tests/test_operators.py::test_zero[HardTanh() ]",
    "tests/test_operators.py::test_bounds[HardTanh() ]",
    "tests/test_operators.py::test_linear[HardTanh() ]",
    "tests/test_operators.py::test_value_shape_and_size[HardTanh() ]",
    "tests/test_operators.py::test_docstring[hard_tanh]",
    "tests/test_operators.py::test_formula_of_the_reference[hard_tanh]",
    "tests/test_operators.py::test_every_provable_sign_is_claimed[hard_tanh]",
    "tests/test_operators.py::test_in_a_network[hard_tanh]",
    "tests/test_docstrings.py",
    "tests/test_simplify.py::test_every_rewrite_takes_part",
    "tests/test_data_page.py::test_every_data_set_is_listed",
    "tests/test_data_page.py::test_every_data_set_has_a_reader[bars_and_stripes]",
    "tests/test_data_page.py::test_what_an_entry_says_of_its_images[bars_and_stripes]",
    "tests/test_formats.py::test_every_format_says_that_cldfc_has_written_it[.graphml]",
    "tests/test_formats.py::test_the_suffix_says_what_is_written[.graphml]",
    "tests/test_formats.py::test_only_what_cldfc_has_written_is_overwritten[.graphml]",
    "tests/test_syntax.py::test_every_statement_of_the_grammar_has_an_example",
    "tests/test_syntax.py::test_a_statement_is_read_written_and_completed[shape]",
    "tests/test_syntax.py::test_some_spec_has_the_statement[shape]",
    "tests/test_syntax.py::test_every_statement_means_something[ShapeStatement]",
    "tests/test_editors.py::test_the_words_of_the_grammar_are_those_of_the_compiler",
    "tests/test_errors.py::test_every_code_has_a_case",
    "tests/test_errors.py::test_wording[R0906_dropout]",
    "tests/test_explain.py::test_every_code_has_a_page",
    "tests/test_explain.py::test_page[R0906]",
    "tests/test_explain.py::test_wrong_example_raises_the_code[R0906]",
    "tests/test_explain.py::test_right_example_compiles[R0906]",
    "tests/test_remarks.py::test_every_remark_takes_part",
    "tests/test_reserved.py::test_what_generated_code_reads",
    "tests/test_reserved.py::test_every_name_in_every_role[0-0]",
    "tests/train/test_recipe.py::test_every_field_is_used",
    "tests/train/test_recipe.py::test_every_field_is_on_its_page",
]

# What is used of each addition, once it is there.
USE = """
import networkx, torch
from torch.nn.functional import hardtanh
from typer.testing import CliRunner
from cldfc.cli import app
from cldfc.compilation import Compilation
from cldfc.diagnostics import Source
from cldfc.weights.network import build_network

def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, (words, result.output, result.exception)
    return result.stdout

HEAD = "model M\\ninput f : 3 × 6 × 6\\noutput h : 108\\n"
BODY = "shape y : 3 × 6 × 6\\ny = relu(hard_tanh(f))\\nh = flatten ∘ relu(relu(y))\\n"
open("hard_tanh.cldf", "w").write(HEAD + BODY)
run("compile", "hard_tanh.cldf", "-o", "hard_tanh.py")
code = open("hard_tanh.py").read()
scope = {}
exec(code, scope)
x = torch.randn(2, 3, 6, 6)
assert torch.equal(scope["M"]()(x), hardtanh(x).relu().flatten(1))
assert code.count("F.relu(") == 2, code
run("fmt", "hard_tanh.cldf")
assert "shape  y : 3 × 6 × 6" in open("hard_tanh.cldf").read()
run("show", "hard_tanh.cldf", "-o", "hard_tanh.graphml")
net = networkx.read_graphml("hard_tanh.graphml")
assert any("hard_tanh" in label for label in networkx.get_node_attributes(net, "label").values())
open("nesterov.toml", "w").write("nesterov = true\\n")
run("train", "fbresnet", "--data", "digits", "--recipe", "nesterov.toml", "--dry-run")
assert "leaves nothing" in run("explain", "R0906")
run("train", "fbresnet", "--data", "bars_and_stripes", "--let", "c = 4", "--epochs", "1", "--dry-run")
assert "bars_and_stripes" in run("train", "--help") and ".graphml" in run("show", "--help")
"""

RUNNER = """
import json, os, sys
order = json.loads(sys.argv[1])
root = order["root"]
os.chdir(root)
for name in [name for name in sys.modules if name.partition(".")[0] == "cldfc"]:
    del sys.modules[name]
sys.path[:] = [root, root + "/tests", *(part for part in sys.path if part and part not in order["not"])]
if order["tables"]:
    from cldfc.syntax import build_tables
    build_tables.TABLES.write_text(build_tables.tables_text(), encoding="utf-8")
    for name in [name for name in sys.modules if name.partition(".")[0] == "cldfc"]:
        del sys.modules[name]
import pytest
for words in order["runs"]:
    code = int(pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=short", *words]))
    print("exit code", code)
if order["use"] and code == 0:
    exec(order["use"], {})
sys.exit(code)
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The parts of the repository that are needed, with all additions."""
    root = tmp_path_factory.mktemp("copy")
    for name in PARTS:
        one = ROOT / name
        if one.is_dir():
            shutil.copytree(one, root / name)
        else:
            shutil.copy2(one, root / name)
    (root / "run.py").write_text(RUNNER)
    for step in every_step():
        step.apply(root)
    return root


def every_step() -> Iterable[Step]:
    return (step for steps in ADDITIONS.values() for step in steps)


def run(root: Path, *runs: Sequence[str], tables: bool = False, use: str = "") -> tuple[int, str]:
    """Tests in the copy, time after time in one process: the last exit code, and what pytest says."""
    order = {"root": str(root), "not": [str(ROOT), str(ROOT / "tests")], "runs": runs, "tables": tables, "use": use}
    program = Program(json.dumps(order), script=root / "run.py", cwd=root, PYTHONPATH=str(root), CLDFC_EACH="1")
    ended = program.end()
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize("kind", MOST_FILES)
def test_few_files_are_written_by_hand(kind):
    files = {step.path for step in ADDITIONS[kind]}
    assert 0 < len(files) <= MOST_FILES[kind], files


def test_additions(copy: Path):
    """First as they are written, when what is generated is out of date; then after `make grammar golden`."""
    code, said = run(copy, GOLDEN[:2], [*GOLDEN, "--update-golden"], TESTS, tables=True, use=USE)
    assert "`make golden` writes operators.md anew" in said, said
    assert "`make golden` writes cldf.tmLanguage.json anew" in said
    assert code == 0 and re.findall(r"exit code (\d)", said) == ["1", "0", "0"], said


# What is left out of an addition, by the file of its steps or as a line of one; the test that finds it; what it says.
LEFT_OUT = (
    (
        (
            "tests/test_operators.py",
            "test_operators.py::test_every_operator_has_a_case",
            "`hard_tanh` has no case in tests/test_operators.py",
        ),
        (
            "cldfc/algebra/simplify.py",
            "test_simplify.py::test_every_rewrite_takes_part",
            "`drop_repeated` is not in REWRITES of cldfc/algebra/simplify.py",
        ),
        (
            "CIFAR100, IMAGENET, BARS_AND_STRIPES)",
            "test_data_page.py::test_every_data_set_is_listed",
            "`BARS_AND_STRIPES` is not in ENTRIES of cldfc/data/entries.py",
        ),
        (
            "cldfc/show/formats.py",
            "test_formats.py::test_every_writer_is_in_the_table",
            "`emit_graphml` is not in OUTPUT_FORMATS of cldfc/show/formats.py",
        ),
        (
            "docs/language.md",
            "test_syntax.py::test_a_statement_is_read_written_and_completed[shape]",
            "`shape` is not in docs/language.md",
        ),
        (
            "tests/golden/errors/R0906_dropout.cldf",
            "test_errors.py::test_every_code_has_a_case",
            "no file of tests/golden/errors shows R0906",
        ),
        (
            "cldfc/training/step.py",
            "train/test_recipe.py::test_every_field_is_used",
            "`nesterov` of the recipe is used nowhere",
        ),
        (
            "docs/training.md",
            "train/test_recipe.py::test_every_field_is_on_its_page",
            "`nesterov` is not in the table of docs/training.md",
        ),
        (
            "RuntimeError ValueError abs bool",
            "test_reserved.py::test_what_generated_code_reads",
            "generated code reads `abs`, which is not in cldfc/syntax/keywords.py",
        ),
    ),
    (
        (
            "cldfc/explanations/R0906.md",
            "test_explain.py::test_every_code_has_a_page",
            "R0906 has no page in cldfc/explanations",
        ),
        (
            "REMARKS = (remark_emptied, remark_unbounded_head,",
            "test_remarks.py::test_every_remark_takes_part",
            "`remark_emptied` is not in REMARKS of cldfc/compilation.py",
        ),
        (
            "cldfc/recipe.py",
            "train/test_recipe.py::test_every_field_is_on_its_page",
            "docs/training.md has `nesterov`, which no recipe has",
        ),
        (
            "cldfc/emit/constructor.py",
            "test_reserved.py::test_what_generated_code_reads",
            "cldfc/syntax/keywords.py has `abs`, which no generated code reads",
        ),
        (
            "cldfc/reference/operators.py",
            "test_operators.py::test_formula_of_the_reference[hard_tanh]",
            "`hard_tanh` has no formula in cldfc/reference/operators.py",
        ),
        (
            "    keeps_zero: ClassVar[bool] = True\n",
            "test_operators.py::test_zero[HardTanh() ]",
            "`hard_tanh` says neither `keeps_zero` nor `linear`, but gives 0 for 0",
        ),
        (
            "    After::\n",
            "test_docstrings.py::test_the_example_in_the_docstring_of_a_rewrite[drop_repeated]",
            "shows no spec before and after",
        ),
        (
            "cldfc/data/bars_and_stripes.py",
            "test_data_page.py::test_every_data_set_has_a_reader[bars_and_stripes]",
            "is to be in cldfc/data/bars_and_stripes.py, and there is no such file",
        ),
        (
            '"<!-- generated by cldfc -->", ',
            "test_formats.py::test_every_format_says_that_cldfc_has_written_it[.graphml]",
            "a `.graphml` does not say `generated by cldfc`",
        ),
        (
            "cldfc/syntax/format.py",
            "test_syntax.py::test_a_statement_is_read_written_and_completed[shape]",
            "no case of cldfc/syntax/format.py writes `shape`",
        ),
        (
            "tests/golden/errors/E0601_shape.cldf",
            "test_syntax.py::test_some_spec_has_the_statement[shape]",
            "no spec has `shape`: write one in tests/golden",
        ),
        (
            "cldfc/network/cost.py",
            "test_syntax.py::test_every_statement_means_something[ShapeStatement]",
            "`tree.ShapeStatement` means nothing yet: say what in cldfc/network",
        ),
    ),
    (
        (
            "cldfc/emit/graphml.py",
            "test_formats.py::test_every_format_says_that_cldfc_has_written_it[.graphml]",
            "No module named 'cldfc.emit.graphml'",
        ),
        (
            "cldfc/syntax/build.py",
            "test_syntax.py::test_a_statement_is_read_written_and_completed[shape]",
            "no method of cldfc/syntax/build.py makes a statement of `shape`",
        ),
        (
            "grammar/cldf.lark",
            "test_syntax.py::test_every_statement_of_the_grammar_has_an_example",
            "the grammar does not have every statement of cldfc/syntax/tree.py",
        ),
    ),
    (
        (
            "cldfc/ops/pointwise.py",
            "test_operators.py::test_every_operator_has_a_case",
            "no class of cldfc/ops has the keyword `hard_tanh`",
        ),
    ),
    (
        (
            "cldfc/syntax/tree.py",
            "test_syntax.py::test_every_statement_of_the_grammar_has_an_example",
            "no statement of cldfc/syntax/tree.py has an example that starts with `shape`",
        ),
    ),
)


@pytest.mark.parametrize("left_out", some(LEFT_OUT, 3), ids=lambda left_out: left_out[0][0])
def test_a_step_that_is_left_out_is_named(left_out, copy: Path):
    kept = {}
    try:
        for what, _, _ in left_out:
            steps = [step for step in every_step() if what in (step.path, step.text.strip())]
            paths = {step.path for step in steps} or {step.path for step in every_step() if what in step.text}
            (path,) = paths
            kept[path] = (copy / path).read_bytes()
            leave_out(copy / path, steps, what)
        _, said = run(copy, list(dict.fromkeys(f"tests/{test}" for _, test, _ in left_out)))
    finally:
        for path, content in kept.items():
            (copy / path).write_bytes(content)
    for what, _, message in left_out:
        assert message in " ".join(re.sub(r"^E? +", "", line) for line in said.splitlines()), (what, said)


def leave_out(path: Path, steps: list[Step], what: str) -> None:
    """Take steps back in a file, or a part of its only one."""
    whole = path.read_text(encoding="utf-8")
    if not steps:
        path.write_text(whole[: whole.rindex(what)] + whole[whole.rindex(what) + len(what) :], encoding="utf-8")
    elif not any(step.how for step in steps) and not (ROOT / steps[0].path).exists():
        path.unlink()
    else:
        for step in steps:
            gone = step.anchor if step.how == "in place of" else ""
            whole = whole.replace(step.text.rstrip("\n") if gone else step.text, gone, 1)
        path.write_text(whole, encoding="utf-8")
