"""What the compiler knows about mathematics: one file per fact."""
