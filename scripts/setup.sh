#!/usr/bin/env bash
# Make the Python environment in $1, from requirements.lock: by uv when it is there or can be had by
# pip, else by pip alone. Needs Python >= 3.11 and nothing else; no root.
set -euo pipefail
venv=$1
uv_version=0.13.9

fail() {
  echo "landpatch: $1" >&2
  exit 1
}

# The lock holds for every Python from 3.11 on.
python=""
for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || fail "needs Python 3.11 or newer; say which with PYTHON=/path/to/python3"

echo "landpatch: making the Python environment in $venv (once) …" >&2
uv=$(command -v uv || true)
if [ -z "$uv" ]; then
  private="${LANDPATCH_STATE_DIR:-.state}/uv"
  if [ ! -x "$private/bin/uv" ]; then
    "$python" -m venv "$private" 2>/dev/null &&
      "$private/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$uv_version" 2>/dev/null ||
      rm -rf "$private"
  fi
  [ -x "$private/bin/uv" ] && uv=$private/bin/uv
fi

if [ -n "$uv" ]; then
  [ -x "$venv/bin/python" ] || "$uv" venv --quiet --python "$python" "$venv"
  export VIRTUAL_ENV=$PWD/$venv
  "$uv" pip sync --quiet --require-hashes requirements.lock
  "$uv" pip install --quiet --no-deps --no-build-isolation --editable .
else
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv" ||
    fail "cannot make a virtual environment; Debian and Ubuntu need the package python3-venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
fi
touch "$venv/.ready"
