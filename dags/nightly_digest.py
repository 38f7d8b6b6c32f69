"""
### Nightly digest

One mail of the night to the owners of its data sets, about all of them: what loaded, what is held or refused and why,
what waits for a person. It leaves at six in the morning, whatever the imports did; a data set that did not come shows
up as missing.

**When it fails:** the mail server did not take the mail. The run tries again by itself for about an hour; what was
not sent stays in the outbox. Check the mail server's address in the settings (`DISTRICT_SMTP_HOST`), then clear `send`.
"""

from district_airflow import digest_dag

dag = digest_dag(schedule="0 6 * * *", doc_md=__doc__)
