# The image contains one static program and nothing else.
#
# `make image` builds it without a registry of base images. --build-arg PROGRAM=prebuilt takes the program from
# target/image/ARCHITECTURE/flashgate-billing, where deploy/build-static.sh has built it.

ARG PROGRAM=built
ARG RUST_IMAGE=rust:1.95.0-bookworm

# The compiler runs on the architecture of the builder and cross-compiles, so nothing is emulated.
FROM --platform=$BUILDPLATFORM ${RUST_IMAGE} AS builder
ARG TARGETARCH
ARG CARGO_AUDITABLE=0.7.7
RUN apt-get update && \
  apt-get install --yes --no-install-recommends "crossbuild-essential-$TARGETARCH" && \
  cargo install --locked cargo-auditable --version "$CARGO_AUDITABLE"
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/cache \
  CARGO_TARGET_DIR=/cache deploy/build-static.sh "$TARGETARCH" /out/flashgate-billing

FROM scratch AS built
COPY --from=builder /out/flashgate-billing /flashgate-billing

FROM scratch AS prebuilt
ARG TARGETARCH
COPY target/image/${TARGETARCH}/flashgate-billing /flashgate-billing

FROM ${PROGRAM} AS program

FROM scratch
ARG VERSION=unreleased
ARG REVISION=
# The repository of the sources.
ARG SOURCE=https://flashgate.dev/billing
LABEL org.opencontainers.image.title="flashgate-billing" \
  org.opencontainers.image.description="Kubernetes operator that bills usage in credits: exact, once, and explained" \
  org.opencontainers.image.url="https://flashgate.dev/billing" \
  org.opencontainers.image.source="${SOURCE}" \
  org.opencontainers.image.documentation="https://flashgate.dev/billing/docs" \
  org.opencontainers.image.vendor="Flashgate" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}"
# The CA of the API server comes with the ServiceAccount, and that of PostgreSQL from a Secret. The program calls no
# other server, so the image has no CA certificates.
COPY --from=program /flashgate-billing /flashgate-billing
# The chart sets the same user.
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/flashgate-billing"]
CMD ["run"]
