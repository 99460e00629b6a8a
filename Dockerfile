# One image for every process of the product; docker-compose.yml says which process a container runs. `docker build .` gives production's,
# `--target sandbox` the one with the stand-ins for Toss and PortOne, which production's does not hold.
ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS packages
WORKDIR /build
COPY requirements.txt ./
# Ready-made wheels only: what would have to be compiled fails here, and no stage needs a compiler.
RUN python -m venv --without-pip /venv \
    && pip --python /venv/bin/python install --no-cache-dir --only-binary=:all: --requirement requirements.txt

FROM ${PYTHON} AS product
# Nothing is installed into a running container.
RUN pip uninstall --yes setuptools wheel pip \
    && useradd --system --uid 10001 --user-group --no-create-home --home-dir /app --shell /usr/sbin/nologin stocking
COPY --from=packages /venv /venv
WORKDIR /app
COPY celery_config.py gunicorn_worker.py wsgi.py ./
COPY deploy/gunicorn.conf.py deploy/gunicorn.conf.py
COPY trading trading
COPY webapp webapp
COPY workers workers
COPY relayer relayer
COPY migrations migrations
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 API_HOST=0.0.0.0 GATEWAY_HOST=0.0.0.0 METRICS_HOST=0.0.0.0
# The file system is read-only when it runs, so this is the last chance to compile.
RUN python -m compileall -q .
USER 10001:10001
EXPOSE 8000 8001
CMD ["gunicorn", "-c", "deploy/gunicorn.conf.py", "wsgi:app"]

FROM product AS sandbox
COPY sandbox sandbox
CMD ["python", "-m", "sandbox"]

FROM product AS production
# Of the default command, the API. Compose gives each service the check of what it runs there.
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=5)"]
