"""PostgreSQL: the embedded server, migrations, and every statement that reads or writes.

Belongs here: SQL, connections, Arrow conversion. Does not belong here: what a bar, an indicator or a decision is
(`market`, `indicators`, `strategies`), and when they are made (`pipeline`).
"""
