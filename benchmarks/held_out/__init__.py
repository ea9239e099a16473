"""A held-out set of texts with and without personal data, made from a seed; it knows nothing of the detectors."""
