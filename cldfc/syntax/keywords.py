"""The words of the language, and the names that a generated module needs for itself."""

from __future__ import annotations

import builtins
import keyword
from typing import get_args

from cldfc.syntax import tree

LANGUAGE = "1"
"""The version of the language that is read."""


def _examples() -> dict[str, str]:
    """The words that start statements, and how they go on: `let σ = relu ∘ bn` or `let ν@ℓ = 2, 1, 1, 1`."""
    found: dict[str, list[str]] = {}
    for kind in get_args(tree.Statement):
        for example in getattr(kind, "examples", ()):
            found.setdefault(example.split()[0], []).append(f"`{example}`")
    return {word: " or ".join(written) for word, written in found.items()}


EXAMPLES = _examples()
STATEMENTS = tuple(EXAMPLES)
REDUCTIONS = ("sum", "concat", "max", "min")
SOLVERS = ("fix", "solve")
BOUNDARIES = get_args(tree.Boundary)
KERNEL_RULES = get_args(tree.KernelRule)
WORDS_INSIDE = (
    "for",
    "groups",
    "dilation",
    "padding",
    *BOUNDARIES,
    "each",
    *KERNEL_RULES,
    "start",
    "bias",
    "fixed",
    "number",
    "numbers",
    *REDUCTIONS,
    *SOLVERS,
    "tol",
    "memory",
    "relax",
    "backward",
    "by",
)
"""What the language says with words inside a statement."""


MODULE_NAMES = frozenset(
    """
    torch nn F NamedTuple Callable conv prolong shared_norm drop_path stencil unpad check_size check_margin check_shape
    check_count check_numbers join shared zero_sum symmetric unit_norm frozen_norm freeze unpool
    iterate anderson fixed_point conjugate_gradients soft_threshold leaky_relu
    """.split()
)
"""What it imports and defines beside its class."""

BUILTIN_NAMES = frozenset(
    """
    RuntimeError ValueError bool delattr dict float getattr int isinstance len list max range str sum super tuple
    """.split()
)
"""What it uses of Python's own."""

_CLASS_NAMES = frozenset(
    """
    self fixed_points
    T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches
    eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu load_state_dict
    modules mtia named_buffers named_children named_modules named_parameters parameters register_backward_hook
    register_buffer register_forward_hook register_forward_pre_hook register_full_backward_hook
    register_full_backward_pre_hook register_load_state_dict_post_hook register_load_state_dict_pre_hook
    register_module register_parameter register_state_dict_post_hook register_state_dict_pre_hook requires_grad_
    set_extra_state set_submodule share_memory state_dict to to_empty train training type xpu zero_grad
    """.split()
)
"""The attributes and methods of its instance, most of them from nn.Module."""

LOCALS = MODULE_NAMES | BUILTIN_NAMES | {"self"}
"""No variable of its functions can be called so."""

ATTRIBUTES = LOCALS | _CLASS_NAMES
"""No parameter or table can, for tables may be variables too."""


def is_reserved(name: str) -> bool:
    """Whether a name is not free for the class or for a loop variable: Python or the module uses it."""
    return keyword.iskeyword(name) or hasattr(builtins, name) or name in LOCALS
