# Upkeep. `make help` lists the targets.
GO      ?= go
BUF     ?= npx --yes @bufbuild/buf@1.75.0
PLUGINS := process network service recovery-graded
# The examples that are written in Go; those in other languages need no building.
EXAMPLES := disk exec-checker recovery-webhook
ARGS    ?= --plugins ./plugins
# What is vetted, and so built, beside the machine that this runs on.
TARGETS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
# RACE=-race runs the tests with the race detector; it needs a C compiler.
RACE    ?=

# Static, without paths and time stamps: two builds give the same bytes.
export CGO_ENABLED = 0
GOBUILD = $(GO) build -trimpath -buildvcs=false -ldflags "-s -w"

.DEFAULT_GOAL := help
.PHONY: help build examples run test race lint vuln bench docs proto proto-check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/host and the plugins into plugins/<name>/<name>
	$(GOBUILD) -o bin/host ./cmd/host
	@for p in $(PLUGINS); do echo "$(GOBUILD) -o plugins/$$p/$$p ./plugins/$$p"; $(GOBUILD) -o plugins/$$p/$$p ./plugins/$$p || exit 1; done

examples: examples/redis-ping/node_modules ## build the examples for plugin authors into examples/<name>/<name>
	@for p in $(EXAMPLES); do echo "$(GOBUILD) -o examples/$$p/$$p ./examples/$$p"; $(GOBUILD) -o examples/$$p/$$p ./examples/$$p || exit 1; done

examples/redis-ping/node_modules: examples/redis-ping/package-lock.json
	cd examples/redis-ping && npm ci --ignore-scripts
	@touch $@

run: build ## build and run the host with the bundled plugins (ARGS="...")
	bin/host $(ARGS)

test: build ## run every test: units, real plugin processes, real Socket.IO clients
	@scripts/test-needs.sh
	CGO_ENABLED=$(if $(RACE),1,0) $(GO) test $(RACE) -timeout 40m ./...

race: ## the same with the race detector
	$(MAKE) test RACE=-race

lint: ## formatting, vet for linux, darwin and windows on amd64 and arm64, tidy go.mod, verified modules
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "not gofmt-clean: run gofmt -w on"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	@for target in $(TARGETS); do echo "$(GO) vet for $$target"; \
		GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) vet ./cmd/... ./core/... ./examples/... ./hub/... ./internal/... ./plugins/... ./proto/... ./sdk/... || exit 1; done
	$(GO) mod tidy -diff
	$(GO) mod verify

vuln: ## look up the dependencies in the Go vulnerability database
	GO=$(GO) scripts/vuln.sh

bench: build ## measure the figures of docs/figures.md (about 35 minutes; BENCH="-short" for less)
	$(GO) run ./test/bench $(BENCH)

docs: build ## write the man pages (docs/man), the OpenAPI document, the catalogue of metrics, what serves the examples, and the measured comparison
	$(GO) test ./cmd/host -run TestTheManPages -man
	$(GO) test ./internal/adminapi -run TestTheOpenAPI -update
	$(GO) test ./test/docs -run TestTheCatalogue -update
	$(GO) test ./test/authors -run TestTheExamplesAreServed -update
	$(GO) run ./test/bench -docs

proto: ## generate the Go code beside the .proto files
	$(BUF) generate

proto-check: ## lint, format, breaking changes, and that the committed code is generated
	BUF="$(BUF)" scripts/proto-check.sh

clean: ## remove what build made
	rm -rf bin
	@for p in $(PLUGINS); do rm -f plugins/$$p/$$p; done
	@for p in $(EXAMPLES); do rm -f examples/$$p/$$p; done
	rm -rf examples/redis-ping/node_modules
