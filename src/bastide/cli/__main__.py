"""`python -m bastide.cli`."""

from bastide.cli.main import main

main()
