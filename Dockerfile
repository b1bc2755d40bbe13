# Both planes in one image: `switchgear run`, as user 65532, on a read-only root.
#
# Pin the base by digest in a release build; the digest is data of your registry, so it is an
# argument:   docker build --build-arg BASE=python:3.13-slim-trixie@sha256:... -t switchgear:0.1.0 .
# Everything that comes from PyPI is pinned by hash in requirements/.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /src

# The dependencies are a layer of their own: they change seldom.
COPY requirements/uv.txt requirements/build.txt requirements/run.txt requirements/
RUN pip install --require-hashes -r requirements/uv.txt \
 && uv venv --python /usr/local/bin/python /opt/switchgear \
 && uv pip install --python /opt/switchgear/bin/python --require-hashes --only-binary :all: \
      -r requirements/run.txt

# The request path is compiled, for this base's Python and C library. Of the compiler nothing reaches
# the image but what it has made.
RUN apt-get update \
 && apt-get install --no-install-recommends --yes gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*

COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY controlplane controlplane
COPY dataplane dataplane
COPY switchgear switchgear
# Bytecode is made here, because the root file system of the container cannot be written, and is
# not checked against the sources again at each start.
RUN HATCH_BUILD_HOOK_ENABLE_CUSTOM=true \
    uv pip install --python /opt/switchgear/bin/python --no-deps \
      --build-constraints requirements/build.txt . \
 && /opt/switchgear/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
      /opt/switchgear/lib

FROM ${BASE}
LABEL org.opencontainers.image.title="switchgear" \
      org.opencontainers.image.description="One local, OpenAI-compatible endpoint in every pod, backed by many LLM providers" \
      org.opencontainers.image.licenses="Apache-2.0"
# The base's own pip goes: nothing is installed at run time. The directories are mount points.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* \
      /usr/local/lib/python3*/ensurepip \
 && install -d -m 0755 /etc/switchgear/manifests \
 && install -d -m 0750 -o 65532 -g 65532 /var/lib/switchgear
COPY --from=build /opt/switchgear /opt/switchgear
ENV PATH=/opt/switchgear/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /
# By number: Kubernetes cannot tell that a name is not root.
USER 65532:65532
EXPOSE 4141
ENTRYPOINT ["switchgear"]
CMD ["run", "--manifests=/etc/switchgear/manifests", "--state-dir=/var/lib/switchgear"]
