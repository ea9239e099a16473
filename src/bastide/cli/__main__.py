"""`python -m bastide.cli`."""

from bastide.cli.tree import main

main()
