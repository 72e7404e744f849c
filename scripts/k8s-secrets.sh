#!/usr/bin/env bash
# Print the Secrets of the sandbox overlay, with new passwords: scripts/k8s-secrets.sh | kubectl create --filename -
# Those of production are made from your own (docs/deployment.md).
set -euo pipefail

random() {
  head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'
}

redis=$(random)
cat <<END
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Secret
    metadata: {name: landpatch-redis, namespace: landpatch}
    stringData:
      LANDPATCH_REDIS_URL: redis://:$redis@redis:6379/0
  - apiVersion: v1
    kind: Secret
    metadata: {name: landpatch-redis-server, namespace: landpatch}
    stringData:
      redis.conf: requirepass $redis
  - apiVersion: v1
    kind: Secret
    metadata: {name: landpatch-store, namespace: landpatch}
    stringData:
      AWS_ACCESS_KEY_ID: landpatch
      AWS_SECRET_ACCESS_KEY: $(random)
  - apiVersion: v1
    kind: Secret
    metadata: {name: landpatch-eodata, namespace: landpatch}
    stringData:
      EO_S3_ACCESS_KEY_ID: sandbox
      EO_S3_SECRET_ACCESS_KEY: $(random)
  - apiVersion: v1
    kind: Secret
    metadata: {name: landpatch-cdse, namespace: landpatch}
    stringData:
      LANDPATCH_CDSE_USER: sandbox
      LANDPATCH_CDSE_PASSWORD: $(random)
  - apiVersion: v1
    kind: Secret
    metadata: {name: landpatch-sentinelhub, namespace: landpatch}
    stringData:
      LANDPATCH_SENTINELHUB_CLIENT_ID: sandbox
      LANDPATCH_SENTINELHUB_CLIENT_SECRET: $(random)
  - apiVersion: v1
    kind: Secret
    metadata: {name: landpatch-flower, namespace: landpatch}
    stringData:
      FLOWER_BASIC_AUTH: landpatch:$(random)
END
