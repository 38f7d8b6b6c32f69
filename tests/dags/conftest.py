"""Airflow for tests: a home of its own, this repository's plugins, and no metadata database unless a test asks."""

from __future__ import annotations

import os
import tempfile

from parsing import ENVIRONMENT

# Before anything imports airflow, which reads its configuration only once.
os.environ.update(ENVIRONMENT, AIRFLOW_HOME=tempfile.mkdtemp(prefix="airflow_home_"))
