"""The command line's manners: help, completion, exit codes, `new`, `--json`."""

import json
import re
import shlex
from pathlib import Path

import pytest
from command_line_page import command_line_page, commands, example, is_option
from networks import ROOT, build
from PIL import Image
from program import cldfc
from typer.testing import CliRunner

from cldfc.cli import app
from cldfc.compilation import Compilation
from cldfc.messages import check_specs
from cldfc.syntax.arrange import format_source
from cldfc.syntax.read import read_source

SPEC = "examples/01_one_iteration.cldf"


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_the_page(golden):
    golden(ROOT / "docs" / "command-line.md", command_line_page())


# Help


@pytest.mark.parametrize("name", commands())
def test_every_command_has_an_example_of_itself(name):
    words = shlex.split(example(commands()[name]))
    assert words[:2] == ["cldfc", name]
    assert " ".join(words) in re.sub(r"[\s│]+", " ", run(name, "--help").output)
    # The example is a command line that this release takes, though nothing is run here.
    context = commands()[name].make_context(name, words[2:])
    assert context.params


@pytest.mark.parametrize("name", ["", *commands()])
def test_help_is_in_own_words_and_fits(name):
    """In 80 columns: no type of Python, nothing in the notation of click, every option with what it takes."""
    result = CliRunner(env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}).invoke(app, [*([name] if name else []), "--help"])
    lines = result.output.splitlines()
    assert result.exit_code == 0 and max(map(len, lines)) <= 80
    assert not re.search(r"<\w|x>=|<=x|\brange\b|Usage.*[{}]|list\[|\bTEXT\b|INTEGER|FLOAT|\brequired\]", result.output)
    assert not any(line.endswith(" ") for line in lines)
    for parameter in commands()[name].params if name else ():
        if is_option(parameter) and not parameter.is_flag:
            assert re.search(rf"{parameter.opts[-1]} {re.escape(parameter.metavar or 'N')}(  |\n|$)", result.output)


def test_numbers_say_their_default_and_their_bounds():
    shown = " ".join(run("reproduce", "--help").output.split())
    assert "with the seeds 0, 1, …, N − 1. [default: 1; 1 to 1,000]" in shown
    assert "Seed of weights and images. [default: 0; at least 0]" in " ".join(run("verify", "--help").output.split())


@pytest.mark.parametrize(
    ("arguments", "message", "help"),
    [
        (["trian"], "there is no command `trian`", "did you mean `train`? the commands are `new`, `specs`, `check`"),
        (["bogus"], "there is no command `bogus`", "the commands are `new`"),
        (
            ["train", "--epoch", "3"],
            "`cldfc train` has no option `--epoch`",
            "`--epochs`? `cldfc train --help`",
        ),
        (["eval", "-q"], "`cldfc eval` has no option `-q`", "`cldfc eval --help` lists its options"),
        (["train", SPEC, "--data", "ImageNette"], "no data set `ImageNette`", "class folders"),
        (["train", SPEC, "--data", "Cifar10"], "no data set `Cifar10`", "did you mean `cifar10`? the data sets are"),
        (["reproduce", "table9"], "no table `table9`", "the tables are `table1`, `table2`, `table3`, `table4`, `all`"),
        (["reproduce", "al"], "no table `al`", "did you mean `all`? the tables are `table1`"),
        (
            ["compile", SPEC, "--form", "simple"],
            "`simple` is not a valid form",
            "`simplified`? the forms are `written`, `simpl",
        ),
        (
            ["eval", "runs", "--on", "tset"],
            "`tset` is not a valid part",
            "`test`? the parts are `validation`, `test`",
        ),
        (["explain", "E0320"], "there is no error `E0320`", "did you mean `E03"),
        (["train", SPEC, "--data", "digits", "--device", "gpu"], "`gpu` is not a device", "this machine has `cpu`"),
        (["show", SPEC, "-o", "x.svgz"], "names no format", "`.svg`, `.png`, `.pdf`"),
        (["train", SPEC, "--data", "digits", "--epochs", "x"], "`--epochs` cannot be 'x'", "`cldfc train --help`"),
    ],
)
def test_a_wrong_word_is_answered_by_the_right_ones(arguments, message, help):
    result = run(*arguments)
    assert result.exit_code == 2 and not result.stdout
    error, advice = result.stderr.splitlines()
    assert message in error and help in advice


