# Two images from one file: weir (the default) and the app to try it with.
#
#   make image        with docker, podman or buildah: weir:VERSION and weir-backend-demo:VERSION
#   docker build -t weir .
#   docker build -t weir-backend-demo --target backend-demo .
#
# BASE must be a Debian with apt; only the first stage uses it. What is shipped holds one program and
# the libraries it loads: .ci/rootfs.sh lays it out, tests/ci/test_rootfs.sh and `make image-test` try it.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
WORKDIR /src
RUN apt-get update -qq \
    && apt-get install -qq -y --no-install-recommends make ca-certificates >/dev/null
COPY .ci/deps.sh .ci/deps.sh
RUN .ci/deps.sh build
COPY . .
ARG REVISION=unknown
ARG SOURCE_DATE_EPOCH=0
RUN make -j"$(nproc)" build REVISION="${REVISION}" \
    && .ci/rootfs.sh /rootfs/weir build/weir \
    && .ci/rootfs.sh /rootfs/backend-demo build/backend-demo

# ---- an app to put behind weir -------------------------------------------------------------------
FROM scratch AS backend-demo
COPY --from=build /rootfs/backend-demo /
LABEL org.opencontainers.image.title="weir-backend-demo" \
      org.opencontainers.image.description="A small app that waits, works and blocks as FastAPI does" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 65532:65532
EXPOSE 8000
ENTRYPOINT ["/backend-demo"]

# ---- weir ----------------------------------------------------------------------------------------
FROM scratch AS weir
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG SOURCE=
COPY --from=build /rootfs/weir /
LABEL org.opencontainers.image.title="weir" \
      org.opencontainers.image.description="A sidecar that lets N requests into an app at once and queues the rest fairly" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 65532:65532
EXPOSE 8080 9480
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=2s --start-period=5s CMD ["/weir", "healthcheck"]
ENTRYPOINT ["/weir"]
