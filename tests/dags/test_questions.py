"""A required action's question is asked anew with each try: Airflow itself would show the first try's for good."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid

import pytest
from airflow.models import import_all_models
from airflow.models.hitl import HITLDetail
from airflow.models.hitl_history import HITLDetailHistory
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancehistory import TaskInstanceHistory
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from district_airflow import questions
from parsing import ENVIRONMENT, PROJECT

_PROBE = """
from sqlalchemy import event
from sqlalchemy.orm import Mapper, configure_mappers
{first}
{second}
configure_mappers()
from airflow.models.hitl_history import HITLDetailHistory
from district_airflow.questions import forget_old_question
listens = [event.contains(each, "after_insert", forget_old_question) for each in (HITLDetailHistory, Mapper)]
assert listens == [True, False], listens
"""
_MODELS = "from airflow.models import import_all_models; import_all_models()"
_PLUGIN = "import sys, district_airflow.questions; loaded = 'airflow.models.hitl_history' in sys.modules"


def test_a_question_that_went_to_the_history_is_gone_and_no_other() -> None:
    assert questions.forget_old_question
    import_all_models()  # the tables refer to each other
    engine = create_engine("sqlite://")
    for model in (TaskInstance, TaskInstanceHistory, HITLDetail, HITLDetailHistory):
        model.__table__.create(engine)
    old, other = (HITLDetail(ti_id=uuid.uuid4(), options=["Approve"], subject="held", params={}) for _ in range(2))
    asked, history = HITLDetail.__table__.c.ti_id, HITLDetailHistory.__table__.c.ti_history_id
    with Session(engine) as session:
        session.add_all([old, other])
        session.flush()
        session.add(HITLDetailHistory(old))  # as Airflow does before a task is tried again
        session.flush()
        assert session.scalars(select(history)).all() == [old.ti_id]
        assert session.scalars(select(asked)).all() == [other.ti_id]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (_PLUGIN + "; assert not loaded, 'a plugin must not load the models'", _MODELS),
        (_MODELS + "; configure_mappers()", _PLUGIN + "; assert loaded"),
    ],
    ids=["before the models", "after them"],
)
def test_it_listens_to_the_history_of_questions_alone(first: str, second: str) -> None:
    """Fails where an upgrade of Airflow moves or renames what it listens to."""
    environment = {
        **os.environ,
        **ENVIRONMENT,
        "PYTHONPATH": os.pathsep.join(map(str, (PROJECT / "include", PROJECT / "plugins"))),
    }
    probe = [sys.executable, "-c", _PROBE.format(first=first, second=second)]
    done = subprocess.run(probe, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
