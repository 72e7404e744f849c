#!/usr/bin/env bash
# Build regions in the cluster, as a Job: scripts/k8s-region.sh FR101 [LU000 …] [options of `landpatch region`]. Takes the
# images of what runs there, and asks the sandbox first where that is.
set -euo pipefail
cd "$(dirname "$0")/.."
in_cluster=(kubectl --namespace landpatch)

image_of() {
  "${in_cluster[@]}" get deployment "$1" --output 'jsonpath={.spec.template.spec.containers[0].image}'
}

codes="" words="" year=2021 before=""
for word in "$@"; do
  [[ $before == --* || $word == --* ]] || codes+="\"$word\", "
  [ "$before" != --year ] || year=$word
  before=$word
  words+="${words:+, }\"$word\""
done
job=k8s/jobs/region.yaml
if "${in_cluster[@]}" get statefulset sandbox >/dev/null 2>&1; then
  job=k8s/jobs/sandbox-region.yaml
fi
sed -e "s|image: landpatch-worker:.*|image: $(image_of reconciler)|" \
  -e "s|image: landpatch-stack:.*|image: $(image_of metrics)|" \
  -e "s|args: \[FR101\] # submit|args: [$words]|" \
  -e "s|args: \[FR101\] # prepare|args: [$codes--year, \"$year\"]|" "$job" |
  "${in_cluster[@]}" create --filename -
echo "landpatch: follow it with kubectl --namespace landpatch logs --follow job/NAME" >&2
