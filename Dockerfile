# The service, its workers and its commands: one image. Checked by tests, not built where this was written.
FROM python:3.11-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /venv
COPY requirements/setup.txt requirements/service.txt requirements/
RUN /venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/service.txt \
    && python -m venv /tools \
    && /tools/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/setup.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /tools/bin/uv build --wheel --no-build-isolation --python /tools/bin/python --out-dir dist \
    && /venv/bin/pip install --no-cache-dir --no-deps dist/*.whl

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin orchestrator \
    && install -d -o orchestrator -g orchestrator -m 700 /data
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 ORCHESTRATOR_DATA_DIR=/data
WORKDIR /data
USER 10001
# 8080 the API, 8081 a worker's probes, 9090 metrics.
EXPOSE 8080 8081 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health', timeout=4)"]
ENTRYPOINT ["orchestrator"]
CMD ["serve"]
