"""The command line, run as a user runs it: in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from networks import ROOT, build, compile_text, printed, some, spec_text
from program import cldfc

from cldfc.cli.compile import STAGES
from cldfc.compilation import Compilation, read_changes
from cldfc.diagnostics import Source
from cldfc.syntax.read import read_source

SPEC = str(ROOT / "specs" / "preact18_Al.cldf")


@pytest.fixture
def wrong(tmp_path):
    path = tmp_path / "wrong.cldf"
    path.write_text(Path(SPEC).read_text(encoding="utf-8").replace("+ A@ℓ *", "+ Ä@ℓ *"), encoding="utf-8")
    return path


def test_check_says_what_it_found():
    result = cldfc("check", SPEC, "specs/fbresnet.cldf")
    assert result.returncode == 0
    assert result.stdout.splitlines() == [
        f"{SPEC}: PreActResNet18_Al, 8,038,858 parameters",
        "specs/fbresnet.cldf: FBResNet, 12,512,586 parameters",
    ]


def test_a_wrong_spec(wrong):
    result = cldfc("check", SPEC, str(wrong))
    assert result.returncode == 1
    assert f"--> {wrong}:21:21" in result.stderr
    assert "^" in result.stderr
    assert "help: " in result.stderr
    assert "8,038,858" in result.stdout


@pytest.mark.parametrize("command", ["compile", "show", "compare", "train"])
def test_every_command_refuses_a_wrong_spec(command, wrong, tmp_path):
    extra = ["--data", "digits"] if command == "train" else []
    result = cldfc(command, str(wrong), *extra, cwd=tmp_path)
    assert result.returncode == 1
    assert "E0102" in result.stderr
    assert sorted(tmp_path.iterdir()) == [wrong]


def test_errors_as_data(wrong):
    result = cldfc("check", "--json", str(wrong))
    assert result.returncode == 1
    (error,) = json.loads(result.stdout)
    assert error["code"] == "E0102"
    assert error["places"][0]["line"] == 21
    assert json.loads(cldfc("check", "--json", SPEC).stdout) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["check", "no_such_file.cldf"],
        ["check", "cldfc/explanations"],
        ["compile", SPEC, "--no-such-option"],
        ["compare"],
        ["compare", SPEC, "no_such_file.cldf"],
        ["compare", SPEC, "--json", "--markdown"],
        ["compile", SPEC, "-o", "no_such_folder/x.py"],
        ["compile", SPEC, "-o", "specs"],
        ["train", SPEC, "--data", "digitz"],
        ["train", SPEC, "--data", "digits", "--epochs", "0"],
        ["train", SPEC, "--data", "digits", "--epochs", "many"],
        ["train", SPEC],
        ["train", SPEC, "--data", "digits", "--save-minutes", "-1"],
        ["train", "--data", "digits"],
        ["train", "--resume", "no_such_run"],
        ["train", SPEC, "--resume", "no_such_run"],
        ["train", "--resume", "no_such_run", "--let", "J = 2"],
        ["eval", "no_such_run"],
        ["nonsense"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line(arguments):
    result = cldfc(*arguments)
    assert result.returncode == 2
    assert result.stderr
    assert not result.stdout


def test_compile_writes_the_stem_into_this_folder(tmp_path):
    result = cldfc("compile", SPEC, cwd=tmp_path)
    assert result.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["preact18_Al.py"]
    source = printed(tmp_path / "preact18_Al.py")
    assert source == (ROOT / "tests/golden/compile/preact18_Al.py").read_text(encoding="utf-8")
    assert type(build(source)).__name__ == "PreActResNet18_Al"
    summary = result.stdout
    assert all(figure in summary for figure in ("8,038,858", "11,172,298", "555,422,720", "64×32×32", "512×4×4"))


def test_compile_to_standard_output_is_the_source_alone():
    result = cldfc("compile", SPEC, "-o", "-")
    assert result.stdout == (ROOT / "tests/golden/compile/preact18_Al.py").read_text(encoding="utf-8")
    assert "8,038,858" in result.stderr


def test_compile_stops_at_a_stage(tmp_path):
    from cldfc import load

    stages = {stage: cldfc("compile", SPEC, "--emit", stage, cwd=tmp_path).stdout for stage in STAGES}
    spec = load(ROOT / SPEC)
    statements = Compilation(spec.origin).tree.statements
    assert re.findall(r"^(\w+)\(", stages["tree"], re.MULTILINE) == [type(one).__name__ for one in statements]
    assert stages["program"].count("Template(") == 4 and "preact18_Al.cldf:4:5>" in stages["program"]
    assert stages["graph"] == cldfc("show", SPEC, "--json").stdout
    assert stages["code"] == spec.source()
    assert not [*tmp_path.iterdir()]
    assert "the stages are `tree`, `program`, `graph`, `code`" in cldfc("compile", SPEC, "--emit", "soure").stderr
    refused = cldfc("compile", SPEC, "--emit", "code", "--inference")
    assert refused.returncode == 2 and "`--emit` and `--inference` cannot be used together" in refused.stderr


def test_compile_follows_a_link_and_overwrites_its_own(tmp_path):
    target, link = tmp_path / "target.py", tmp_path / "link.py"
    target.write_text("")
    link.symlink_to(target)
    for _ in range(2):
        assert cldfc("compile", SPEC, "-o", str(link)).returncode == 0
    assert link.is_symlink()
    assert "generated by cldfc" in target.read_text(encoding="utf-8")


def test_compile_does_not_overwrite_what_a_person_wrote(tmp_path):
    precious = tmp_path / "preact18_Al.py"
    precious.write_text("# mine\n")
    result = cldfc("compile", SPEC, cwd=tmp_path)
    assert result.returncode == 2
    assert precious.read_text() == "# mine\n"


def test_what_is_loaded_when():
    """torch stays out of everything but training; networkx out of check, and what says that a statement is wrong."""
    code = "import sys; from cldfc.cli import app"
    # One after another: what the last one has not loaded, none has.
    compiled = ("compile", SPEC, "-o", "/dev/null")
    for words in (("check", SPEC), compiled, (*compiled, "--inference"), ("show", SPEC), ("compare", SPEC)):
        code += f"; app({words!r}, standalone_mode=False); print('loaded', *sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = [{*line.split()} for line in result.stdout.splitlines() if line.startswith("loaded ")]
    assert len(loaded) == 5
    without = {"torch", "networkx", "sklearn", "cldfc.syntax.parse_errors"}
    assert not without & loaded[0] and "torch" not in loaded[-1]


@pytest.mark.parametrize(
    ("words", "absent"),
    some(
        [
            (("check", SPEC, "--tie", "B@ℓ for i >= 1", "--input", "3x64x64", "--classes", "7"), {"typer", "networkx"}),
            (("compile", SPEC, "-o", "/dev/null"), {"torch", "networkx"}),
            (("train", SPEC, "--data", "digits", "--dry-run"), {"torch", "networkx"}),
        ],
        2,
    ),
)
def test_what_a_command_does_without(words, absent):
    """`check` with options needs no typer, the graph that is compiled no networkx, a dry run no torch nor its files."""
    code = f"import sys; sys.argv[1:] = {words!r}\nfrom cldfc.__main__ import main\ntry: main()\n"
    code += "except SystemExit as end: assert not end.code\nmaps = open('/proc/self/maps').read()\n"
    code += "print('loaded', *sys.modules, *['torch'] * ('libtorch' in maps))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not absent & {*result.stdout.splitlines()[-1].split()}


def test_version():
    """torch's is the one that is installed, said without loading it."""
    import torch

    from cldfc import __version__

    code = "import sys; from cldfc.cli import app; app(['--version'], standalone_mode=False)"
    code += "; print('torch' in sys.modules)"
    assert cldfc("--version").stdout == f"cldfc {__version__} (torch {torch.__version__.split('+')[0]})\n"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.endswith("False\n")


