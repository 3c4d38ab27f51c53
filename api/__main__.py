"""`python -m api`: the API on the address and port of the settings."""

from __future__ import annotations

import sys

from btc_pipeline.errors import UserError
from btc_pipeline.settings import load_settings


def main() -> int:
    """Serves until it is told to stop; 2 if a setting is wrong."""
    import uvicorn

    from api.app import create_app

    try:
        settings = load_settings()
        app = create_app(settings)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    uvicorn.run(app, host=settings.api_host, port=settings.api_port, log_level="warning")
    return 0


if __name__ == "__main__":
    sys.exit(main())
