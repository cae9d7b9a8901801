"""Verify: a check of machines' hash rates on request, from its beginning to a report that can be checked again.

What may live here: checks that run in the daemon on the records that it makes, the report that comes of one, its page, and
the reader that judges a report again from the shares beside it. The statistics are `fleet.work`'s; nothing here commands a
machine, an audit is asked of the tap.
"""
