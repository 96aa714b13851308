# The provider as an image: docs/how-to/containers.md tells how to run it, `make image` builds it, `make image-test`
# tries it out. Any Python 3.11+ on Debian can be the base; it must be the same for all stages, for the environment is moved
# with its links to the interpreter.
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm

# ── Install what the lock names, by hash ──────────────────────────────────────────────────────────────────────────────
FROM ${PYTHON_IMAGE} AS build
WORKDIR /opt/idp
COPY requirements/uv.txt requirements/runtime.txt requirements/
# Whoever reaches a package index through a mirror or an own certificate passes them as secrets: a build argument would
# stay in the image's history. Wheels only: nothing is compiled, so no compiler is needed.
RUN --mount=type=secret,id=package_index --mount=type=secret,id=ca_bundle \
    set -eu; \
    if [ -s /run/secrets/package_index ]; then \
        PIP_INDEX_URL="$(cat /run/secrets/package_index)"; export PIP_INDEX_URL UV_DEFAULT_INDEX="$PIP_INDEX_URL"; \
    fi; \
    if [ -s /run/secrets/ca_bundle ]; then \
        export PIP_CERT=/run/secrets/ca_bundle SSL_CERT_FILE=/run/secrets/ca_bundle; \
    fi; \
    export UV_HTTP_TIMEOUT=180 UV_NO_CACHE=1 PIP_ROOT_USER_ACTION=ignore; \
    python3 -m pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes --no-deps \
        --only-binary :all: --target /opt/uv -r requirements/uv.txt; \
    /opt/uv/bin/uv venv --quiet --no-python-downloads --python "$(command -v python3)" .venv; \
    /opt/uv/bin/uv pip sync --quiet --python .venv/bin/python --require-hashes --no-build requirements/runtime.txt
COPY pyproject.toml ./
COPY idp idp
COPY migrations migrations
# Editable, because the program looks for migrations/ beside idp/. Byte code is made now: later nobody may write here.
RUN /opt/uv/bin/uv pip install --quiet --no-cache --python .venv/bin/python --no-deps --offline --editable . \
    && rm -f .venv/.lock \
    && .venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash .venv/lib idp migrations

# ── The provider: interpreter, environment, program, and a user who may write to one folder ───────────────────────────
FROM ${PYTHON_IMAGE} AS provider
RUN groupadd --gid 10001 idp \
    && useradd --uid 10001 --gid idp --no-log-init --no-create-home --home-dir /var/lib/idp --shell /usr/sbin/nologin idp \
    && install -d -o idp -g idp -m 0700 /var/lib/idp
COPY --from=build /opt/idp /opt/idp
ENV PATH=/opt/idp/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    IDP_VAR_DIR=/var/lib/idp
WORKDIR /opt/idp
# By number: Kubernetes' runAsNonRoot believes no names.
USER 10001:10001
EXPOSE 9000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:9000/healthz', timeout=4)"]
# No shell in between: signals reach `idp serve`, which lets gunicorn finish what is under way.
ENTRYPOINT ["idp"]
CMD ["serve", "--host", "0.0.0.0", "--port", "9000", "--without-worker"]

# ── The demo's relying parties (compose.yaml), not part of the provider's image ───────────────────────────────────────
FROM provider AS demo
COPY examples examples

# ── What a build without --target makes ───────────────────────────────────────────────────────────────────────────────
FROM provider
