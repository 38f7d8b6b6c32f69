"""A required action's question is asked anew with each try of its task.

Airflow keeps the text of the first try for good: who fixes the extract and clears the task would be shown last time's
counts, and decide about others. Each try's question and answer go to the history; with that, the old ones are removed
here, and the next try writes its own.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, event  # noqa: TID253 - whoever loads plugins has Airflow's own tables by then
from sqlalchemy.orm import Mapper  # noqa: TID253 - as above


def forget_old_question(mapper: Mapper[Any], connection: Connection, past: Any) -> None:
    """Remove the question of a try whose history has just been written."""
    if mapper.local_table.name == "hitl_detail_history":  # type: ignore[attr-defined]
        asked = mapper.local_table.metadata.tables["hitl_detail"]  # type: ignore[attr-defined]
        connection.execute(asked.delete().where(asked.c.ti_id == past.ti_history_id))


# On every mapper, so that no process that loads the plugin has to import Airflow's models for it.
event.listen(Mapper, "after_insert", forget_old_question)
