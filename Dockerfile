# One image for every Airflow component and the mail catcher; docker-compose.yaml says which one a container is.
FROM python:3.12-slim

RUN useradd --uid 50000 --create-home airflow && mkdir -p /opt/district /data/airflow /data/landed /data/mail \
    && chown -R airflow:airflow /opt/district /data
WORKDIR /opt/district

# First the packages, which change rarely.
COPY requirements.txt requirements-celery.txt ./
RUN pip install --no-cache-dir uv==0.13.9 \
    && uv pip install --system --no-cache --compile-bytecode -r requirements.txt -r requirements-celery.txt

COPY --chown=airflow:airflow pyproject.toml README.md LICENSE ./
COPY --chown=airflow:airflow include include
COPY --chown=airflow:airflow plugins plugins
COPY --chown=airflow:airflow expectations expectations
COPY --chown=airflow:airflow dags dags
RUN uv pip install --system --no-cache --no-deps --no-build-isolation -e .

USER airflow
ENV AIRFLOW_HOME=/data/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/district/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/district/plugins \
    DISTRICT_DROP_FOLDER=/data/drop \
    DISTRICT_LANDED_FOLDER=/data/landed
VOLUME ["/data/airflow", "/data/landed"]
CMD ["airflow", "version"]
