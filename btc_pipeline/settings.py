"""Every setting: the environment (and `.env`) over `config/pipeline.yaml` over the defaults here; typed and validated.

Nested settings are written `BTC_PIPELINE_USABILITY__MINIMUM_COVERAGE_PERCENT=98`; the database's own names (`DB_HOST`
and so on) carry no prefix.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from btc_pipeline.errors import UserError
from btc_pipeline.market.basis import Comparison
from btc_pipeline.market.instruments import canonical_symbol, split_symbol
from btc_pipeline.market.intervals import STANDARD_NAMES, Interval
from btc_pipeline.market.resampling import UsabilityRule
from btc_pipeline.market.warm_up import WarmUp
from btc_pipeline.setting_sections import (
    BacktestSettings,
    CollectorSettings,
    CrossCheckSettings,
    IndicatorSettings,
    ReplaySettings,
    StrategySettings,
    UsabilitySettings,
    VenueSettings,
    canonical_intervals,
    value_error,
)
from btc_pipeline.strategies.decisions import StrategyOnInterval
from btc_pipeline.strategies.registry import Registry, load_strategies

PROJECT: Final = Path(__file__).resolve().parents[1]
CONFIG_VARIABLE: Final = "BTC_PIPELINE_CONFIG"
REPLAY_SUFFIX: Final = "-replay"
_DOLLARS: Final = re.compile(r"(?<=.)[-_/:]?(USDT|USDC|FDUSD|BUSD|USD)([-_]?PERP)?$")
"""What venues put behind the name of a coin that is quoted in dollars."""
_ORIGIN: Final = re.compile(
    r"[a-z][a-z0-9+.-]*://([a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?", re.ASCII
)
_USUAL_PORT: Final = re.compile(r"http://.*:80|https://.*:443")


class Settings(BaseSettings):
    """The settings of every process."""

    model_config = SettingsConfigDict(
        env_prefix="BTC_PIPELINE_",
        env_nested_delimiter="__",
        env_file=(PROJECT / ".env", ".env"),
        extra="ignore",
        populate_by_name=True,
        frozen=True,
    )

    data_dir: Path = Field(PROJECT / "data", description="the embedded database, logs, Dagster's local files")
    db_host: str | None = Field(None, validation_alias=AliasChoices("DB_HOST", "db_host"))
    db_port: int = Field(5432, ge=1, le=65535, validation_alias=AliasChoices("DB_PORT", "db_port"))
    db_name: str = Field("btc_data", validation_alias=AliasChoices("DB_NAME", "db_name"))
    db_user: str = Field("btc_bot", validation_alias=AliasChoices("DB_USER", "db_user"))
    db_password: SecretStr = Field(SecretStr(""), validation_alias=AliasChoices("DB_PASSWORD", "db_password"))
    api_host: str = Field("127.0.0.1", description="address that the API listens on")
    api_port: int = Field(8000, ge=1, le=65535)
    api_origins: tuple[str, ...] = Field(
        (),
        description="origins of pages, such as http://127.0.0.1:5173, whose scripts a browser lets read, order and "
        "delete here, as whoever reaches the port may; * is refused, for any page on the internet would be one",
    )
    dagster_host: str = Field("127.0.0.1", description="address that the Dagster UI listens on")
    dagster_port: int = Field(3000, ge=1, le=65535)
    dagster_url: str | None = Field(
        None, pattern=r"^https?://", description="where the API finds the Dagster UI, if not at its host and port"
    )

    feed: Literal["live", "replay"] = Field("live", description="real exchanges, or the local one in their place")
    symbols: tuple[str, ...] = Field(("BTC",), description="what the collector collects")
    collector: CollectorSettings = Field(default_factory=CollectorSettings)
    venues: dict[str, VenueSettings] = Field(default_factory=dict, description="addresses, by a venue's name")
    venues_folder: Path = Field(PROJECT / "venues", description="a user's own venues, one or more a file")
    replay: ReplaySettings = Field(default_factory=ReplaySettings)
    cross_checks: tuple[CrossCheckSettings, ...] | None = Field(
        None,
        description="symbols whose closes are compared. Left out: of the collected symbols those of one base, such as "
        "BTC and BTCUSDT.BINANCE, the first with each one of another venue; []: none",
    )
    warmup: dict[str, str] = Field(
        default_factory=dict,
        description="whose minutes a symbol's indicators may reach back into: BTC: BTCUSDT.BINANCE until 2026-11-01",
    )

    start_date: date = Field(date(2015, 1, 1), description="first daily partition")
    usability: UsabilitySettings = Field(default_factory=UsabilitySettings)
    indicators: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")], IndicatorSettings] = Field(
        default_factory=lambda: {
            f"ma{period}": IndicatorSettings(indicator="sma", parameters={"period": period}) for period in (44, 125)
        }
    )
    strategies: tuple[StrategySettings, ...] = (StrategySettings(strategy="ma44"), StrategySettings(strategy="ma125"))
    strategies_folder: Path = Field(PROJECT / "strategies", description="a user's own strategies, one or more a file")
    backtest: BacktestSettings = Field(default_factory=BacktestSettings)
    standard_intervals: tuple[str, ...] = Field(STANDARD_NAMES[1:], description="intervals that are materialised")

    _standard = field_validator("standard_intervals")(canonical_intervals)

    @field_validator("venues", mode="before")
    @classmethod
    def _venue_names(cls, venues: Any) -> Any:
        """The environment's names come in small letters."""
        return {str(name).upper(): one for name, one in venues.items()} if isinstance(venues, Mapping) else venues

    @field_validator("data_dir", "strategies_folder", "venues_folder")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        """Child processes may have another working directory."""
        return path.expanduser().resolve()

    @field_validator("api_origins")
    @classmethod
    def _valid_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        """As browsers send them, for they are compared letter by letter."""
        for origin in origins:
            if "*" in origin:
                raise ValueError(f"{origin!r:.60} would let pages of anybody in: name each origin")
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r:.60} is no origin: write scheme://host[:port] in small letters, without a path, such "
                    "as http://127.0.0.1:5173"
                )
            if _USUAL_PORT.fullmatch(origin):
                raise ValueError(f"{origin!r:.60}: browsers leave this port out: write {origin.rpartition(':')[0]}")
        return tuple(dict.fromkeys(origins))

    @field_validator("symbols")
    @classmethod
    def _valid_symbols(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        for symbol in symbols:
            value_error(canonical_symbol, symbol)
        return symbols

    @field_validator("warmup")
    @classmethod
    def _valid_warm_ups(cls, warmup: dict[str, str]) -> dict[str, str]:
        sources = {value_error(canonical_symbol, symbol): _warm_up(symbol, text) for symbol, text in warmup.items()}
        if len(sources) < len(warmup):
            raise ValueError(f"a symbol is there twice, once by another name: {', '.join(warmup)}")
        for symbol, warm_up in sources.items():
            if warm_up.source == symbol:
                raise ValueError(f"{symbol} cannot warm up on itself: name a symbol of another venue")
            if warm_up.source in sources:
                raise ValueError(
                    f"{symbol} warms up on {warm_up.source}, which warms up itself: a source has minutes of its own"
                )
        return warmup

    @model_validator(mode="after")
    def _replayed_apart(self) -> Self:
        """Replayed rows never touch real ones: another folder, another embedded server, no server of the user's."""
        if self.feed == "replay":
            folder = self.data_dir
            if not folder.name.endswith(REPLAY_SUFFIX):
                folder = folder.with_name(folder.name + REPLAY_SUFFIX)
            object.__setattr__(self, "data_dir", folder)
            object.__setattr__(self, "db_host", None)
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = InitSettingsSource(settings_cls, _read_config(config_file()))
        return init_settings, env_settings, dotenv_settings, file, file_secret_settings

    @property
    def collected(self) -> tuple[str, ...]:
        """The canonical symbols to collect: `cbBTC` is `BTC`."""
        return tuple(dict.fromkeys(canonical_symbol(symbol) for symbol in self.symbols))

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """The symbols that are compared, `cross_checks` or what goes without saying."""
        if self.cross_checks is not None:
            return tuple(check.comparison for check in self.cross_checks)
        found: list[Comparison] = []
        firsts: dict[str, str] = {}
        for symbol in self.collected:
            venue, name = split_symbol(symbol)
            first = firsts.setdefault(_DOLLARS.sub("", name), symbol)
            if split_symbol(first)[0] != venue:
                found.append(Comparison(first, symbol))
        return tuple(found)

    @cached_property
    def warm_ups(self) -> dict[str, WarmUp]:
        """`warmup`, by canonical symbol."""
        return {canonical_symbol(symbol): _warm_up(symbol, text) for symbol, text in self.warmup.items()}

    @property
    def rule(self) -> UsabilityRule:
        return UsabilityRule(self.usability.minimum_coverage_percent, self.usability.closing_minute_required)

    @cached_property
    def registry(self) -> Registry:
        """Built-in and user strategies."""
        return load_strategies(self.strategies_folder)

    @cached_property
    def strategies_at_work(self) -> tuple[StrategyOnInterval, ...]:
        """Every configured strategy on every interval it runs on."""
        return tuple(
            StrategyOnInterval(strategy, strategy.resolve(chosen.parameters), Interval.parse(name))
            for chosen in self.strategies
            for strategy in [self.registry.get(chosen.strategy)]
            for name in chosen.intervals
        )

    def validated(self) -> Settings:
        """Itself, once everything that names an indicator or a strategy is known to exist.

        Raises:
            UserError: something does not; the message names the setting.
        """
        for name, chosen in self.indicators.items():
            try:
                _ = chosen.spec
            except UserError as error:
                raise UserError(f"config: indicators.{name}: {error}") from error
        try:
            for at_work in self.strategies_at_work:
                at_work.specs()
        except UserError as error:
            raise UserError(f"config: strategies: {error}") from error
        return self


def _warm_up(symbol: str, text: str) -> WarmUp:
    """What `BTCUSDT.BINANCE until 2026-11-01` says.

    Raises:
        ValueError: it is not written so.
    """
    wrong = f"{symbol}: {text!r:.60} is no warm-up: write BTCUSDT.BINANCE until 2026-11-01 (UTC; a time may follow)"
    source, found, moment = text.partition(" until ")
    if not found:
        raise ValueError(wrong)
    try:
        until = datetime.fromisoformat(moment.strip())
        utc = until.replace(tzinfo=UTC) if until.tzinfo is None else until
        seconds = utc.timestamp()
    except (ValueError, OverflowError) as error:
        raise ValueError(wrong) from error
    if seconds < 0 or seconds % 60:
        raise ValueError(f"{symbol}: {moment.strip()!r:.40} is no whole minute from 1970 on")
    return WarmUp(value_error(canonical_symbol, source.strip()), int(seconds) // 60)


def config_file() -> Path:
    """The settings file: `BTC_PIPELINE_CONFIG`, or `config/pipeline.yaml` in the project."""
    return Path(os.environ.get(CONFIG_VARIABLE, PROJECT / "config" / "pipeline.yaml"))


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process.

    Raises:
        UserError: a setting is wrong; one line names it, its value and what would be right.
    """
    return read_settings(**overrides).validated()


def read_settings(**overrides: Any) -> Settings:
    """The same for who needs no strategy: a broken file of one hinders nobody from stopping the database.

    Raises:
        UserError: a setting is wrong, strategies and indicators aside.
    """
    if CONFIG_VARIABLE in os.environ and not config_file().is_file():
        raise UserError(f"{CONFIG_VARIABLE}: there is no file {config_file()}.")
    try:
        return Settings(**overrides)
    except SettingsError as error:
        raise UserError(f"config: {error}: lists and mappings are JSON in the environment.") from error
    except ValidationError as error:
        raise UserError("; ".join(_sentence(problem) for problem in error.errors())) from error


def _read_config(path: Path) -> dict[str, Any]:
    """What the settings file says; nothing where there is none.

    Raises:
        UserError: not readable, not YAML, no mapping, or a key that is no setting, which nobody would ever read.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """Leaves dates to the setting that they are of: YAML's own would fail on a wrong one without naming it."""

        yaml_implicit_resolvers = {  # noqa: RUF012 as in the base class
            first: [one for one in resolvers if one[0] != "tag:yaml.org,2002:timestamp"]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            """Of two equal keys YAML keeps the second without a word: somebody's indicator would be gone."""
            names = [key.value for key, _ in node.value]
            for (key, _), name in zip(node.value, names, strict=True):
                if names.count(name) > 1:
                    raise yaml.constructor.ConstructorError(None, None, f"{name!r} is there twice", key.start_mark)
            return super().construct_mapping(node, deep=deep)

    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader) if path.exists() else None  # noqa: S506 a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UserError(f"config: {path}: {where}{error.problem or error.context}.") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"config: {path} cannot be read: {' '.join(str(error).split())}.") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise UserError(f"config: {path}: not a mapping; write `name: value` lines, such as start_date: 2015-01-01.")
    for key in found:
        if str(key).lower() not in Settings.model_fields:
            near = get_close_matches(str(key), Settings.model_fields, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Settings are {', '.join(Settings.model_fields)}."
            raise UserError(f"config: {path}: {key!r} is no setting. {hint}")
    return found


def _sentence(problem: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    secret = "password" in where.lower()
    shown = "" if secret or problem["type"] == "missing" else f" (given: {problem['input']!r:.60})"
    return f"config: {where}: {problem['msg'].removeprefix('Value error, ')}{shown}"
