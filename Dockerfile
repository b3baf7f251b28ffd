# The gateway's image: docker build -t a2a-gateway .
# What it is and how it is run: deploy/README.md.

FROM rust:1-bookworm AS build
WORKDIR /build

# The dependencies alone, over an empty program: this layer is built again only when they change.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src examples/load \
    && echo 'fn main() {}' | tee src/main.rs examples/load/main.rs > build.rs \
    && touch src/lib.rs \
    && cargo build --release --locked --bin a2a-gateway \
    && cargo clean --release --package a2a-gateway \
    && rm -r src build.rs

COPY build.rs config.default.toml ./
COPY build build
COPY proto proto
COPY src src
RUN cargo build --release --locked --bin a2a-gateway

# What the image holds: the program, the libraries that it is linked with, certificates to trust, and no shell.
RUN mkdir -p /data /image/etc/ssl/certs /image/usr/local/bin \
    && install -m 0755 target/release/a2a-gateway /image/usr/local/bin/ \
    && ldd target/release/a2a-gateway | grep -o '/[^ ]*' | xargs -I {} install -D {} /image{} \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && echo 'hosts: files dns' > /image/etc/nsswitch.conf \
    && echo 'a2a-gateway:x:10001:10001::/data:/' > /image/etc/passwd \
    && echo 'a2a-gateway:x:10001:' > /image/etc/group \
    && chroot /image /usr/local/bin/a2a-gateway --version

FROM scratch
COPY --from=build /image /
COPY --from=build --chown=10001:10001 /data /data
LABEL org.opencontainers.image.title="a2a-gateway" \
    org.opencontainers.image.description="A durable gateway in front of A2A agents" \
    org.opencontainers.image.licenses="Apache-2.0"
ENV A2A_GATEWAY_SERVER_LISTEN=0.0.0.0:8080 \
    A2A_GATEWAY_STORE_DATA_DIR=/data
# A number, so that Kubernetes can tell that it is not root.
USER 10001:10001
WORKDIR /data
# SQLite; unused with PostgreSQL.
VOLUME /data
EXPOSE 8080
# Docker's own; Kubernetes has its probes. It asks over gRPC, as any client would.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["/usr/local/bin/a2a-gateway", "agents", "--json"]
ENTRYPOINT ["/usr/local/bin/a2a-gateway"]
