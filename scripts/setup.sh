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

is_recent() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# The lock holds for every Python from 3.11 on.
python=""
candidates=(python3 python3.13 python3.12 python3.11)
[ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
for candidate in "${candidates[@]}"; do
  if is_recent "$candidate"; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  [ -z "${PYTHON:-}" ] || fail "PYTHON=$PYTHON is no Python 3.11 or newer"
  fail "needs Python 3.11 or newer; say which with PYTHON=/path/to/python3"
fi

echo "landpatch: making the Python environment in $venv (once) …" >&2
uv=$(command -v uv || true)
if [ -n "$uv" ] && ! "$uv" --version >/dev/null 2>&1; then
  uv=""
fi
if [ -z "$uv" ]; then
  private="${LANDPATCH_STATE_DIR:-.state}/uv"
  if ! "$private/bin/uv" --version >/dev/null 2>&1; then
    rm -rf "$private"
    "$python" -m venv "$private" >/dev/null 2>&1 &&
      "$private/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$uv_version" 2>/dev/null ||
      rm -rf "$private"
  fi
  [ ! -x "$private/bin/uv" ] || uv=$private/bin/uv
fi

# What an interrupted set-up, an older Python or a checkout that was moved has left does not run.
if [ -e "$venv" ] && ! { is_recent "$venv/bin/python" && "$venv/bin/landpatch" --version >/dev/null 2>&1; }; then
  rm -rf "$venv"
fi

with_uv() {
  { [ -x "$venv/bin/python" ] || "$uv" venv --quiet --python "$python" "$venv"; } &&
    VIRTUAL_ENV=$PWD/$venv "$uv" pip sync --quiet --compile-bytecode --require-hashes requirements.lock &&
    VIRTUAL_ENV=$PWD/$venv "$uv" pip install --quiet --no-deps --no-build-isolation --editable .
}

with_pip() {
  local pip=("$venv/bin/python" -m pip --quiet --disable-pip-version-check)
  if ! "${pip[@]}" --version >/dev/null 2>&1; then
    rm -rf "$venv"
    "$python" -m venv "$venv" >/dev/null ||
      fail "cannot make a virtual environment; Debian and Ubuntu need the package python3-venv"
  fi
  "${pip[@]}" install --require-hashes -r requirements.lock
  "${pip[@]}" install --no-deps --no-build-isolation --editable .
}

# uv does not read the settings of pip, such as a mirror.
if [ -z "$uv" ] || ! with_uv; then
  with_pip
fi
# pip compiles what it installs, uv is told to; this is the rest. Where Python is forbidden to keep what it compiles
# (PYTHONDONTWRITEBYTECODE) each of a dozen processes would compile thousands of modules at every start.
"$venv/bin/python" -m compileall -q shared services
# Last: what is not finished is made again.
echo "$PWD" >"$venv/.ready"
