# Two images of one build: `worker` runs the Celery services, the reconciler and the command line; `stack` what stands
# around them: Flower, metrics, the sandbox, an S3 server. Which of them a container is, its command says.
# To pin the base by digest: --build-arg PYTHON_IMAGE=python@sha256:…
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY requirements.worker.lock requirements.stack.lock ./
# Nothing is compiled here: what has no wheel does not enter an image.
RUN python -m venv --without-pip /opt/worker \
    && pip --python /opt/worker/bin/python install --no-deps --only-binary :all: --require-hashes \
        -r requirements.worker.lock
RUN python -m venv --without-pip /opt/stack \
    && pip --python /opt/stack/bin/python install --no-deps --only-binary :all: --require-hashes \
        -r requirements.stack.lock
COPY shared/landpatch /app/landpatch
COPY services /app/services
RUN rm -rf /app/services/stack && python -m compileall -q /app

FROM ${PYTHON_IMAGE} AS base
# Wheels of rasterio expect libexpat of the system (https://github.com/rasterio/rasterio-wheels/issues/136).
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libexpat1 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 landpatch \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin landpatch \
    && install --directory --owner 10001 --group 10001 /data
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="landpatch" \
      org.opencontainers.image.description="Land-cover training sets for Europe: Sentinel-2 images with CLC+ labels" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
ENV PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    LANDPATCH_LOG=json
WORKDIR /app
STOPSIGNAL SIGTERM

FROM base AS worker
COPY --from=packages /opt/worker /opt/worker
COPY --from=packages /app/landpatch /app/landpatch
COPY --from=packages /app/services /app/services
# A second arena of glibc's allocator costs an image worker half a GiB for each of its many threads.
ENV PATH=/opt/worker/bin:$PATH \
    LANDPATCH_HEARTBEAT_FILE=/tmp/heartbeat \
    LANDPATCH_METRICS_LISTEN=0.0.0.0:9464 \
    MALLOC_ARENA_MAX=2
USER 10001:10001
HEALTHCHECK --interval=60s --timeout=20s --start-period=60s --retries=3 \
    CMD ["python", "-m", "services.health"]
CMD ["python", "-m", "services.reconciler"]

FROM base AS stack
COPY --from=packages /opt/stack /opt/stack
COPY --from=packages /app/landpatch /app/landpatch
COPY --from=packages /app/services /app/services
ENV PATH=/opt/stack/bin:$PATH
USER 10001:10001
HEALTHCHECK --interval=60s --timeout=20s --start-period=30s --retries=3 \
    CMD ["python", "-m", "services.health", "http://127.0.0.1:9464/metrics"]
CMD ["python", "-m", "services.metrics", "--address", "0.0.0.0", "--port", "9464"]
