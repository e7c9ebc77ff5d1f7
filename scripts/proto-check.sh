#!/usr/bin/env bash
# Checks the .proto files: style, format, compatibility with the last release,
# that the committed Go code is what they generate, and that the compatibility
# check bites.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${BUF:=npx --yes @bufbuild/buf@1.75.0}"
image=proto/released.binpb

echo "proto-check: lint";     $BUF lint
echo "proto-check: format";   $BUF format -d --exit-code
echo "proto-check: breaking"; $BUF breaking --against "$image"

echo "proto-check: generated code"
$BUF generate
if ! git diff --exit-code -- proto || [ -n "$(git ls-files --others --exclude-standard -- proto)" ]; then
	echo "proto-check: the committed code is not what the .proto files generate: run make proto and commit" >&2
	exit 1
fi

echo "proto-check: a removed field must be noticed"
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r buf.yaml proto "$copy"
sed -i '/string message = 2;/d' "$copy/proto/upkeep/plugin/v1/checker.proto"
if cmp -s proto/upkeep/plugin/v1/checker.proto "$copy/proto/upkeep/plugin/v1/checker.proto"; then
	echo "proto-check: the rehearsal removed nothing: fix the line it looks for" >&2
	exit 1
fi
against=$(pwd)/$image
if out=$(cd "$copy" && $BUF breaking --against "$against" 2>&1); then
	echo "proto-check: a field was removed and buf breaking did not notice" >&2
	exit 1
fi
case "$out" in
*'Previously present field "2" with name "message"'*) echo "proto-check: ok" ;;
*) echo "proto-check: buf breaking failed for another reason: $out" >&2; exit 1 ;;
esac
