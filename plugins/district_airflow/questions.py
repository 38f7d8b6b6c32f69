"""A required action's question is asked anew with each try of its task.

Airflow keeps the text of the first try for good: who fixes the extract and clears the task would be shown last time's
counts, and decide about others. Each try's question and answer go to the history; with that, the old ones are removed
here, and the next try writes its own.
"""

from __future__ import annotations

import sys
from typing import Any

from sqlalchemy import Connection, event  # noqa: TID253 - whoever loads plugins has Airflow's own tables by then
from sqlalchemy.orm import Mapper  # noqa: TID253 - as above

HISTORY = ("airflow.models.hitl_history", "HITLDetailHistory")


def forget_old_question(mapper: Mapper[Any], connection: Connection, past: Any) -> None:
    """Remove the question of a try whose history is written."""
    asked = mapper.local_table.metadata.tables["hitl_detail"]  # type: ignore[attr-defined]
    connection.execute(asked.delete().where(asked.c.ti_id == past.ti_history_id))


def _listen(_: Mapper[Any], model: type) -> None:
    if (model.__module__, model.__name__) == HISTORY:
        event.listen(model, "after_insert", forget_old_question)


# No process has to import Airflow's models for the plugin: those that write the history have, or will.
event.listen(Mapper, "mapper_configured", _listen)
_known = getattr(sys.modules.get(HISTORY[0]), HISTORY[1], None)
if _known is not None:
    event.listen(_known, "after_insert", forget_old_question)
