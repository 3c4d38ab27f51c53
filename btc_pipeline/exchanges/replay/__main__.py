"""`python -m btc_pipeline.exchanges.replay`: the replay exchange as settings have it, for a supervisor."""

from __future__ import annotations

import sys
from functools import partial

from btc_pipeline.errors import UserError
from btc_pipeline.exchanges.replay.running import ReplayPlan, run
from btc_pipeline.settings import load_settings


def main() -> None:
    """Serves; exit code 2 for a setting that cannot be."""
    try:
        settings = load_settings().replay
        run(ReplayPlan(settings.port, settings.file, settings.seed), partial(print, flush=True))
    except UserError as error:
        print(f"STATE exchange: {error}", flush=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
