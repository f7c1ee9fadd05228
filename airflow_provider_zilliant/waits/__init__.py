"""Waiting, for worker and triggerer alike: when to poll again, when to stop, how a wait ends, whose turn it is.

Points in time are epoch seconds (``*_time``, ``*_since``), so that a wait that moves to another
process, or starts over in a restarted one, ends when it would have ended.
"""
