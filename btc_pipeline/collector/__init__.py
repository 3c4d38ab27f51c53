"""The collector: a service that lands minutes as they close, confirms them by REST and repairs what is missing.

Belongs here: connections, minute states, buffers, the spool, repair. Does not belong here: wire formats (`exchanges`),
bars and all that is made from minutes (`pipeline`). Imports neither pandas nor pyarrow, so that it stays small.
"""
