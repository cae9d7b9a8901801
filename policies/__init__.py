"""The judgment: pure functions of what is known.

What may live here: values in, values out. No clock, no file, no socket, no random number; a tick over the same
snapshot gives the same answer, in the daemon, the backtest, a replay and a test alike.
"""
