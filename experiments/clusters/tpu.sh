#!/bin/bash
# The DCGAN on a Cloud TPU spot slice, as a queued resource, from the clone. Not run.
#   RUNS=gs://bucket/runs bash experiments/clusters/tpu.sh
# v5litepod-8 is one host with 8 chips, v5litepod-32 eight hosts with 4 chips each. The hosts need write access to the
# bucket RUNS, since their disks are deleted with them.
# Preempted: the hosts are deleted, and the steps since the last checkpoint are repeated.
# Resumed: by this script, which requests a new slice, from the checkpoint in the bucket.
set -euo pipefail
zone=${ZONE:-us-west4-a} slice=${SLICE:-v5litepod-8} runs=${RUNS:?is not set: a bucket, such as gs://bucket/runs}

on_all() { gcloud compute tpus tpu-vm ssh gan --zone "$zone" --worker=all --command "$1"; }

gcloud compute tpus queued-resources delete gan --zone "$zone" --force --quiet || true # of a preempted slice
gcloud compute tpus queued-resources create gan --node-id gan --zone "$zone" --accelerator-type "$slice" \
  --runtime-version v2-alpha-tpuv5-lite --spot
until [[ $(gcloud compute tpus queued-resources describe gan --zone "$zone" --format 'value(state.state)') == ACTIVE ]]; do
  sleep 30
done
gcloud compute tpus tpu-vm scp . gan:jaxgan --recurse --zone "$zone" --worker=all
on_all "sudo apt-get install -y python3.11-venv && python3.11 -m venv env && env/bin/pip install -e jaxgan 'jax[tpu]' gcsfs"
on_all "env/bin/python jaxgan/experiments/dcgan.py --workdir $runs/dcgan"
