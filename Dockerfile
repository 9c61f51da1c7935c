# An environment of its own for the product. glibc here is new enough for TFX's wheels, so no compiler is needed.
#   docker build -t wdr .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/runs:/runs" wdr \
#     run configs/app_store.yaml --data /runs/data --workspace /runs/workspace
FROM python:3.11-slim-trixie

RUN apt-get update \
 && apt-get install --yes --no-install-recommends make tini \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/wide-deep-ranker
COPY . .
RUN PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 make setup
ENV PATH=/opt/wide-deep-ranker/.venv/bin:$PATH

RUN groupadd --gid 10001 wdr && useradd --create-home --uid 10001 --gid 10001 wdr
# By number: Kubernetes' `runAsNonRoot` cannot tell who a name is.
USER 10001:10001
# An init: the kernel does not deliver SIGTERM to a PID 1 without a handler, such as a run.
ENTRYPOINT ["tini", "--", "wdr"]
CMD ["--help"]
