#!/bin/bash
# Spreads the preparation of a large cohort (RSPECT's 900 GB, say) over a Slurm array, then trains on one node.
#
#   deploy/training/slurm.sh CONFIGURATION [SHARDS]
#
# CONFIGURATION is a file like configs/train.toml; data.root and work.dir must be on storage that all nodes share.
# Each step is an array job of SHARDS tasks (default 32) that starts when the one before is complete; tasks that are run
# again do only what is missing. `sbatch` options of your site go into PE_NODE_SBATCH, those of the fit into
# PE_NODE_SBATCH_FIT (a GPU, say).
#
# Every core of a job holds an exam in memory, and a job uses no more cores than it was given: 2 with 8 GiB, and 8 with
# 32 GiB from the fit on. `--cpus-per-task` and `--mem` among your options take precedence; change both alike.
set -euo pipefail
configuration=$(realpath "${1:?usage: slurm.sh CONFIGURATION [SHARDS]}")
shards=${2:-32}
program=${PE_NODE:-pe-node}
read -ra options <<<"${PE_NODE_SBATCH:-}"
read -ra fit_options <<<"${PE_NODE_SBATCH_FIT:-}"

small=(--cpus-per-task=2 --mem=8G)
large=(--cpus-per-task=8 --mem=32G)

# An empty array is expanded as ${array[@]+"${array[@]}"}: before bash 4.4 it counts as unset, an error under set -u.

# submit NAME DEPENDENCY COMMAND [OPTION...]: the job's number.
submit() {
    local name=$1 after=$2 command=$3
    shift 3
    local dependency=()
    [ -z "$after" ] || dependency=(--dependency="afterok:$after" --kill-on-invalid-dep=yes)
    sbatch --parsable --job-name="pe-node-$name" ${dependency[@]+"${dependency[@]}"} "$@" \
        --wrap="$command" | cut -d';' -f1
}

# Known only within the job.
cores='RAYON_NUM_THREADS=$SLURM_CPUS_PER_TASK PE_NODE__ONNXRUNTIME__THREADS=$SLURM_CPUS_PER_TASK'
run=$(printf '%s %q train' "$cores" "$program")
with=$(printf -- '--config %q' "$configuration")
job=$(submit labels "" "$run labels $with" "${small[@]}" ${options[@]+"${options[@]}"})
for step in volumes slices lungs crops; do
    shard="--shard \$SLURM_ARRAY_TASK_ID/$shards"
    job=$(submit "$step" "$job" "$run $step $with $shard" --array="0-$((shards - 1))" "${small[@]}" \
        ${options[@]+"${options[@]}"})
done
for step in fit evaluate export; do
    job=$(submit "$step" "$job" "$run $step $with" "${large[@]}" ${options[@]+"${options[@]}"} \
        ${fit_options[@]+"${fit_options[@]}"})
done
echo "submitted; the package is written by job $job"
