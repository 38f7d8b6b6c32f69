-- Run once by the PostgreSQL container when its volume is empty: one server, two databases, each with its own owner.
-- The passwords come from the container's environment and stand in no file.
\getenv airflow_password AIRFLOW_DATABASE_PASSWORD
\getenv district_password DISTRICT_DATABASE_PASSWORD
create role airflow login password :'airflow_password';
create role district login password :'district_password';
create database airflow owner airflow;
create database district owner district;