def test_train_and_eval_agree(tmp_path):
    spec = "examples/01_one_iteration.cldf"
    run = tmp_path / "run"
    trained = cldfc("train", spec, "--data", "digits", "--epochs", "2", "-o", str(run))
    assert trained.returncode == 0, trained.stderr
    last = trained.stdout.split("test accuracy ")[-1].split(" after the last epoch")[0]
    expected = {
        "spec.cldf",
        "network.py",
        "recipe.json",
        "SHA256SUMS",
        "environment.json",
        "metrics.csv",
        "best.safetensors",
        "report.html",
        "checkpoints",
    }
    assert {path.name for path in run.iterdir()} == expected
    assert "data:image/svg+xml;base64," in (run / "report.html").read_text(encoding="utf-8")
    assert (run / "spec.cldf").read_text(encoding="utf-8") == (ROOT / spec).read_text(encoding="utf-8")
    evaluated = cldfc("eval", str(run), "--as-trained")
    assert evaluated.returncode == 0, evaluated.stderr
    assert f"test accuracy {last}, as recorded" in evaluated.stdout
    again = cldfc("train", spec, "--data", "digits", "-o", str(run))
    assert again.returncode == 2
    assert "exists" in again.stderr or "there" in again.stderr


# Changes on the command line

LINEAR, AFTER, BEFORE, BOTH = "{} *", "σ ∘ {} *", "{} * σ", "σ ∘ {} * σ"
SCHEMES = [(a, b) for a in (LINEAR, BEFORE, AFTER, BOTH) for b in (LINEAR, AFTER, BEFORE, BOTH)]


