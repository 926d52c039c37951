# cnntrain in a container, on the CPU or, with EXTRA=gpu, on NVIDIA's GPUs.
#
#   docker build --tag cnntrain .
#   docker build --tag cnntrain-gpu --build-arg EXTRA=gpu .
#   docker run --rm --volume "$PWD/outputs:/home/trainer/outputs" cnntrain epochs=60
#   docker run --rm --gpus all --volume "$PWD/outputs:/home/trainer/outputs" cnntrain-gpu epochs=60
#
# The folder outputs must be writable for user 1000. A run needs no other: the digits are in the image.
ARG PYTHON=3.11
FROM python:${PYTHON}-slim

ARG EXTRA=""
COPY . /opt/cnntrain
RUN pip install --no-cache-dir --constraint /opt/cnntrain/requirements.lock \
        "/opt/cnntrain${EXTRA:+[$EXTRA]}" \
    && useradd --create-home --uid 1000 trainer

USER 1000
WORKDIR /home/trainer
ENTRYPOINT ["cnntrain"]
CMD ["--help"]
