# One image for every process of the product; docker-compose.yml says which process a container runs.
FROM python:3.11-slim AS packages
WORKDIR /build
COPY requirements.txt .
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir -r requirements.txt

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /app stocking
COPY --from=packages /venv /venv
WORKDIR /app
COPY celery_config.py gunicorn.conf.py wsgi.py ./
COPY trading trading
COPY webapp webapp
COPY workers workers
COPY relayer relayer
COPY migrations migrations
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 API_HOST=0.0.0.0 GATEWAY_HOST=0.0.0.0
USER stocking
EXPOSE 8000 8001
CMD ["gunicorn", "wsgi:app"]
