"""Proof: machines' shares held against the hash rates that they claim, as columns; pure.

What may live here: the tests and intervals (`contrast`, `running`, `verdicts`, `trial`, `poisson`, `delays`), their
settings (`watch`, `share_check`), the readers of the three sources (`claims`, `counters`, `pooled`, `tapped`), the tests of
spoilt shares (`spoilt`, `faulty`, `losses`), and what comes of it all (`evidence`, `proven`, `credited`). The method and
what it guarantees: docs/statistics.md.
"""
