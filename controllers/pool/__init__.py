"""The tap: a Stratum proxy between machines and their pool, which verifies every share that goes through it.

What may live here: sockets, the clock that is passed in, and files in the state directory. What a line means and what a
share is worth is judged in `fleet.work.stratum`; nothing here commands a machine beyond what a pool may tell it.
"""
