# One image for all services; docker-compose.yml says what each of them runs.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

# First what changes rarely.
COPY requirements.lock ./
RUN pip install --require-hashes -r requirements.lock

# Editable, so that config/ and workspace.yaml are found beside the code, as on a desk.
COPY . .
RUN pip install --no-deps -e . \
    && useradd --system --user-group --no-create-home btc \
    && mkdir -p /app/data/dagster \
    && chown -R btc:btc /app/data /app/dagster_home
USER btc
ENV DAGSTER_HOME=/app/dagster_home
