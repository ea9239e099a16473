"""The gateway's cost: what a call of a model takes with everything switched on, beside a bare proxy and its peers."""
