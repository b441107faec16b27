"""Python names for what a spec names."""

from __future__ import annotations

import keyword
from collections.abc import Iterable

from cldfc.syntax.spelling import ascii_name

# What nn.Module keeps for itself; a test compares with the installed torch.
MODULE_ATTRIBUTES = frozenset(
    """
    T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches
    eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu load_state_dict
    modules mtia named_buffers named_children named_modules named_parameters parameters register_backward_hook
    register_buffer register_forward_hook register_forward_pre_hook register_full_backward_hook
    register_full_backward_pre_hook register_load_state_dict_post_hook register_load_state_dict_pre_hook
    register_module register_parameter register_state_dict_post_hook register_state_dict_pre_hook requires_grad_
    set_extra_state set_submodule share_memory state_dict to to_empty train training type xpu zero_grad
    """.split()
)
MODULE_NAMES = frozenset("torch nn F conv self super range dict tuple int float str".split())


class Identifiers:
    """Gives each thing one name of its own: the spec's, in ASCII, or that with a number."""

    def __init__(self, reserved: Iterable[str]) -> None:
        self.taken = set(reserved)
        self.given: dict[object, str] = {}

    def keep(self, names: Iterable[str]) -> None:
        """Give each of these names to what is called so, unless it is taken, whatever asks first."""
        free = {name: ascii_name(name) for name in names}
        self.given.update((n, own) for n, own in free.items() if own not in self.taken and not keyword.iskeyword(own))
        self.taken.update(self.given[name] for name in free if name in self.given)

    def name(self, thing: object, wanted: str) -> str:
        """The name of a thing; the same each time it is asked for."""
        if thing not in self.given:
            self.given[thing] = self.free(ascii_name(wanted))
        return self.given[thing]

    def free(self, wanted: str) -> str:
        """A name that is not taken, nor a word of Python."""
        number, name = 1, wanted
        while name in self.taken or keyword.iskeyword(name):
            number += 1
            name = f"{wanted}_{number}"
        self.taken.add(name)
        return name


def loop_name(index: str) -> str:
    """The Python name of an index; linters refuse `l`, which is how ASCII spells ℓ."""
    return "level" if index == "ℓ" else ascii_name(index)
