"""The one resource: the pipeline's database and settings, and which symbols a run is about."""

from contextlib import ExitStack

import dagster as dg
from pydantic import Field, PrivateAttr

from btc_pipeline.defs.processes import PROCESS_TAG, this_process
from btc_pipeline.errors import UserError
from btc_pipeline.market.instruments import Instrument
from btc_pipeline.pipeline.catalogue import Catalogue, build_catalogue
from btc_pipeline.pipeline.chain import Chain
from btc_pipeline.settings import Settings, load_settings
from btc_pipeline.storage.address import open_database
from btc_pipeline.storage.connection import Database
from btc_pipeline.storage.instruments import find_instrument, read_instruments

RESOURCE_KEY = "pipeline"


class PipelineResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens the database when a run starts; `symbols` narrows a run, none means every instrument."""

    symbols: list[str] = Field(default_factory=list, description="instruments to work on; empty: all that are stored")

    _settings: Settings = PrivateAttr()
    _database: Database = PrivateAttr()
    _catalogue: Catalogue = PrivateAttr()
    _open: ExitStack = PrivateAttr(default_factory=ExitStack)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Loads the settings, brings the schema up to date, and says in which process the run lives."""
        try:
            self._settings = load_settings()
            self._catalogue = build_catalogue(self._settings)
            self._database = self._open.enter_context(open_database(self._settings).kept())
        except UserError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        if context.instance is not None and context.run is not None:
            context.instance.add_run_tags(context.run.run_id, {PROCESS_TAG: this_process(context.run.run_id)})

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002 Dagster's signature
        """Closes the connection."""
        self._open.close()

    @property
    def settings(self) -> Settings:
        return self._settings

    @property
    def database(self) -> Database:
        return self._database

    @property
    def catalogue(self) -> Catalogue:
        return self._catalogue

    @property
    def chain(self) -> Chain:
        return Chain(self._database, self.catalogue, self._settings.rule)

    def instruments(self) -> list[Instrument]:
        """The instruments of this run.

        Raises:
            dagster.Failure: a symbol has no data; the message says which have.
        """
        with self._database.arrow() as cursor:
            if not self.symbols:
                return read_instruments(cursor)
            try:
                return [find_instrument(cursor, symbol) for symbol in self.symbols]
            except UserError as error:
                raise dg.Failure(str(error), allow_retries=False) from error
