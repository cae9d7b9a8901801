"""The hands and the clock: supervised async tasks around one pure tick.

What may live here: whatever touches the world (time, files, sockets, processes). Only `act` commands machines; all that
`publish` shows is the last Record.
"""
