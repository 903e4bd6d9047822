# What can be done here. Each target installs what it lacks by itself (scripts/ensure.sh).
.DEFAULT_GOAL := help
.PHONY: help demo demo-node test soak e2e lint bench clean

help: ## This list
	@echo 'pacecar plays the tenants of an API at a controlled rate, measures them on two clocks,'
	@echo 'and deletes every row that it caused.'
	@echo
	@echo 'Begin with   make demo    (a sample API, a real Postgres, one short run, nothing left behind)'
	@echo
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'Only some tests:      cargo test --workspace --all-features NAME'
	@echo 'Your own plan:        cargo run --release -p pacecar-sidecar -- run config/tenant-workflow.yaml -e API_URL=…'
	@echo 'How to change things: CONTRIBUTING.md, and ARCHITECTURE.md for the map.'

demo: ## Builds, then shows the main job against a real API on a real Postgres (DATABASE_URL: on yours)
	@scripts/ensure.sh rust cc $(if $(DATABASE_URL),,postgres)
	cargo run --release -p pacecar-sidecar -- demo

demo-node: ## The same with a Node service in the sample API's place: examples/node-api
	@scripts/ensure.sh rust cc node $(if $(DATABASE_URL),,postgres)
	npm --prefix examples/node-api ci --no-audit --no-fund --loglevel=error
	cargo run --release -p pacecar-sidecar -- demo -- node examples/node-api/server.mjs

test: ## Every test: units, documentation, architecture, end to end on a real Postgres, Redis, InfluxDB, Prometheus
	@scripts/ensure.sh rust cc postgres redis influxdb prometheus node k6 s3
	npm --prefix examples/node-api ci --no-audit --no-fund --loglevel=error
	cargo test --workspace --all-features
	npm --prefix sidecar/node ci --no-audit --no-fund --loglevel=error
	npm --prefix sidecar/node test --loglevel=error

soak: ## What takes the whole machine: a calm generator is valid, a starved one never (root); 200 kills leave nothing
	@scripts/ensure.sh rust cc postgres
	PACECAR_SOAK_KILLS=$(or $(SOAK_KILLS),200) cargo test -p pacecar-sidecar --test e2e -- --nocapture --test-threads 1 kills::
	cargo test -p pacecar-sidecar --test e2e -- --ignored --nocapture --test-threads 1 soak::
	cargo test -p pacecar --features engine --lib -- --ignored --nocapture tune::tests::statistics::soak

e2e: ## Against a real OpenTelemetry Collector and kube-apiserver, kustomize and Helm, built with Go (skipped where there is none)
	@scripts/ensure.sh rust cc
	@scripts/collector.sh
	@scripts/kubernetes.sh
	@scripts/deploy.sh

lint: ## Format, clippy, documentation, unused and too many dependencies
	@scripts/ensure.sh rust cc
	@scripts/lint.sh

bench: ## Requests per CPU-second side by side with k6, wrk and oha (BENCH_ARGS=--gate fails below what must hold)
	@scripts/ensure.sh rust cc python wrk
	benches/peers/run.sh $(BENCH_ARGS)

clean: ## Deletes target/, the tools that were installed there too
	cargo clean