MEANINGS = {
    "--output": {"compile", "show", "train", "reproduce"},
    "--let": {"check", "compile", "show", "compare", "verify", "train"},
    "--json": {"check", "explain", "compile", "show", "compare", "verify", "train", "eval", "predict", "runs"},
    "--markdown": {"compare", "reproduce"},
    "--data": {"train", "eval"},
    "--data-dir": {"train", "eval", "reproduce"},
    "--seed": {"verify", "train"},
    "--device": {"train", "eval", "predict", "reproduce"},
    "--workers": {"train", "eval", "reproduce"},
}


@pytest.mark.parametrize("option", MEANINGS)
def test_an_option_is_spelled_alike_wherever_it_stands(option):
    """One spelling, `-o` with every `--output`, and it takes a value or none in all of them."""
    found = {
        name: parameter
        for name, command in commands().items()
        for parameter in filter(is_option, command.params)
        if option in parameter.opts
    }
    assert MEANINGS[option] <= set(found)
    assert len({(tuple(parameter.opts), parameter.is_flag) for parameter in found.values()}) == 1


def test_options_that_change_a_spec_come_together():
    together = {"--let", "--tie", "--input", "--classes"}
    for name, command in commands().items():
        options = {opt for parameter in command.params for opt in parameter.opts}
        if name != "derive":
            assert options & together in (set(), together), name


# Completion


def completed(line):
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    return cldfc(_CLDFC_COMPLETE="complete_bash", **words).stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("cldfc co", ["compile", "compare"]),
        ("cldfc explain E070", ["E0701", "E0702", "E0703", "E0704"]),
        ("cldfc train x.cldf --data cif", ["cifar10", "cifar100"]),
        ("cldfc reproduce a", ["all"]),
        ("cldfc eval x --on v", ["validation"]),
        ("cldfc train --resume tests/golden/err", ["tests/golden/errors"]),
        ("cldfc compile x --form s", ["simplified"]),
        ("cldfc train x --device cud", ["cuda", "cuda:0", "cuda:1"]),
        ("cldfc compile --cl", ["--classes"]),
    ],
)
def test_the_shell_completes(line, words):
    assert completed(line) == words


# New


def test_a_new_spec(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("new", "MyNet").exit_code == 0
    (path,) = tmp_path.iterdir()
    assert path.name == "MyNet.cldf" and check_specs([path]) == 0
    text = path.read_text(encoding="utf-8")
    assert format_source(read_source(path)) == text
    assert text.count("#") >= 6 and "model MyNet\n" in text
    assert type(build(run("compile", "MyNet.cldf", "-o", "-").stdout)).__name__ == "MyNet"


@pytest.mark.parametrize("origin", ["preact18_Al", "mgnet_Bli", "imagenet/resnet34", "own.cldf", "broken_line.cldf"])
def test_a_new_spec_from_another(origin, tmp_path, monkeypatch):
    """It stands for itself, under its own name, and expects nothing, for it is there to be changed."""
    monkeypatch.chdir(tmp_path)
    Path("own.cldf").write_text('extend "lenet5"\nmodel Own  # mine\nexpect params = 61_706\n')
    text = (ROOT / "examples" / "01_one_iteration.cldf").read_text(encoding="utf-8")
    broken = text.replace("kernel θ", "expect params =\n    47_274  # counted\nkernel θ")
    Path("broken_line.cldf").write_text(broken, encoding="utf-8")
    result = CliRunner().invoke(app, ["new", "Mine", "--from", origin])
    assert result.exit_code == 0, result.output
    written, other = Compilation(read_source(Path("Mine.cldf"))), Compilation(read_source(Path(origin)))
    assert written.program.model == "Mine" and "expect" not in written.text and "extend" not in written.text
    assert written.code().replace("Mine", other.program.model) == other.code()


def test_a_new_spec_from_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["new", "Mine", "--from", "preact18_AI"])
    assert result.exit_code == 2 and "did you mean `preact18_Al`?" in result.output and not list(tmp_path.iterdir())


def test_a_new_spec_that_hides_a_bundled_one_is_remarked_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(app, ["new", "preact18"]).stderr
    assert "remark: `preact18` is the file `preact18.cldf`, not the spec of that name that comes with cldfc" in said
    assert "remark" not in CliRunner().invoke(app, ["new", "Mine"]).stderr


