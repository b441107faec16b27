"""`cldfc lsp`."""

from __future__ import annotations

from typing import Annotated

from cldfc import __version__
from cldfc.cli.options import errors, switch
from cldfc.diagnostics import UsageError


def lsp(
    unicode: Annotated[bool, switch("--unicode", "Format and complete as `σ ∘ A@ℓ`; the default.")] = False,
    ascii: Annotated[bool, switch("--ascii", "Format and complete as `sigma . A@l`.")] = False,
    latex: Annotated[bool, switch("--latex", r"Format and complete as `\sigma \circ A^{\ell}`.")] = False,
) -> None:
    """Run the language server for editors, over standard input and output.

    Example: cldfc lsp
    """
    with errors():
        from cldfc.cli.fmt import choose_spelling

        spelling = choose_spelling(unicode, ascii, latex)
        try:
            from cldfc.lsp.server import serve
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] not in ("pygls", "lsprotocol"):
                raise
            raise UsageError("the language server needs pygls", 'install it: pip install "cldfc[lsp]"') from None
        serve(spelling, __version__)
