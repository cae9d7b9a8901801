"""Proof of work: hashing, targets, and what a machine's shares say about its claim.

What may live here: pure functions of bytes, integers and columns. No clock, no socket, no random number; whoever
times an engine passes the timer in.
"""
