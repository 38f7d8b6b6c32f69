"""Notify: the outbox and the mails."""
