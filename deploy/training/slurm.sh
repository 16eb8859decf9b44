#!/bin/bash
# Spreads the preparation of a large cohort (RSPECT's 900 GB, say) over a Slurm array, then trains on one node.
#
#   deploy/training/slurm.sh CONFIGURATION [SHARDS]
#
# CONFIGURATION is a file like configs/train.toml; data.root and work.dir must be on storage that all nodes share.
# Each step is an array job of SHARDS tasks (default 32) that starts when the one before is complete; tasks that are run
# again do only what is missing. `sbatch` options of your site go into PE_NODE_SBATCH, those of the fit into
# PE_NODE_SBATCH_FIT (a GPU, say).
set -euo pipefail
configuration=$(realpath "${1:?usage: slurm.sh CONFIGURATION [SHARDS]}")
shards=${2:-32}
program=${PE_NODE:-pe-node}
read -ra options <<<"${PE_NODE_SBATCH:-}"
read -ra fit_options <<<"${PE_NODE_SBATCH_FIT:-}"

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

run=$(printf '%q train' "$program")
with=$(printf -- '--config %q' "$configuration")
job=$(submit labels "" "$run labels $with" ${options[@]+"${options[@]}"})
for step in volumes slices lungs boxes; do
    shard="--shard \$SLURM_ARRAY_TASK_ID/$shards"
    job=$(submit "$step" "$job" "$run $step $with $shard" --array="0-$((shards - 1))" ${options[@]+"${options[@]}"})
done
for step in fit evaluate export; do
    job=$(submit "$step" "$job" "$run $step $with" ${options[@]+"${options[@]}"} ${fit_options[@]+"${fit_options[@]}"})
done
echo "submitted; the package is written by job $job"
