# The server on an NVIDIA host: docker run --gpus all -p 8000:8000/tcp -e TELEQUILT_TOKEN=... telequilt
# WebRTC media travels over UDP ports of the host: add --network host, or set TELEQUILT_ICE_SERVERS to a TURN server.
FROM nvidia/cuda:13.0.1-runtime-ubuntu24.04

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# Compilers and Python's headers: Triton and torch.compile build what launches their kernels where it first runs.
# hadolint ignore=DL3008
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends gcc g++ make python3.12 python3.12-dev python3.12-venv \
 && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 10001 telequilt
WORKDIR /home/telequilt/app

# The slow, seldom changing steps first: system libraries, then the environment.
COPY Makefile pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY .ci .ci
COPY display display
COPY engines engines
COPY pipeline pipeline
COPY server server
COPY benchmarks benchmarks
RUN make system && make .venv/.ready PYTHON=python3.12 \
 && .venv/bin/python -m pip install --no-cache-dir --constraint constraints.txt --editable '.[cluster]' \
 && ln -s /home/telequilt/app/.venv/bin/ray /usr/local/bin/ray \
 && mkdir -p /home/telequilt/data && chown -R telequilt:telequilt /home/telequilt

USER 10001
ENV TELEQUILT_HOST=0.0.0.0 \
    TELEQUILT_PORT=8000 \
    TELEQUILT_DATA_DIR=/home/telequilt/data \
    NUMBA_CACHE_DIR=/home/telequilt/.cache/numba \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
VOLUME /home/telequilt/data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=90s \
  CMD [".venv/bin/python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["make", "run", "PYTHON=python3.12"]
