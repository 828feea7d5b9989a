"""What every benchmark shares: timing in turn, one table, the machine's line."""
