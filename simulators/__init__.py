"""The pretend world: servers that speak the wire.

What may live here: physics, faults, and servers written from the vendors' documents and captures. Nothing here imports
a driver or a link of the product: two readings of the wire, so that one can catch the other.
"""
