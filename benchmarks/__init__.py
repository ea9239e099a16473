"""The figures: each prints what was measured, on which machine, with what switched on."""
