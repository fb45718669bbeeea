# mixlab in a container, with the versions and hashes of requirements.lock.
#   docker build --build-arg TORCH=cuda -t mixlab .    PyTorch with CUDA: runs on GPUs and on CPUs
#   docker build --build-arg TORCH=cpu  -t mixlab .    PyTorch for CPUs alone: gigabytes smaller
#   docker run --rm --gpus all -v "$PWD/data:/lab/data" -v "$PWD/logs:/lab/logs" mixlab data=digits
ARG PYTHON=3.12
FROM python:${PYTHON}-slim AS build
ARG TORCH=cuda
ENV UV_NO_CACHE=1 UV_LINK_MODE=copy
WORKDIR /opt/mixlab
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY scripts/setup.sh scripts/
COPY configs configs
COPY src src
RUN pip install --no-cache-dir --root-user-action=ignore "uv>=0.9,<1" \
  && LOCKED="$TORCH" bash scripts/setup.sh

FROM python:${PYTHON}-slim
RUN useradd --create-home --uid 1000 mixlab \
  && install --directory --owner mixlab /lab /lab/data /lab/logs
COPY --from=build /opt/mixlab /opt/mixlab
ENV PATH="/opt/mixlab/.venv/bin:$PATH"
USER 1000
WORKDIR /lab
ENTRYPOINT ["mixlab-train"]
CMD ["--help"]
