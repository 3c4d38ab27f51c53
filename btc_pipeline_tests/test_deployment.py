"""What a container deployment rests on: the compose file, the image, the lock files.

Belongs here: what can be known without a container engine. Does not belong here: the services' own behaviour.
"""

import importlib.util
import re
import shlex
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml

from btc_pipeline.pipeline.collection import PROGRESS_WITHIN
from btc_pipeline.setting_sections import CollectorSettings

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)


def megabytes(limit: str) -> int:
    found = re.fullmatch(r"(\d+)m", limit)
    assert found, limit
    return int(found.group(1))


def test_the_services_are_those_of_production() -> None:
    assert set(SERVICES) >= {"timescaledb", "collector", "code", "webserver", "daemon", "api"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_port_is_on_the_loopback_alone(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert str(port).startswith("127.0.0.1:"), port


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_has_a_limit_a_health_check_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    assert megabytes(service["mem_limit"]) > 0
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"


def test_memory_stays_within_what_a_nas_has() -> None:
    assert megabytes(SERVICES["timescaledb"]["mem_limit"]) == 1536
    assert sum(megabytes(SERVICES[name]["mem_limit"]) for name in OURS) < 2500


def test_a_hung_collector_is_an_unhealthy_container_within_two_minutes() -> None:
    check = SERVICES["collector"]["healthcheck"]
    assert check["test"] == ["CMD", "btc-pipeline", "health", "--collector"]
    interval = int(check["interval"].removesuffix("s")) * check["retries"]
    assert PROGRESS_WITHIN.total_seconds() + interval <= 120


def test_metrics_can_be_reached_through_the_published_port() -> None:
    collector = SERVICES["collector"]
    assert collector["environment"]["BTC_PIPELINE_COLLECTOR__METRICS_HOST"] == "0.0.0.0"
    default = CollectorSettings().metrics_port
    assert [port.rpartition(":")[2] for port in collector["ports"]] == [str(default)]


@pytest.mark.parametrize("name", OURS)
def test_commands_are_programs_and_modules_that_exist(name: str) -> None:
    scripts = {script.name for script in entry_points(group="console_scripts")}
    words = shlex.split(SERVICES[name]["command"])
    assert words[0] in scripts
    if words[:2] == ["btc-pipeline", "exec"]:
        assert words[2] in scripts
    modules = [words[words.index("-m") + 1]] if "-m" in words else []
    modules += [word.partition(":")[0] for word in words[1:2] if ":" in word]
    for module in modules:
        assert importlib.util.find_spec(module), module


@pytest.mark.parametrize("name", OURS)
def test_no_password_is_written_down(name: str) -> None:
    assert SERVICES[name]["environment"]["DB_PASSWORD"].startswith("${DB_PASSWORD:?")
    assert SERVICES["timescaledb"]["environment"]["POSTGRES_PASSWORD"].startswith("${DB_PASSWORD:?")


@pytest.mark.parametrize("name", ["code", "daemon", "webserver"])
def test_dagster_gets_the_environment_it_has_on_a_desk(name: str) -> None:
    assert SERVICES[name]["command"].startswith("btc-pipeline exec dagster")
    assert SERVICES[name]["environment"]["BTC_PIPELINE_DATA_DIR"] == "/app/data"


def test_dependencies_between_services_exist() -> None:
    for service in SERVICES.values():
        for needed, condition in service.get("depends_on", {}).items():
            assert "healthcheck" in SERVICES[needed]
            assert condition == {"condition": "service_healthy"}


def test_files_and_volumes_that_are_mounted_exist() -> None:
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source = mount.partition(":")[0]
            assert (ROOT / source).is_file() if source.startswith("./") else source in COMPOSE["volumes"], mount


def test_the_image_gets_only_what_it_names() -> None:
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[0] == "*", "so that .env and data never enter an image"
    assert not [line for line in lines if line.startswith(("!.env", "!data"))]


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_lock_files_pin_with_digests_and_name_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    pins = re.findall(r"^[A-Za-z0-9_.-]+(?:\[.*\])?==", text, re.MULTILINE)
    assert len(pins) > 50
    assert text.count("--hash=sha256:") >= len(pins)


def test_the_run_time_has_nothing_that_needs_avx() -> None:
    pinned = re.findall(r"^([a-z0-9_.-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    versions = dict(pinned)
    assert not {"polars", "ta-lib", "dagster-pandera"} & set(versions)
    assert versions["duckdb"].startswith("1.")
