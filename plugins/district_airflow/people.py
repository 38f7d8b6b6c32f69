"""Who may answer: Airflow's users, known by the name with which they sign in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager

if TYPE_CHECKING:
    from airflow.providers.fab.auth_manager.models import User


class PeopleFabAuthManager(FabAuthManager):
    """FAB, where a required action is assigned to people by the name with which they sign in.

    FAB's own compares the numbers that its table gives to users, which no settings file can know. Airflow looks for
    ``FabAuthManager`` in the setting, hence the name.
    """

    def is_authorized_hitl_task(self, *, assigned_users: set[str], user: User) -> bool:
        """Whether the user is one of those named."""
        return user.get_name() in assigned_users
