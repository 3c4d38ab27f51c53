"""The `btc-pipeline` command.

Belongs here: arguments, progress and sentences for a terminal. Does not belong here: any work of its own.
"""
