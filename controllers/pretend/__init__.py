"""Commands that need a pretend world: demo, simulate, backtest. The only modules of controllers that import simulators.

They are imported only when such a command is given; nothing of the daemon knows of them.
"""
