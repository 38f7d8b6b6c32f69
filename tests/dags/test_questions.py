"""A required action's question is asked anew with each try: Airflow itself would show the first try's for good."""

from __future__ import annotations

import uuid

from airflow.models import import_all_models
from airflow.models.hitl import HITLDetail
from airflow.models.hitl_history import HITLDetailHistory
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancehistory import TaskInstanceHistory
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from district_airflow import questions


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
