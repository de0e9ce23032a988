#!/usr/bin/env bash
# Regenerates src/gen/ from the repository's proto files. The result is
# committed, so that building the package needs neither buf nor the proto files.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
proto="$here/../../proto"
cd "$here"

# The wheel `buf-bin` and the npm package `@bufbuild/buf` carry the same program.
if [ -x "$here/../../.venv/bin/buf" ]; then
  buf="$here/../../.venv/bin/buf"
elif command -v buf >/dev/null; then
  buf="$(command -v buf)"
else
  echo "generate.sh: no buf found; install it with: pip install buf-bin" >&2
  exit 1
fi

PATH="$here/node_modules/.bin:$PATH" "$buf" generate "$proto" --template buf.gen.yaml --path "$proto/tasker/worker"
