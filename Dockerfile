# The image: one static program and nothing else.
#
# `make image` builds it where no registry of base images can be reached: --build-arg PROGRAM=prebuilt takes a program
# that deploy/build-static.sh has built before, from target/image/ARCHITECTURE/flashgate-billing.

ARG PROGRAM=built
ARG RUST_IMAGE=rust:1.95.0-bookworm

# Whatever the target's architecture, the compiler runs on the builder's own: nothing is emulated.
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
# Where the sources are: the repository that built it.
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
# The API server's authority comes with the ServiceAccount; nothing else is called, so no other authority is trusted.
COPY --from=program /flashgate-billing /flashgate-billing
# The chart says the same.
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/flashgate-billing"]
CMD ["run"]