def compiled(name: str, **options) -> str:
    """What `cldfc compile` writes, without a process of its own."""
    path = ROOT / "specs" / f"{name}.cldf"
    return Compilation(read_source(path), read_changes(**options)).code()


@pytest.mark.parametrize(("a", "b"), some(SCHEMES, 5), ids=str)
def test_the_schemes_of_table_1(a, b):
    """Every 𝒜 and ℬ; a σ on a side of a kernel has a normalisation wherever the mapping is applied."""
    a, b = a.format("A@ℓ"), b.format("B@ℓ,i")
    source = compiled("fbresnet", lets=[f"𝒜@ℓ = {a}", f"ℬ@ℓ,i = {b}"])
    changes = [("let 𝒜@ℓ   = A@ℓ *", f"let 𝒜@ℓ = {a}"), ("let ℬ@ℓ,i = σ ∘ B@ℓ,i * σ", f"let ℬ@ℓ,i = {b}")]
    assert source == compile_text(spec_text("fbresnet", *changes))

    c = (64, 128, 256, 512)
    kernels = 9 * (3 * c[0] + sum(3 * n * n for n in c) + 2 * sum(n * m for n, m in pairwise(c)))
    norms = c[0] + b.count("σ") * sum(2 * n for n in c)
    # 𝒜 is applied at both steps, in f - 𝒜(u) before the pooling and in 𝒜(u) after it.
    norms += a.count("σ") * sum(n * times for n, times in zip(c, (3, 4, 4, 3), strict=True))
    norms += c[3]  # before the average
    network = build(source)
    assert sum(p.numel() for p in network.parameters()) == kernels + 2 * norms + 10 * (c[3] + 1)


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ({"lets": ["ν=3,4,6,3"]}, ("let ν@ℓ = 2, 1, 1, 1", "let ν@ℓ = 3, 4, 6, 3")),
        ({"lets": ["let nu@l = 3, 4, 6, 3"]}, ("let ν@ℓ = 2, 1, 1, 1", "let ν@ℓ = 3, 4, 6, 3")),
        ({"lets": ["ν = 2"]}, ("let ν@ℓ = 2, 1, 1, 1", "let ν@ℓ = 2")),
        ({"lets": ["σ = bn ∘ relu", "c = 8"]}, ("relu ∘ bn", "bn ∘ relu")),
        ({"ties": ["B@ℓ for i >= 1"]}, ("let σ", "tie B@ℓ for i >= 1\nlet σ")),
        ({"ties": ["tie A", "B@l for i ≥ 1"], "lets": ["c = 8"]}, ("let σ", "tie A\ntie B@ℓ for i >= 1\nlet σ")),
        ({"input": "1x28x28"}, ("3 × 32 × 32", "1 × 28 × 28")),
        ({"input": "1×28×28", "classes": 100}, ("3 × 32 × 32\noutput h : 10", "1 × 28 × 28\noutput h : 100")),
    ],
    ids=str,
)
def test_an_option_is_a_change_of_the_spec(options, change):
    changes = [change] + [("64, 128, 256, 512", "8")] * ("c = 8" in options.get("lets", ()))
    assert compiled("preact18_Al", **options) == compile_text(spec_text("preact18_Al", *changes))


