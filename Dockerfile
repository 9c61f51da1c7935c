# An environment of its own for the product. glibc here is new enough for TFX's wheels, so no compiler is needed.
#   docker build -t wdr .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/runs:/runs" wdr simulate --out /runs/data --days 1
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/runs:/runs" wdr \
#     run configs/app_store.yaml --data /runs/data --workspace /runs/in_docker
# A workspace belongs to one path: that of a run outside of the container is refused here.
FROM python:3.11-slim-trixie

RUN apt-get update \
 && apt-get install --yes --no-install-recommends make tini \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/wide-deep-ranker
# The packages, 3.8 GB, are a layer of their own: a change of the code replaces the layers after it only.
COPY Makefile requirements.lock ./
COPY deploy/old_glibc deploy/old_glibc
RUN PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 make environment
COPY . .
# `touch`: the files of the copy can be newer than the environment that was made of the same ones.
RUN touch .venv/locked && PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 make setup
ENV PATH=/opt/wide-deep-ranker/.venv/bin:$PATH

RUN groupadd --gid 10001 wdr && useradd --create-home --uid 10001 --gid 10001 wdr
# By number: Kubernetes' `runAsNonRoot` cannot tell who a name is.
USER 10001:10001
# An init: the kernel does not deliver SIGTERM to a PID 1 without a handler, such as a run.
ENTRYPOINT ["tini", "--", "wdr"]
CMD ["--help"]