def test_new_never_overwrites(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.cldf").write_text("mine")
    (tmp_path / "link.cldf").symlink_to(tmp_path / "nowhere")
    for name in ("mine", "mine.cldf", "link", tmp_path / "mine"):
        result = run("new", name)
        assert result.exit_code == 2 and "is there already" in result.stderr
    assert (tmp_path / "mine.cldf").read_text() == "mine" and not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["a b", "2nd", "ℓ", "", "no_folder/x", "model", "x.cldf.cldf", "x\ny"])
def test_new_refuses_what_is_no_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("new", name)
    assert result.exit_code == 2 and "help: " in result.stderr
    assert not list(tmp_path.iterdir())


# JSON


def stated_keys(command):
    """The keys of a command in the page, apart from those in parentheses."""
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| {command} \| (.*) \|$", page, re.MULTILINE)
    return [re.findall(r"`(\w+)`", part) for part in re.sub(r"\([^)]*\)", "", row).split("; ")]


def test_the_summary_of_compile(tmp_path):
    spec = "specs/fbresnet.cldf"
    data = json.loads(run("compile", spec, "-o", tmp_path / "x.py", "--json").stdout)
    # Table 4.2's parameters; the multiply-adds that are left without the zero and with equal parts merged.
    network = build((tmp_path / "x.py").read_text(encoding="utf-8"))
    assert stated_keys("compile") == [list(data)]
    assert data["model"] == type(network).__name__ == "FBResNet"
    assert data["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert [level["name"] for level in data["levels"]] == ["ℓ=1", "ℓ=2", "ℓ=3", "ℓ=4", "h"]
    for figure in ("parameters", "multiply_adds", "convolutions"):
        assert data[figure] == sum(level[figure] for level in data["levels"])
    assert f"{data['multiply_adds']:,}" in run("compile", spec, "-o", tmp_path / "x.py").stdout
    both = run("compile", spec, "-o", "-", "--json")
    assert both.exit_code == 2 and not both.stdout


def test_explanations():
    data = json.loads(run("explain", "--json", "302").stdout)
    assert stated_keys("explain")[0] == list(data)
    assert data["code"] == "E0302" and set(data["examples"]) == {"Wrong", "Right"}
    codes = [explanation["code"] for explanation in json.loads(run("explain", "--json").stdout)]
    assert codes == sorted(codes) and "E0302" in codes and len(codes) > 30
    assert run("explain", "--json", "9999").exit_code == 2


def test_a_training_and_its_test(tmp_path):
    trained = run("train", SPEC, "--data", "digits", "--epochs", "2", "-o", tmp_path / "run", "--json")
    assert trained.exit_code == 0
    *epochs, last = map(json.loads, trained.stdout.splitlines())
    assert stated_keys("train") == [list(epochs[0]), list(last)]
    assert [(epoch["kind"], epoch["epoch"]) for epoch in epochs] == [("epoch", 1), ("epoch", 2)]
    assert last["kind"] == "run" and last["test_accuracy"] == epochs[-1]["test_accuracy"]
    written = (tmp_path / "run" / "metrics.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [float(line.split(",")[4]) for line in written] == [epoch["test_accuracy"] for epoch in epochs]
    planned = json.loads(run("train", SPEC, "--data", "digits", "--dry-run", "--json").stdout)
    assert stated_keys("train --dry-run") == [list(planned)]
    tested = json.loads(run("eval", tmp_path / "run", "--as-trained", "--json").stdout)
    assert stated_keys("eval") == [list(tested)]
    assert tested["agrees"] and tested["test_accuracy"] == last["chosen_test_accuracy"]
    assert tested["recorded_epoch"] == last["chosen_epoch"] and tested["model"] == "OneIteration"
    (listed,) = json.loads(run("runs", tmp_path, "--json").stdout)
    assert stated_keys("runs") == [list(listed)] and listed["folder"] == last["folder"]
    Image.new("L", (8, 8)).save(tmp_path / "black.png")
    (predicted,) = json.loads(run("predict", tmp_path / "run", tmp_path / "black.png", "--json").stdout)
    assert stated_keys("predict") == [list(predicted)] and list(predicted["classes"][0]) == [
        "class",
        "name",
        "probability",
    ]