OPTIONS = ["--let", "ν=3,4,6,3", "--tie", "B@ℓ for i >= 1", "--input", "1x28x28", "--classes", "7"]


def test_options_of_every_command():
    expected = compiled("preact18_Al", lets=["ν=3,4,6,3"], ties=["B@ℓ for i >= 1"], input="1x28x28", classes=7)
    count = sum(p.numel() for p in build(expected).parameters())
    assert cldfc("compile", SPEC, *OPTIONS, "-o", "-").stdout == expected
    assert cldfc("check", SPEC, *OPTIONS).stdout == f"{SPEC}: PreActResNet18_Al, {count:,} parameters\n"
    shown = cldfc("show", SPEC, *OPTIONS)
    assert shown.returncode == 0
    assert f"{count:,}" in shown.stdout and "8,038,858" not in shown.stdout


@pytest.mark.parametrize("command", ["check", "compile", "show"])
@pytest.mark.parametrize(
    ("option", "text", "code", "place"),
    [
        ("--let", "ν=3,4", "E0502", "3,4"),
        ("--let", "σ = relu ∘", "E0101", "∘"),
        ("--let", "σ = rel ∘ bn", "E0201", "rel"),
        ("--tie", "Z@ℓ", "E0201", "Z@ℓ"),
        ("--tie", "A@k", "E0208", "k"),
    ],
)
def test_an_error_in_an_option_points_at_it(command, option, text, code, place, tmp_path):
    result = cldfc(command, SPEC, option, text, cwd=tmp_path)
    assert result.returncode == 2
    assert not result.stdout and not list(tmp_path.iterdir())
    lines = result.stderr.splitlines()
    assert lines[0].startswith(f"error[{code}]")
    column = lines[3].index(text) - lines[3].index("| ") - 2 + text.index(place) + 1
    assert lines[1].split() == ["-->", f"{option}:1:{column}"]
    marks = lines[4].index("^")
    assert lines[3][marks:].startswith(place) and lines[4].count("^") == len(place)


@pytest.mark.parametrize(
    ("text", "help"),
    [
        ("sgma = relu", "did you mean `σ`?"),
        ("n = 2", "the spec has `J`, `ν`, `c`, `σ`"),
        ("ν=3\nlet c = 8", ""),
        ("kernel A@ℓ : 3×3 → 4", ""),
    ],
)
def test_only_a_let_of_the_spec_is_replaced(text, help):
    result = cldfc("check", SPEC, "--let", text)
    assert result.returncode == 2
    assert "--> --let:1:" in result.stderr and help in result.stderr


