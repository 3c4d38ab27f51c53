"""The HTTP API: thin routers over `btc_pipeline.storage`.

Belongs here: the application, routers, response schemas, the dashboard. Does not belong here: any computation of its
own.
"""
