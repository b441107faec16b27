"""The definition executed: a second opinion, which shares nothing with the compiler but the tree of a spec."""
