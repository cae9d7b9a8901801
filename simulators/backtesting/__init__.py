"""The parts of a backtest: what was known when, one policy over a stretch of time, the clairvoyant, and the ledger."""
