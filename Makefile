# No C compiler is needed, but for "race", and clang for "generate".
export CGO_ENABLED := 0

GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME := 60s
VERSION   = $(shell git describe --tags --always --dirty 2>/dev/null)
DATA     := demo/fashion-mnist
RUN      := demo/run
TAGS     :=
PYTHON   ?= python3
PEERS    :=
KIT      := bin/gpu-kit/run.sh
export OUT ?= bin/gpu
PHOTOS   := photos
CUDA     := $(EFFNET_CUDA_TOOLS)

.PHONY: build release image vet-other test test-full test-arm64 generate gpu-kit gpu-kit-here gpu-rehearsal test-gpu sanitize-gpu bench-gpu gpu-static race fuzz lint bench bench-peers bench-data demo demo-photos clean help

build: ## bin/effnet; TAGS=static omits CUDA, and needs no C library to run
	go build -tags '$(TAGS)' -trimpath -buildvcs=auto -o bin/effnet ./cmd/effnet

release: ## bin/release: archives for every system, bills of materials, SHA256SUMS; the same bits from one commit and one Go
	rm -rf bin/release
	go run ./tools/release

image: ## bin/release: OCI images, without a container engine; slim is made of Debian's packages (EFFNET_DEBIAN: a mirror or a folder)
	go run ./tools/image

vet-other: ## vet the code and its tests as built for macOS and Windows
	GOOS=darwin GOARCH=arm64 go vet ./...
	GOOS=windows GOARCH=amd64 go vet ./...

test: ## vet and every test; needs Go and nothing else
	go vet ./...
	go test -timeout 15m ./...

test-full: ## test without cached results, the commands also on the generic kernels, and what needs files outside the repository
	@echo 'EFFNET_SHARED names a folder with what the repository does not hold:'
	@echo '  data/imagenette-mini/{train,val}/CLASS/     photographs, for internal/data'
	@echo '  cases/images/{FILE,FILE.pillow.png}         files that went wrong elsewhere, and their'
	@echo '                                              pixels, for internal/data and internal/jpeg'
	@echo '  weights/efficientnet_lite0_dogs120.*        a trained network, for internal/checkpoint'
	@echo 'Where they are: EFFNET_PYTHON, a Python with tensorboard, for internal/report, and'
	@echo 'torch, torchvision, timm, efficientnet_pytorch, keras, h5py, onnx and onnxruntime,'
	@echo 'for internal/weights; and EFFNET_BROWSER,'
	@echo 'a Chromium (or one in PATH), for internal/report and internal/serve, which also wants'
	@echo 'npm and its registry, for axe-core. EFFNET_CUDA_LIBS, a folder with'
	@echo 'libnvrtc, or CUDA, for internal/backend/cuda. EFFNET_CUDA_TOOLS, the folder that'
	@echo 'tools/cuda_wheels.py makes, of NVIDIA'"'"'s compilers and headers from CUDA 12.0 to 13.5,'
	@echo 'for internal/backend/cuda too. EFFNET_DEBIAN, a mirror of Debian or a folder of the'
	@echo 'packages of tools/image/packages.sha256, for tools/image, which root may run whole.'
	@echo 'Without, these tests are skipped.'
	@test -d "$$EFFNET_SHARED" || { echo 'It is not set, or no folder: set it, or run "make test".'; exit 1; }
	@$(MAKE) --no-print-directory vet
	EFFNET_FAULTS=30 EFFNET_VARIANTS=1 EFFNET_COLD=1 go test -timeout 30m -count=1 ./...
	EFFNET_KERNELS=generic go test -timeout 30m -count=1 -run TestScripts ./cmd/effnet
	@if command -v qemu-aarch64-static >/dev/null; then $(MAKE) test-arm64; \
		else echo 'arm64 is skipped: install qemu-user-static for qemu-aarch64-static'; fi

test-arm64: ## the kernels for arm64 under qemu-aarch64-static: the backend's suite, and steps of training compared with PyTorch's
	GOARCH=arm64 go vet ./...
	GOARCH=arm64 go test -timeout 60m -count=1 -exec qemu-aarch64-static ./internal/backend/cpu/... ./internal/pixel ./internal/jpeg ./internal/optim ./internal/vm
	GOARCH=arm64 go test -timeout 60m -count=1 -exec qemu-aarch64-static -run 'PyTorch|Deterministic|AllocatesNothing' ./internal/model

generate: ## what go generate writes: the kernels' assembly (clang-19, lld-19, llvm-19), docs/settings.md and docs/commands.md
	go generate ./...

