"""The few calls of Airflow's REST API that a demo needs."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import Any


class ApiFailed(RuntimeError):
    """Airflow's API did not answer, or refused; the message is its own."""


@dataclass
class AirflowApi:
    """A session with the API; asks for a token when it first needs one."""

    address: str
    user: str
    password: str = field(repr=False)
    _token: str = field(default="", init=False, repr=False)

    def health(self) -> dict[str, Any]:
        """State of each component."""
        return self._call("GET", "/api/v2/monitor/health", token="")

    def dags(self) -> list[dict[str, Any]]:
        """Every DAG that Airflow knows."""
        return list(self._signed("GET", "/api/v2/dags?limit=1000")["dags"])

    def import_errors(self) -> list[dict[str, Any]]:
        """DAG files that could not be read."""
        return list(self._signed("GET", "/api/v2/importErrors?limit=100")["import_errors"])

    def trigger(self, dag: str, partition: str) -> str:
        """Starts a DAG for a partition; its run id."""
        body = {"logical_date": None, "partition_key": partition}
        return str(self._signed("POST", f"/api/v2/dags/{dag}/dagRuns", body)["dag_run_id"])

    def runs(self, dag: str) -> list[dict[str, Any]]:
        """The DAG's latest runs, newest first."""
        return list(self._signed("GET", f"/api/v2/dags/{dag}/dagRuns?limit=50&order_by=-id")["dag_runs"])

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        """Task instances of a run."""
        quoted = urllib.parse.quote(run, safe="")
        return list(self._signed("GET", f"/api/v2/dags/{dag}/dagRuns/{quoted}/taskInstances")["task_instances"])

    def create_user(self, name: str, role: str, password: str) -> None:
        """Adds somebody who signs in with a password; ``name`` is ``first.last`` or one word."""
        first, _, last = name.title().partition(".")
        user = {"username": name, "email": f"{name}@district.invalid", "password": password}
        names = {"first_name": first, "last_name": last or "-"}
        self._signed("POST", "/auth/fab/v1/users", {**user, **names, "roles": [{"name": role}]})

    def answer(self, dag: str, run: str, task: str, choice: str, **fields: str) -> dict[str, Any]:
        """Answers a required action."""
        path = f"/api/v2/dags/{dag}/dagRuns/{urllib.parse.quote(run, safe='')}/taskInstances/{task}/-1/hitlDetails"
        return self._signed("PATCH", path, {"chosen_options": [choice], "params_input": fields})

    def _signed(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        if not self._token:
            asked = {"username": self.user, "password": self.password}
            self._token = str(self._call("POST", "/auth/token", asked, token="")["access_token"])
        return self._call(method, path, body, token=self._token)

    def _call(self, method: str, path: str, body: Any = None, *, token: str) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, headers, method=method)  # noqa: S310 - our own http address
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is on this machine
        try:
            with opener.open(request, timeout=30) as answer:
                content: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            detail = error.read().decode(errors="replace")[:500]
            raise ApiFailed(f"Airflow answered {error.code} to {method} {path}: {detail}") from None
        except (OSError, ValueError) as error:
            raise ApiFailed(f"Airflow did not answer {method} {path} ({type(error).__name__}).") from None
        return content
