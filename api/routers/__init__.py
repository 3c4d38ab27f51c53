"""The endpoints, a file a topic.

Belongs here: parameters, what is read, how it is worded. Does not belong here: SQL of bars and decisions
(`btc_pipeline.storage.queries`), formats (`api.columns`), computation (the pure packages).
"""
