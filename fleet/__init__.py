"""The machines: what they are, what they say, how to speak to them.

What may live here: the nouns (frozen values and numpy columns), the dialects, and the only sockets that speak to
machines (`links`). Everything but `links`, `drivers` and `discovery` is pure: no clock, no socket, no random number.
"""