gpu-kit: ## bin/gpu-kit: everything to test effnet on a graphics card, for a machine without Go
	go run ./tools/gpukit -version '$(VERSION)'

gpu-rehearsal: gpu-kit ## the kit whole, on emulated libraries and without Go; needs gcc, g++; PYTHON with torch
	OUT=bin/rehearsal PYTHON='$(PYTHON)' tools/gpukit/rehearse.sh bin/gpu-kit

gpu-kit-here: # where there is no Go, the kit is one that was copied
	@if command -v go >/dev/null; then $(MAKE) gpu-kit; else test -x $(KIT); fi

test-gpu: gpu-kit-here ## the kit's stages on an NVIDIA GPU: every kernel, and training compared with the CPU's
	PYTHON='$(PYTHON)' $(KIT) only suite suite-bf16 pass network curves memory

sanitize-gpu: gpu-kit-here ## a training step under CUDA's compute-sanitizer
	PYTHON='$(PYTHON)' $(KIT) -budget 16m only memcheck racecheck initcheck

bench-gpu: gpu-kit-here ## the GPU's kernels against its peaks, and PyTorch compared with effnet: PYTHON
	PYTHON='$(PYTHON)' $(KIT) only bench peers ncu

gpu-static: ## docs/notes/gpu-static.md: the kernels as NVIDIA's compilers compile them, without a GPU: CUDA=DIR of tools/cuda_wheels.py
	@test -d "$(CUDA)" || { echo 'CUDA names no folder: make one with python3 tools/cuda_wheels.py DIR'; exit 1; }
	go run ./tools/gpustatic $(CUDA) > docs/notes/gpu-static.md

race: ## every test under the race detector; needs cgo and a C compiler
	@echo 'the race detector needs cgo: CGO_ENABLED=1 and a C compiler'
	CGO_ENABLED=1 go test -race -timeout 60m ./...

fuzz: ## every fuzz target for FUZZTIME (60s)
	@for pkg in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$pkg || exit 1; \
		done; \
	done

lint: ## golangci-lint (built on first use) and the imports each package may have
	go run $(GOLANGCI) run
	go test -run '^TestImports$$' ./internal

bench: ## every benchmark
	go test -run '^$$' -bench . -benchmem -timeout 60m ./...

bench-peers: build ## PyTorch and ONNX Runtime compared with effnet: PYTHON, PEERS='--rows infer-b0 --rounds 5'
	$(PYTHON) tools/bench_peers.py $(PEERS)

bench-data: build ## Pillow and torchvision compared with effnet's image reading: PYTHON, PHOTOS=DIR
	$(PYTHON) tools/bench_data.py $(PHOTOS)

demo: build ## train, evaluate and predict on Fashion-MNIST, all of it under demo/
	go run ./tools/demo fashion-mnist $(DATA)
	bin/effnet train $(DATA) --config configs/demo.yaml --out $(RUN) --exist-ok
	bin/effnet eval $(RUN)/best.safetensors $(DATA) --confusion $(RUN)/confusion.png
	bin/effnet predict $(RUN)/best.safetensors $(DATA)/val/ankle_boot/00000.png
	@echo
	@echo 'look at     $(RUN)/report.html, and $(RUN)/confusion.png: which clothes it confuses'
	@echo 'images      $(DATA)/{train,val}/CLASS/*.png'
	@echo 'checkpoint  $(RUN)/best.safetensors'
	@echo 'again       bin/effnet predict $(RUN)/best.safetensors IMAGE...'

demo-photos: build ## train a classifier of your photographs on pretrained weights, and try it: PHOTOS=DIR of train/CLASS and val/CLASS
	@test -d '$(PHOTOS)/train' && test -d '$(PHOTOS)/val' || { echo 'PHOTOS is $(PHOTOS), which has no folders train and val with a folder for each class:'; \
		echo 'name one that has, as Imagenette does: make demo-photos PHOTOS=imagenette2-160'; exit 1; }
	go run ./tools/demo lite0 demo/lite0.pth
	bin/effnet finetune demo/lite0.pth '$(PHOTOS)' --freeze head-only --cache-features --epochs 30 --out demo/photos --exist-ok
	photo=$$(find '$(PHOTOS)/val' -type f -not -name '.*' | sort | head -1) && \
		bin/effnet predict demo/photos/best.safetensors "$$photo" --cam demo/photos/seen.png
	@echo
	@echo 'look at     demo/photos/report.html, and demo/photos/seen.png: where it sees the class'
	@echo 'checkpoint  demo/photos/best.safetensors'
	@echo 'again       bin/effnet predict demo/photos/best.safetensors IMAGE...'

clean: ## remove bin/ and demo/
	rm -rf bin demo

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16
