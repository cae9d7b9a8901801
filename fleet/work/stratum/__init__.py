"""Stratum V1 without I/O: lines in, messages and verdicts out.

What may live here: the codec of lines, the jobs that a pool gave, and the judgment of a share against its job. No
socket, no clock: whoever has a connection hands over bytes and times.
"""
