"""Machines that mine for real: Stratum clients that hash as many headers as their physics says, scaled.

What may live here: the miner's own reading of Stratum, the manner of each firmware, the cheats and their ground truth,
and the loop that hashes for all machines in one thread. Nothing here imports `fleet.work.stratum`.
"""
