#!/usr/bin/env bash
# Build a region in the cluster, as a Job: scripts/k8s-region.sh FR101 [options of `landpatch region`]. Takes the images
# of what runs there, and asks the sandbox first where that is.
set -euo pipefail
cd "$(dirname "$0")/.."
nuts=$1
shift
in_cluster=(kubectl --namespace landpatch)

image_of() {
  "${in_cluster[@]}" get deployment "$1" --output 'jsonpath={.spec.template.spec.containers[0].image}'
}

year=2021 before="" options=""
for word in "$@"; do
  [ "$before" != --year ] || year=$word
  before=$word
  options+=", \"$word\""
done
job=k8s/jobs/region.yaml
if "${in_cluster[@]}" get statefulset sandbox >/dev/null 2>&1; then
  job=k8s/jobs/sandbox-region.yaml
fi
sed -e "s|image: landpatch-worker:.*|image: $(image_of reconciler)|" \
  -e "s|image: landpatch-stack:.*|image: $(image_of metrics)|" \
  -e "s|args: \[FR101\] # submit|args: [\"$nuts\"$options]|" \
  -e "s|args: \[FR101\] # prepare|args: [\"$nuts\", --year, \"$year\"]|" "$job" |
  "${in_cluster[@]}" create --filename -
echo "landpatch: follow it with kubectl --namespace landpatch logs --follow job/NAME" >&2
