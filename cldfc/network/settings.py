"""The brackets of a built-in operator: `maxpool[3, stride=2]` → its configuration."""

from __future__ import annotations

from cldfc.diagnostics import did_you_mean
from cldfc.network.constants import Constants
from cldfc.network.numbers import report_unfit
from cldfc.ops import Operator, OperatorSetting
from cldfc.syntax import tree


def configure(symbol: tree.Symbol, operator: type[Operator], constants: Constants) -> Operator | None:
    """The operator with the numbers in its brackets; None when one of them was reported."""
    known = operator.settings()
    given: dict[str, int | float] = {}
    for place, setting in enumerate(symbol.settings):
        name = setting.name if setting.name is not None else next(iter([*known][place : place + 1]), None)
        if name not in known or name in given:
            return refuse_setting(symbol, setting, name, known, constants)
        value = setting_value(setting, name, known[name], operator, constants)
        if value is None:
            return None
        given[name] = value
    return operator(**given)


def setting_value(
    setting: tree.Setting, name: str, known: OperatorSetting, operator: type[Operator], constants: Constants
) -> int | float | None:
    value = constants.number(setting.value)
    if value is None:
        return None
    is_fit = known.least <= value <= known.most and (known.kind == "real" or isinstance(value, int))
    if is_fit:
        return value
    role = f"the {name} of `{operator.keyword}`"
    kind = "whole number" if known.kind == "whole" else "number"
    report_unfit(constants.problems, value, setting.value.span, role, known.least, known.most, kind=kind)
    return None


def refuse_setting(
    symbol: tree.Symbol,
    setting: tree.Setting,
    name: str | None,
    known: dict[str, OperatorSetting],
    constants: Constants,
) -> None:
    listed = ", ".join(f"`{other}`" for other in known)
    if name in known:
        message, help = f"the {name} of `{symbol.name}` is given twice", "keep one of the two"
    elif not known:
        message, help = f"`{symbol.name}` has no settings", f"write `{symbol.name}` without brackets"
    elif name is None:
        message, help = f"`{symbol.name}` takes at most {len(known)} numbers", f"its settings are {listed}"
    else:
        message = f"`{symbol.name}` has no setting `{name}`"
        help = did_you_mean(name, known, f"its settings are {listed}")
    span, label = (setting.span, "not expected here") if known else (symbol.span, "brackets here")
    constants.problems.report("E0507", message, span, label, help)
