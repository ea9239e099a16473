"""Reading: known places in real laws, bad files of every kind, and laws that hold for any text."""
