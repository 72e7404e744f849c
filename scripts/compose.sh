#!/usr/bin/env bash
# Run `docker compose` on docker-compose.yml: `up`, `region NUTS … [options]`, or any command of its own. Writes the env files
# that the services read, below .state/compose: what `.env` and the environment hold, and for what is not set
# there, passwords of its own and the addresses of the store and the sandbox.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${LANDPATCH_STATE_DIR:-.state}/compose

fail() {
  echo "landpatch: $1" >&2
  exit "${2:-1}"
}

# What the user has set: `.env`, and above it the environment.
declare -A given=()
read_settings() {
  local line name value
  while IFS= read -r line || [ -n "$line" ]; do
    [[ $line =~ ^[[:space:]]*(export[[:space:]]+)?([A-Z][A-Z0-9_]*)=(.*)$ ]] || continue
    name=${BASH_REMATCH[2]} value=${BASH_REMATCH[3]}
    value=${value%"${value##*[![:space:]]}"}
    if [[ $value =~ ^\"(.*)\"$ || $value =~ ^\'(.*)\'$ ]]; then
      value=${BASH_REMATCH[1]}
    fi
    keep "$name" "$value"
  done < <(cat .env 2>/dev/null || true)
  while IFS= read -r name; do
    keep "$name" "${!name}"
  done < <(compgen -e)
}

keep() {
  case $1 in
    # Of this machine, not of the containers.
    LANDPATCH_STATE_DIR | LANDPATCH_STACK | LANDPATCH_LOG | LANDPATCH_HEARTBEAT_FILE | \
      LANDPATCH_METRICS_LISTEN | LANDPATCH_CACHE_DIR | LANDPATCH_SERVE_TOKEN) return ;;
    LANDPATCH_VERSION | LANDPATCH_*_PORT) return ;;
    AWS_S3_ENDPOINT | AWS_ACCESS_KEY_ID | AWS_SECRET_ACCESS_KEY | AWS_SESSION_TOKEN | AWS_DEFAULT_REGION) ;;
    EO_S3_* | LANDPATCH_* | OTEL_* | FLOWER_BASIC_AUTH | COMPOSE_PROFILES) ;;
    *) return ;;
  esac
  [ -n "$2" ] || return 0
  [[ $2 != *\'* && $2 != *$'\n'* ]] || fail "$1 must not hold a quote or a line break" 2
  given[$1]=$2
}

# A password that is made once.
secret() {
  local path=$folder/secrets/$1
  if [ ! -s "$path" ]; then
    head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$path.new"
    mv "$path.new" "$path"
  fi
  cat "$path"
}

# An env file of those names of which something is given.
write_env() {
  local file=$1 name
  shift
  for name in "$@"; do
    [ -z "${given[$name]:-}" ] || echo "$name='${given[$name]}'"
  done >"$folder/$file.new"
  mv "$folder/$file.new" "$folder/$file"
}

write_files() {
  umask 077
  mkdir -p "$folder/secrets"
  local redis profiles="" sandbox=http://sandbox:8000
  redis=$(secret redis)
  # Read inside the container by another user; the folder above is closed to others.
  echo "requirepass $redis" >"$folder/redis_password"
  : >"$folder/redis_ca"
  : >"$folder/label_classes"
  if [ -n "${given[LANDPATCH_REDIS_CA_FILE]:-}" ]; then
    cat "${given[LANDPATCH_REDIS_CA_FILE]}" >"$folder/redis_ca" || fail "LANDPATCH_REDIS_CA_FILE cannot be read" 2
    given[LANDPATCH_REDIS_CA_FILE]=/run/secrets/redis_ca
  fi
  if [[ ${given[LANDPATCH_LABEL_CLASSES]:-\{} != \{* ]]; then
    cat "${given[LANDPATCH_LABEL_CLASSES]}" >"$folder/label_classes" || fail "LANDPATCH_LABEL_CLASSES cannot be read" 2
    given[LANDPATCH_LABEL_CLASSES]=/run/secrets/label_classes
  fi
  # What stands below `spec:` of the cluster's rules is what Prometheus itself takes.
  sed -e '1,/^spec:/d' -e 's/^  //' k8s/components/monitoring/alerts.yaml >"$folder/alerts.yaml"
  chmod 644 "$folder/redis_password" "$folder/redis_ca" "$folder/label_classes" "$folder/alerts.yaml"
  : "${given[LANDPATCH_REDIS_URL]:=redis://:$redis@redis:6379/0}"
  : "${given[FLOWER_BASIC_AUTH]:=landpatch:$(secret flower)}"
  if [ -z "${given[AWS_S3_ENDPOINT]:-}" ]; then
    profiles=store
    given[AWS_S3_ENDPOINT]=http://store:9000
    given[AWS_ACCESS_KEY_ID]=landpatch
    given[AWS_SECRET_ACCESS_KEY]=$(secret store)
    unset 'given[AWS_SESSION_TOKEN]'
    : "${given[LANDPATCH_STORE_URL]:=http://127.0.0.1:${LANDPATCH_FILES_PORT:-8080}}"
  fi
  local account=${given[EO_S3_ACCESS_KEY_ID]:-}${given[LANDPATCH_CDSE_USER]:-}
  if [ -z "$account${given[LANDPATCH_SENTINELHUB_CLIENT_ID]:-}" ]; then
    profiles=${profiles:+$profiles,}sandbox
    given[LANDPATCH_SOURCE]=sandbox
    given[LANDPATCH_EO_S3_ENDPOINT]=http://eodata:9000
    given[EO_S3_ACCESS_KEY_ID]=sandbox
    given[EO_S3_SECRET_ACCESS_KEY]=$(secret eodata)
    given[LANDPATCH_CDSE_USER]=sandbox
    given[LANDPATCH_CDSE_PASSWORD]=$(secret eodata)
    given[LANDPATCH_SENTINELHUB_CLIENT_ID]=sandbox
    given[LANDPATCH_SENTINELHUB_CLIENT_SECRET]=$(secret eodata)
    : "${given[LANDPATCH_SENTINELHUB_URL]:=$sandbox}"
    : "${given[LANDPATCH_CDSE_TOKEN_URL]:=$sandbox/auth/realms/CDSE/protocol/openid-connect/token}"
    : "${given[LANDPATCH_ODATA_DOWNLOAD_URL]:=$sandbox/odata/v1/Products}"
    : "${given[LANDPATCH_ODATA_URL]:=$sandbox/odata/v1/Products}"
    local service=CLC_plus/CLMS_CLCplus_RASTER_{year}_010m_eu/ImageServer/exportImage
    : "${given[LANDPATCH_CLCPLUS_URL]:=$sandbox/arcgis/rest/services/$service}"
    : "${given[LANDPATCH_NUTS_URL]:=$sandbox/gisco/NUTS_RG_01M_2021_3035_LEVL_3.geojson}"
    : "${given[LANDPATCH_NOMINATIM_URL]:=$sandbox/nominatim/search}"
  fi
  export COMPOSE_PROFILES=${given[COMPOSE_PROFILES]-$profiles}
  local secrets=(LANDPATCH_REDIS_URL AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
    EO_S3_ACCESS_KEY_ID EO_S3_SECRET_ACCESS_KEY LANDPATCH_CDSE_USER LANDPATCH_CDSE_PASSWORD
    LANDPATCH_SENTINELHUB_CLIENT_ID LANDPATCH_SENTINELHUB_CLIENT_SECRET FLOWER_BASIC_AUTH COMPOSE_PROFILES) name
  write_env redis.env LANDPATCH_REDIS_URL
  write_env store.env AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
  write_env eodata.env EO_S3_ACCESS_KEY_ID EO_S3_SECRET_ACCESS_KEY
  write_env cdse.env LANDPATCH_CDSE_USER LANDPATCH_CDSE_PASSWORD
  write_env sentinelhub.env LANDPATCH_SENTINELHUB_CLIENT_ID LANDPATCH_SENTINELHUB_CLIENT_SECRET
  write_env account.env EO_S3_ACCESS_KEY_ID LANDPATCH_CDSE_USER LANDPATCH_SENTINELHUB_CLIENT_ID
  write_env flower.env FLOWER_BASIC_AUTH
  local others=()
  for name in $(printf '%s\n' "${!given[@]}" | sort); do
    [[ " ${secrets[*]} " == *" $name "* ]] || others+=("$name")
  done
  write_env settings.env "${others[@]}"
}

start() {
  [ "${given[LANDPATCH_SOURCE]:-}" != sandbox ] ||
    echo "landpatch: no EO_S3_ACCESS_KEY_ID is set: the SANDBOX gives synthetic pixels" >&2
  docker compose up --detach --wait "$@"
  echo "landpatch: Flower at http://127.0.0.1:${LANDPATCH_FLOWER_PORT:-5555}; user and password are in $folder/flower.env" >&2
}

region() {
  local codes=() year=2021 word before=""
  for word in "$@"; do
    [[ $before == --* || $word == --* ]] || codes+=("$word")
    [ "$before" != --year ] || year=$word
    before=$word
  done
  # Started anew, workers would be as many as the file says, not as many as somebody has scaled them to.
  [ -n "$(docker compose ps --quiet dispatcher)" ] || start
  if [[ ,$COMPOSE_PROFILES, == *,sandbox,* ]]; then
    docker compose run --rm --no-deps prepare "${codes[@]}" --year "$year" >&2
  fi
  docker compose run --rm --no-deps submit region "$@"
}

command -v docker >/dev/null || fail "docker is not here; \`make region\` alone needs none"
read_settings
write_files
case ${1:-} in
  up) shift && start "$@" ;;
  down) shift && docker compose --profile '*' down "$@" ;;
  region) shift && region "$@" ;;
  *) docker compose "$@" ;;
esac