@pytest.mark.parametrize("arguments", [["--input", "3x32"], ["--input", "0x32x32"], ["--classes", "0"]], ids=" ".join)
def test_a_wrong_size_on_the_command_line(arguments):
    result = cldfc("check", SPEC, *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ") and "help: " in result.stderr


def test_expectations_are_of_the_spec_as_written(tmp_path):
    text = Path(SPEC).read_text(encoding="utf-8")
    path = tmp_path / "expecting.cldf"
    path.write_text(text, encoding="utf-8")
    changed = cldfc("check", str(path), "--let", "ν=3,4,6,3")
    assert changed.returncode == 0 and "8,038,858" not in changed.stdout
    count = changed.stdout.split(", ", 1)[1].split()[0].replace(",", "_")
    path.write_text(text.replace("8_038_858", count), encoding="utf-8")
    for options in ([], ["--let", "ν=3,4,6,3"]):
        result = cldfc("check", str(path), *options)
        assert result.returncode == 1
        assert "E0601" in result.stderr and "8,038,858 parameters" in result.stderr


def test_a_run_keeps_a_spec_that_stands_for_itself(monkeypatch):
    monkeypatch.chdir(ROOT)
    source = read_source(Path("examples/04_sharing.cldf"))
    changes = read_changes(["ν = 3, 1, 2"], ["B@ℓ for i >= 2"])
    text = Compilation(source, changes).text
    assert "extend" not in text
    assert Compilation(Source("alone.cldf", text)).code() == Compilation(source, changes).code()
    plain = read_source(Path("specs/fbresnet.cldf"))
    assert Compilation(plain).text == plain.text


@pytest.mark.parametrize("options", [("--input", "3x32x32"), ("--classes", "100")])
def test_training_on_other_sizes_than_the_data(options):
    result = cldfc("train", "specs/fbresnet.cldf", "--data", "digits", *options)
    assert result.returncode == 2
    assert "the images of `digits` are 1×8×8, in 10 classes" in result.stderr


def test_a_changed_network_is_trained_and_evaluated(tmp_path):
    """What the spec expects of the network that it writes is not asked of another one."""
    run = str(tmp_path / "run")
    changes = ["--let", "J = 2", "--let", "ν@ℓ = 1, 1", "--let", "c@ℓ = 4, 8"]
    trained = cldfc("train", "specs/fbresnet.cldf", "--data", "digits", "--epochs", "1", "-o", run, *changes)
    assert trained.returncode == 0, trained.stderr
    tested = cldfc("eval", run, "--as-trained")
    assert "as recorded" in tested.stdout, tested.stderr


AT_CTRL_C = """
import atexit, os, signal, sys

def press(name="", *_):
    if name in ("", {when!r}):
        os.kill(os.getpid(), signal.SIGINT)

class Finder:
    find_spec = staticmethod(press)

sys.argv = ["cldfc", *{words!r}]
if {when!r}:
    sys.meta_path.insert(0, Finder)
else:
    atexit.register(press)
from cldfc.__main__ import main
main()
"""
LOADED = [
    ("numpy", ["verify", SPEC]),
    ("cldfc.output", ["check", SPEC]),
    ("cldfc.messages", ["check", SPEC]),
    ("cldfc.cli", ["--version"]),
    ("cldfc.verify.equivalence", ["verify", SPEC]),
    ("errno", ["--version"]),
    ("", ["--version"]),
]


@pytest.mark.parametrize(("when", "words"), some(LOADED, 3))
def test_ctrl_c_shows_no_traceback(when, words):
    """While a module loads, or when all is done."""
    code = AT_CTRL_C.format(when=when, words=words)
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 128 + signal.SIGINT
    assert result.stderr == ""


def in_shell(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
    line = line.replace("cldfc", f"{sys.executable} -m cldfc")
    return subprocess.run(["bash", "-c", line], cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("command", some(["check", "compile"], 2))
def test_output_on_a_full_disk_is_an_error(command, tmp_path):
    result = in_shell(f"cldfc {command} {SPEC} > /dev/full", tmp_path)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-2:] == [
        "error: the output cannot be written: No space left on device",
        "  = help: make room, or write it elsewhere",
    ]


@pytest.mark.parametrize("command", some(["check", "compile"], 2))
def test_nobody_needs_to_read_the_output(command, tmp_path):
    result = in_shell(f"(cldfc {command} {SPEC}; echo $? >&2) | true", tmp_path)
    assert result.stderr.splitlines()[-1] in "01"
    assert "Error" not in result.stderr


@pytest.mark.parametrize("closed", some([">&- 2>&-", ">&-", "2>&-"], 3))
def test_output_may_be_closed(tmp_path, closed):
    assert in_shell(f"cldfc new Net {closed} && cldfc show Net.cldf -o net.svg {closed}", tmp_path).returncode == 0
    assert "</svg>" in (tmp_path / "net.svg").read_text(encoding="utf-8")
