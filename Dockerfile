# Odograph in an image: the page by Node, ONNX Runtime by its pinned hash, the binary by Cargo, and Debian to run them. It holds no
# secrets; compose.yaml says how it is given its own.  docker build --tag odograph .

FROM node:20.20.2-bookworm-slim AS page
WORKDIR /source/src/dashboard/web
COPY src/dashboard/web/package.json src/dashboard/web/package-lock.json ./
RUN npm ci --no-audit --no-fund --loglevel=error
COPY src/dashboard/web ./
RUN npm run --silent build -- --logLevel warn

FROM python:3.11.11-slim-bookworm AS onnxruntime
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY Makefile ./
RUN make fetch

FROM rust:1.95.0-bookworm AS build
WORKDIR /source
COPY Cargo.toml Cargo.lock build.rs ./
COPY benches ./benches
COPY migrations ./migrations
COPY models ./models
COPY proto ./proto
COPY training/linfa ./training/linfa
COPY src ./src
COPY --from=page /source/src/dashboard/web/dist ./src/dashboard/web/dist
# The caches stay with the builder and not in the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --release --locked --bin odograph \
    && cp target/release/odograph /odograph

# A way to the page of a service that listens on its own loopback only, for a container that shares its network: compose.yaml.
FROM debian:12.11-slim AS page-door
RUN apt-get update \
    && apt-get install --yes --no-install-recommends socat \
    && rm -rf /var/lib/apt/lists/*
USER 10002:10002
EXPOSE 8081
HEALTHCHECK --interval=30s --timeout=5s CMD ["socat", "-u", "OPEN:/dev/null", "TCP4:127.0.0.1:8081"]
ENTRYPOINT ["socat"]
CMD ["TCP4-LISTEN:8081,fork,reuseaddr,max-children=256", "TCP4:127.0.0.1:8080"]

# Last, so that it is what is built where no target is named.
FROM debian:12.11-slim AS run
# Authorities for servers with certificates of public ones, and pg_dump for `odograph backup` of a PostgreSQL 15.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libstdc++6 postgresql-client-15 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 odograph \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/odograph --shell /usr/sbin/nologin odograph \
    && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/odograph
# ONNX Runtime is looked for beside the binary.
COPY --from=onnxruntime /source/.cache/onnxruntime/libonnxruntime.so.1.32.0 /opt/odograph/
COPY --from=build /odograph /opt/odograph/odograph
COPY models /opt/odograph/models
COPY LICENSE odograph.toml /opt/odograph/
ENV PATH=/opt/odograph:$PATH \
    ODOGRAPH__DATA=/var/lib/odograph
WORKDIR /var/lib/odograph
VOLUME ["/var/lib/odograph"]
USER 10001:10001
# MQTT, gRPC. Page and API are on loopback, 127.0.0.1:8080, as long as there are no accounts.
EXPOSE 1883 50051
# Told to stop, it stores what it acknowledged: give it 45 s (docker stop --time 45).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["odograph", "health"]
ENTRYPOINT ["odograph"]
CMD ["run"]
