"""The engines that hash headers: the reference on hashlib, numpy arrays, and native code made for this processor.

What may live here: engines with the signature of `fleet.work.header.Engine`, and the trial that picks one. No clock:
whoever wants a trial passes a timer in.
"""
