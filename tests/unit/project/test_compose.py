"""deploy/ without a container engine: structure, names, commands and files are what they say; see docs/deploy.md."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sesacctl.config import env_file
from sesacctl.settings import Settings
from tests.helpers import documents
from tests.helpers.command_line import problem
from tests.helpers.documents import ENGLISH, ROOT

DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
ONE_SHOT = {"migrate", "topics", "seed"}
DRAIN_SECONDS = 10
# What Compose knows of a service; anything else is a slip.
SERVICE_KEYS = {
    "build",
    "cap_drop",
    "command",
    "container_name",
    "depends_on",
    "entrypoint",
    "env_file",
    "environment",
    "healthcheck",
    "image",
    "init",
    "logging",
    "mem_limit",
    "ports",
    "profiles",
    "read_only",
    "restart",
    "security_opt",
    "shm_size",
    "stop_grace_period",
    "tmpfs",
    "user",
    "volumes",
}
GUIDE = """
docker-compose up -d postgres
docker-compose exec postgres pg_isready
docker-compose exec postgres psql -U postgres -c "SELECT 1;"
docker-compose restart postgres
docker-compose restart redis cache-worker
docker exec local_postgres psql -U postgres -d sesac_db -c "SELECT COUNT(*) FROM users;"
docker exec local_redis redis-cli ping
docker exec local_redis redis-cli hlen cache:users
docker exec local_redis redis-cli hrandfield cache:users 1 withvalues
docker exec python_dev python -c "from database.database import engine"
"""

services = pytest.mark.parametrize("name", SERVICES)
our_services = pytest.mark.parametrize("name", OURS)


def test_compose_has_the_services_of_the_pipeline() -> None:
    assert {
        "postgres", "redis", "kafka1", "kafka2", "kafka3", "python_dev", "migrate", "topics", "seed", "cache-worker",
        "producer", "consumers",
    } == {name for name, service in SERVICES.items() if "profiles" not in service}  # fmt: skip
    assert {name for name, service in SERVICES.items() if service.get("profiles") == ["tools"]} == {
        "kafka-ui", "adminer", "metrics", "prometheus", "grafana",
    }  # fmt: skip
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"services", "volumes"}


@services
def test_service_has_no_unknown_key(name: str) -> None:
    assert set(SERVICES[name]) <= SERVICE_KEYS


@services
def test_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))
    assert service.get("read_only") or "profiles" in service or name.startswith("kafka")


@services
def test_image_is_pinned(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        assert service["image"].startswith("sesacctl:")
    else:
        assert re.search(r":v?\d+\.\d+\.?\d*(-\w+)?$", service["image"])


def test_no_password_has_a_default() -> None:
    text = (DEPLOY / "docker-compose.yml").read_text("utf-8")
    secrets = [name.upper() for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]
    for use in re.findall(r"\$\{(\w[^}]+)\}", text):
        variable = re.split(r"\W", use)[0]
        assert variable.lower() in Settings.model_fields, f"{variable} is no setting"
        if variable in secrets:
            assert use.startswith(f"{variable}:?"), f"{variable} has a default"
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|AUTH", variable) or value.startswith("${")


def test_variables_of_containers_are_settings() -> None:
    known = {name.upper() for name in Settings.model_fields}
    for name, service in OURS.items():
        assert set(service["environment"]) <= known, name
        assert service["env_file"] == "../.env"


def test_every_setting_reaches_the_containers() -> None:
    """Through `env_file`: the file that `config init` writes names every setting."""
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", env_file.template(), re.MULTILINE))
    assert named == {name.upper() for name in Settings.model_fields}


def test_example_is_what_config_init_writes() -> None:
    example = ROOT / ".env.example"
    assert example.read_text("utf-8") == env_file.template()


def test_compose_finds_the_root_env_file() -> None:
    assert (DEPLOY / ".env").is_symlink()
    assert (DEPLOY / ".env").readlink() == Path("../.env")


@our_services
def test_service_command_exists(name: str) -> None:
    service = OURS[name]
    if name == "python_dev":
        assert service["entrypoint"] == ["sleep", "infinity"]
    else:
        assert "entrypoint" not in service
        assert problem(service["command"]) is None


@our_services
def test_health_check_asks_the_loop_itself(name: str) -> None:
    """The probe is the one that `tests/unit/pipeline/watch/test_pages.py` runs."""
    check = OURS[name]["healthcheck"]
    if name in ONE_SHOT | {"python_dev"}:
        assert check == {"disable": True}
    else:
        assert check["test"][:3] == ["CMD", "bash", "-c"]
        option = "--port" if name == "metrics" else "--metrics-port"
        port = OURS[name]["command"][OURS[name]["command"].index(option) + 1]
        assert f"/dev/tcp/127.0.0.1/{port};" in check["test"][3]
        assert "GET /livez " in check["test"][3]


@services
def test_slow_start_is_not_taken_for_a_failure(name: str) -> None:
    check = SERVICES[name].get("healthcheck", {"disable": True})
    assert check.get("disable") or check["start_period"] == "5m"


@our_services
def test_ours_may_finish_what_they_began(name: str) -> None:
    assert int(OURS[name]["stop_grace_period"].removesuffix("s")) > DRAIN_SECONDS
    assert OURS[name]["init"] is True


@services
def test_dependencies_can_be_met(name: str) -> None:
    for other, condition in SERVICES[name].get("depends_on", {}).items():
        check = SERVICES[other].get("healthcheck", {})
        match condition["condition"]:
            case "service_healthy":
                assert "test" in check
            case "service_completed_successfully":
                assert other in ONE_SHOT
            case unknown:
                pytest.fail(f"{unknown} is no condition")


def test_volumes_are_declared_and_used() -> None:
    used = {str(volume).partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    files = {volume for volume in used if volume.startswith("./")}
    assert used - files == set(COMPOSE["volumes"])
    assert [name for name in files if not (DEPLOY / name).is_dir()] == []


def test_brokers_form_one_cluster() -> None:
    brokers = {name: SERVICES[name]["environment"] for name in ("kafka1", "kafka2", "kafka3")}
    voters = "1@kafka1:19093,2@kafka2:19093,3@kafka3:19093"
    for number, (name, environment) in enumerate(brokers.items(), start=1):
        assert environment["KAFKA_NODE_ID"] == str(number)
        assert environment["KAFKA_CONTROLLER_QUORUM_VOTERS"] == voters
        advertised = dict(word.split("://") for word in environment["KAFKA_ADVERTISED_LISTENERS"].split(","))
        assert advertised["INTERNAL"] == f"{name}:19092"
        assert SERVICES[name]["ports"] == [f"127.0.0.1:{advertised['EXTERNAL'].rpartition(':')[2]}:9092"]
        assert advertised["EXTERNAL"] in Settings.model_fields["kafka_bootstrap_servers"].default
        assert environment["KAFKA_MIN_INSYNC_REPLICAS"] == "2"
    assert len({environment["CLUSTER_ID"] for environment in brokers.values()}) == 1
    inside = OURS["consumers"]["environment"]["KAFKA_BOOTSTRAP_SERVERS"]
    assert inside == ",".join(f"{name}:19092" for name in brokers)


def test_docker_commands_name_what_is_there() -> None:
    """The seed guide's, and those of all documents."""
    containers = {service["container_name"] for service in SERVICES.values() if "container_name" in service}
    scripts = [GUIDE, *(block.content for path in documents.DOCUMENTS for block in documents.blocks(path.read_text()))]
    seen = 0
    for words in (words for script in scripts for words in documents.shell_commands(script, "docker")):
        if words[0] == "exec":
            container = next(word for word in words[1:] if not word.startswith("-"))
            assert container in containers, words
            seen += 1
    for words in (words for script in scripts for words in documents.shell_commands(script, "docker-compose")):
        named = [word for word in words[1:] if word in SERVICES]
        if words[0] in ("exec", "restart", "logs", "run"):
            assert named, words
        seen += 1
    assert seen >= len(GUIDE.strip().splitlines())


def test_redis_takes_the_password_where_redis_cli_finds_it() -> None:
    redis = SERVICES["redis"]
    assert redis["environment"].keys() == {"REDISCLI_AUTH"}
    assert 'requirepass "$$REDISCLI_AUTH"' in redis["command"][2]
    assert "maxmemory-policy noeviction" in redis["command"][2]


def test_readme_says_how_to_start_compose() -> None:
    assert "docker-compose up -d postgres" in ENGLISH.read_text("utf-8")


@pytest.mark.skipif(not shutil.which("docker-compose"), reason="Debian package docker-compose is not installed")
def test_compose_accepts_the_file(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "deploy", symlinks=True)
    (tmp_path / ".env").write_text("POSTGRES_PASSWORD=a\nREDIS_PASSWORD=b\n")
    command = ["docker-compose", "-f", "deploy/docker-compose.yml", "--profile", "tools", "config", "-q"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
