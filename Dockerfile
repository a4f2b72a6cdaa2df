# tidegate as an image: the binary, a user without rights, and a volume for the data.
#
#   docker build -t tidegate .
#
# The gateway listens on loopback unless told otherwise, for whoever reaches it may publish and
# read. So as it stands the image serves programs that share its network:
#
#   docker run --rm --network host -v tidegate:/data tidegate
#
# To publish a port the gateway must listen on the container's own address. Without
# authentication it refuses to, unless a flag says that the network is trusted; keep the port on
# the host's loopback then, or behind a proxy that asks who is there:
#
#   docker run --rm -p 127.0.0.1:8080:8080 -v tidegate:/data tidegate \
#       serve --listen 0.0.0.0:8080 --data-dir /data --insecure-listen-anywhere

FROM rust:1.95-bookworm AS builder
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
# Fetched in a layer of their own: they are downloaded again only when Cargo.lock changes.
# Cargo wants to see a target before it reads the lock file.
RUN mkdir src && touch src/lib.rs && echo 'fn main() {}' > src/main.rs \
    && cargo fetch --locked && rm -r src
COPY . .
# What was compiled stays in the cache mount (BuildKit), so a change of the sources compiles only
# them. Cargo goes by file times, and an older checkout would pass for built: hence the touch.
RUN --mount=type=cache,target=/build/target \
    touch src/lib.rs src/main.rs \
    && cargo build --release --locked --features kafka-tls --bin tidegate \
    && install -D target/release/tidegate /out/tidegate

FROM debian:bookworm-slim
# For TLS to a Kafka cluster.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 \
    && rm -rf /var/lib/apt/lists/*
RUN groupadd --system --gid 10001 tidegate \
    && useradd --system --uid 10001 --gid tidegate --home-dir /data --no-create-home \
        --shell /usr/sbin/nologin tidegate \
    && install -d -o tidegate -g tidegate -m 0750 /data
COPY --from=builder /out/tidegate /usr/local/bin/tidegate
COPY LICENSE /usr/share/doc/tidegate/LICENSE

USER tidegate:tidegate
WORKDIR /data
VOLUME /data
EXPOSE 8080
# The gateway stops cleanly on SIGTERM: it finishes what is in flight and syncs the store. Give
# it longer than its own deadline (`docker stop --time`) before the container is killed.
STOPSIGNAL SIGTERM
# The binary asks itself, so the image needs no other client.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["tidegate", "health", "--url", "http://127.0.0.1:8080"]
ENTRYPOINT ["tidegate"]
CMD ["serve", "--listen", "127.0.0.1:8080", "--data-dir", "/data"]
