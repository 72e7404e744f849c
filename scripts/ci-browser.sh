#!/usr/bin/env bash
# Have a Chromium for the tests of the pages: Debian's, where there is none.
set -euo pipefail
if command -v chromium >/dev/null || command -v google-chrome >/dev/null; then
  exit 0
fi
apt-get update -qq
apt-get install -qq --yes --no-install-recommends chromium >/dev/null
