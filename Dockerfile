# An environment of its own for the product. glibc here is new enough for TFX's wheels, so no compiler is needed.
#   docker build -t wdr .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/runs:/runs" wdr \
#     run configs/app_store.yaml --data /runs/data --workspace /runs/workspace
FROM python:3.11-slim-trixie

RUN apt-get update \
 && apt-get install --yes --no-install-recommends make \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/wide-deep-ranker
COPY . .
RUN PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 make setup
ENV PATH=/opt/wide-deep-ranker/.venv/bin:$PATH

RUN useradd --create-home wdr
USER wdr
ENTRYPOINT ["wdr"]
CMD ["--help"]
