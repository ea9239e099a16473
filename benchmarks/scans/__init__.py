"""Scans with a known truth: letters of an administration in eight languages, and what copiers do to them."""
