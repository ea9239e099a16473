"""What others do, measured in the same run: run by an interpreter that has them installed."""
