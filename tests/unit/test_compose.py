"""The Compose file: valid, complete, and naming only commands, options and files that exist."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from district.settings import PROJECT, Settings

FILE = PROJECT / "docker-compose.yaml"
TEXT = FILE.read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
VARIABLES = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", TEXT))
EXAMPLE = dict(
    line.split("=", 1)
    for line in (PROJECT / ".env.example").read_text().splitlines()
    if line and not line.startswith("#")
)
ENVIRONMENT = {name: value for service in SERVICES.values() for name, value in service.get("environment", {}).items()}


def commands() -> list[list[str]]:
    """Every command that a service or a health check runs, shell scripts taken apart line by line."""
    found = []
    for service in SERVICES.values():
        for command in (service.get("command"), service.get("healthcheck", {}).get("test", [])[1:]):
            if command and command[0] == "bash":
                lines = command[-1].replace("$$", "$").splitlines()
                found += [shlex.split(part) for line in lines for part in line.split("|")]
            elif command:
                found.append([str(part) for part in command])
    return found


def airflow_says(code: str, home: Path, stdin: str = "") -> Any:
    """What a snippet of Python prints as JSON with this project's Airflow, as the Celery profile configures it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__AUTH_MANAGER": ENVIRONMENT["AIRFLOW__CORE__AUTH_MANAGER"],
    }
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, input=stdin, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.splitlines()[-1])


def test_file_follows_the_compose_specification():
    tool = Path(sys.executable).with_name("check-jsonschema")
    command = [tool, "--builtin-schema", "vendor.compose-spec", FILE]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("profile", ["", "celery"])
def test_compose_itself_accepts_the_file(profile: str):
    found = [tool for tool in (["docker", "compose"], ["docker-compose"]) if _runs([*tool, "version"])]
    if not found:
        pytest.skip("neither `docker compose` nor docker-compose is here; the schema was checked instead")
    environment = (
        os.environ
        | dict.fromkeys(VARIABLES, "filled")
        | {"DROP_FOLDER": "/srv/drop"}
        | {"COMPOSE_PROFILES": profile, "UI_ADDRESS": "8080"}
    )
    command = [*found[0], "--file", FILE, "config"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert ("worker" in yaml.safe_load(result.stdout)["services"]) or not profile


def test_secrets_must_be_given_and_stand_in_no_file():
    secrets = {name for name in VARIABLES if re.search("PASSWORD|KEY|SECRET", name)} - {"SMTP_PASSWORD"}
    for name in secrets:
        assert "${" + name + ":?" in TEXT, f"{name} may be left empty"
        assert EXAMPLE[name] == ""


def test_example_names_exactly_the_variables_that_are_used():
    assert set(EXAMPLE) == VARIABLES


def test_every_airflow_command_parses(tmp_path: Path):
    asked = [command[1:] for command in commands() if command[0] == "airflow"]
    assert {command[0] for command in asked} >= {"api-server", "scheduler", "dag-processor", "triggerer", "celery"}
    code = (
        "import json, sys\n"
        "from airflow.cli import cli_parser\n"
        "parser = cli_parser.get_parser()\n"
        "print(json.dumps([bool(parser.parse_args(each)) for each in json.load(sys.stdin)]))\n"
    )
    assert airflow_says(code, tmp_path, json.dumps(asked)) == [True] * len(asked)


def test_every_airflow_variable_is_an_option_of_this_airflow(tmp_path: Path):
    code = (
        "import json\n"
        "from airflow.configuration import conf\n"
        "known = conf.configuration_description\n"
        "print(json.dumps([[s, o] for s in known for o in known[s]['options']]))\n"
    )
    known = {f"AIRFLOW__{section}__{option}".upper() for section, option in airflow_says(code, tmp_path)}
    # Airflow lists these under core alone, but asks for the component's own first.
    known |= {name.replace("__CORE__", "__SCHEDULER__") for name in known if name.startswith("AIRFLOW__CORE__MP_")}
    used = {name for name in ENVIRONMENT if name.startswith("AIRFLOW__")}
    used |= set(re.findall(r"AIRFLOW__\w+", (PROJECT / "Dockerfile").read_text()))
    assert used
    assert used - known == set()


def test_every_district_variable_is_a_setting():
    used = set(re.findall(r"\bDISTRICT_\w+(?==)", (PROJECT / "Dockerfile").read_text()))
    used |= {name for name in SERVICES["scheduler"]["environment"] if name.startswith("DISTRICT_")}
    assert {name.removeprefix("DISTRICT_").lower() for name in used} - set(Settings.model_fields) == set()


def test_every_other_command_is_a_module_a_console_script_or_its_images_own():
    own = {"postgres", "pg_isready", "redis-cli", "printf"}  # of the images postgres and redis, and of bash
    for command in commands():
        if command[0] == "python" and command[1] == "-m":
            _passes([sys.executable, "-m", command[2], "--help"])
        elif command[0] == "python":
            compile(command[2], "health check", "exec")
        elif command[0] == "district":
            _passes([sys.executable, "-c", "from district.command_line import main; main()", *command[1:], "--help"])
        else:
            first = shlex.split(command[0])[0]
            assert first in own or Path(sys.executable).with_name(first).exists(), command


def test_every_mounted_and_copied_file_exists():
    mounts = {mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", ())}
    places = [PROJECT / mount for mount in mounts if mount.startswith("./")]
    copied = re.findall(r"^COPY (?:--\S+ )*(.+) \S+$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    places += [PROJECT / name for names in copied for name in names.split()]
    assert len(places) > 10
    assert [str(place) for place in places if not place.exists()] == []
    for volume in {mount for mount in mounts if re.fullmatch(r"[a-z-]+", mount)}:
        assert volume in COMPOSE["volumes"]


def test_image_gets_what_the_dockerfile_copies():
    allowed = {line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?:--\S+ )*(.+) \S+$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    assert {name for names in copied for name in names.split()} == allowed


def test_image_and_makefile_install_the_same_uv():
    versions = {
        re.search(pattern, (PROJECT / name).read_text())[1]
        for name, pattern in {"Makefile": r"UV_VERSION := (\S+)", "Dockerfile": r"uv==(\S+)"}.items()
    }
    assert len(versions) == 1


def test_databases_are_made_with_passwords_from_the_environment():
    script = (PROJECT / "include/sql/create_databases.sql").read_text()
    for name in re.findall(r"\\getenv \w+ (\w+)", script):
        assert name in SERVICES["postgres"]["environment"]


def _passes(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def _runs(command: list[str]) -> bool:
    return (
        shutil.which(command[0]) is not None
        and not subprocess.run(command, capture_output=True, check=False).returncode
    )


def test_the_celery_executor_of_the_profile_can_be_imported() -> None:
    """The provider reaches into Celery's inner parts, which a newer Celery may have moved."""
    name = "airflow.providers.celery.executors.celery_executor"
    assert importlib.import_module(name).CeleryExecutor.__name__ == "CeleryExecutor"
