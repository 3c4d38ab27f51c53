-- Run once by the database container of docker-compose.yml: Dagster keeps its own records apart.
CREATE DATABASE dagster;
