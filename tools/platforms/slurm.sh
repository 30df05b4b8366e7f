#!/bin/bash
# Two nodes, one worker on each: sbatch tools/platforms/slurm.sh. Images and run lie on a file system that both see.
#SBATCH --nodes 2
#SBATCH --ntasks-per-node 1
#SBATCH --signal SIGTERM@90
#SBATCH --requeue
HOSTS=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed 's/.*/"&:12345"/' | paste -sd,)
export HOSTS
# shellcheck disable=SC2016
srun bash -c 'export TF_CONFIG="{\"cluster\": {\"worker\": [$HOSTS]}, \"task\": {\"type\": \"worker\", \"index\": $SLURM_PROCID}}"
  exec kgen-train --model dcgan --dataset photos.zip --image_size 64 \
    --strategy multi_worker --run_dir runs/photos --restarts 20'
