#!/usr/bin/env bash
# Says which of the programs that the tests run are missing, and how to get them.
set -u
missing=0
need() { echo "make test: missing: $1" >&2; echo "           get it with: $2" >&2; missing=1; }

major=$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/')
[ "${major:-0}" -ge 20 ] || need "Node.js 20 or newer (found: $(node --version 2>/dev/null || echo none)); the official Socket.IO client runs on it" "your system's package manager, or https://nodejs.org"
command -v npm >/dev/null || need "npm" "it comes with Node.js"
command -v git >/dev/null || need "git" "apt-get install git"
command -v openssl >/dev/null || need "openssl; keys and signatures are compared with it" "apt-get install openssl"
# Without these the tests that need them are left out, except in CI.
left_out() { echo "make test: NOT RUN without $1 (get it with: apt-get install $2)" >&2; }
/usr/bin/python3 -c 'import socketio' 2>/dev/null || left_out "python-socketio: the tests of Python clients" "python3-socketio python3-aiohttp python3-requests python3-websocket"
/usr/bin/python3 -c 'import grpc, google.protobuf' 2>/dev/null || left_out "grpcio: the tests of plugins in Python" "python3-grpcio python3-protobuf"
command -v redis-server >/dev/null || left_out "redis-server: the test of the example redis-ping" "redis-server"
command -v openssl >/dev/null || left_out "openssl: the test of the example certificate-expiry" "openssl"
command -v chromium >/dev/null || left_out "chromium: the tests of clients in a browser" "chromium"
command -v promtool >/dev/null || left_out "promtool: the check of /metrics" "prometheus"
exit $missing
