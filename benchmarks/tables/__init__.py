"""Tables with a known truth, in four languages: merged cells, long ones, beside text, by programs that print."""
