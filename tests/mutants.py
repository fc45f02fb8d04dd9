"""Faults that the tests must find: each is put into a copy of the code, and its tests must then fail.

    python tests/mutants.py [TEXT]     (make test-mutants)

TEXT, part of a file's name, chooses some. The same tests must pass without a fault. Every fault was found by a review, or put in when its test was written.
Exit status 1 where one is not caught, or no longer has the code that it changes, or a test fails without one.
"""
# ruff: noqa: E501  (lines of code as they stand)

from __future__ import annotations

import importlib
import multiprocessing
import os
import shutil
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from shlex import split

import pytest
import warm_interpreter

ROOT = Path(__file__).resolve().parents[1]
COPIES = 2
LIMIT_S = 600
NOT_RUN = 70
DATA = "shared"
"""The development data's folder beside the checkout, where there is one."""
HEAVY = (
    "boto3",
    "kfp.local",
    "lpips",
    "mlflow",
    "pandas",
    "pydicom",
    "torchmetrics",
    "torchvision",
)
"""Imported once, for all: together they take longer than most of the tests."""
LEFT_OUT = {".git", ".venv", "runs", "mlruns", ".pytest_cache", ".hypothesis", ".gpu"}
"""What is no code in the checkout's own folder."""


@dataclass(frozen=True)
class Mutant:
    """A fault."""

    tests: str
    """Arguments of pytest that must find it."""
    file: str
    old: str
    """Text in the file; its first occurrence is replaced."""
    new: str


MUTANTS = [
    Mutant(tests, file, old, new)
    for tests, faults in {
        "tests/reporting/test_text_tables.py": [
            (
                "mammogan/reporting/runs_table.py",
                "if chosen := next((item for item in candidates if item.trial == evaluation.trial), None):",
                "if chosen := None:",
            ),
            (
                "mammogan/reporting/trial_table.py",
                "winner is not None and winner.trial == self.trial.trial",
                "winner is not None",
            ),
            ("mammogan/reporting/trial_table.py", "if result is None or not winner.wins:", "if result is None:"),
            ("mammogan/reporting/text_table.py", "self._width([*part, column]) > width", "False"),
            ("mammogan/reporting/text_table.py", "max(between or inside, key", "max(inside, key"),
        ],
        "tests/runs/test_pipeline_run.py": [
            ("mammogan/__init__.py", "_OF_RUNS = frozenset", "from mammogan import runs as _\n_OF_RUNS = frozenset"),
            ("mammogan/runs/pipeline_run.py", "and self._age_s() >= FRESH_S", ""),
            ("mammogan/commands/runs.py", 'out.with_name(f"{folder.name}_seed', 'out / (f"{folder.name}_seed'),
            ("mammogan/tracking/finding.py", 'order_by=["start_time DESC"]', 'order_by=["start_time ASC"]'),
        ],
        "tests/tracking/test_database.py -k caller_names": [
            ("mammogan/tracking/server.py", "    if named:\n", "    if False:\n"),
        ],
        "tests/launch/test_local.py -k 'as_printed or any_path'": [
            ("mammogan/launch/outcome.py", "[] if store.is_default(tracking_uri) else", "[] if True else"),
            ("mammogan/launch/mlflow_page.py", '"" if store.is_default(tracking_uri) else', '"" if True else'),
        ],
        "tests/launch/test_submit.py -k RunByName": [
            ("mammogan/launch/submitted.py", "run.pipeline_version_reference.pipeline_id == pipeline_id", "True"),
        ],
        "tests/test_console.py -k narrow": [
            ("mammogan/console.py", "table_column=Column(ratio=1, no_wrap=True)", "table_column=None"),
        ],
        "tests/data/test_picture_list.py -k another_patients_name": [
            ("mammogan/data/duplicates.py", "if len({image.spec.patient_id for image in group}) > 1:", "if False:"),
        ],
        "tests/test_device.py -k whose_seconds": [
            ("mammogan/device.py", 'not name.endswith((THREADS, "cpu"))', 'name.startswith("cuda")'),
        ],
        "tests/data/test_display.py -k Shutter": [
            ("mammogan/data/display.py", "shutter.hidden(dataset, stored.shape)", "None"),
            ("mammogan/data/display.py", "    background = padded | hidden", "    background = padded"),
            ("mammogan/data/display.py", '    if dataset.get("PresentationLUTSequence"):', "    if False:"),
            ("mammogan/data/functional_groups.py", '    "FrameDisplayShutterSequence": shutter.KEYWORDS,\n', ""),
            ("mammogan/data/shutter.py", "rows >= top", "rows > top"),
            ("mammogan/data/shutter.py", "<= radius**2", "< radius**2"),
            ("mammogan/data/shutter.py", "(column - 1, row - 1) for", "(column, row) for"),
            ("mammogan/data/shutter.py", "    if not shown.any():", "    if False:"),
            ("mammogan/data/shutter.py", "    if len(set(names)) != len(names):", "    if False:"),
            ("mammogan/data/shutter.py", "<= 2 * MOST_VERTICES or", "< 1e9 or"),
            ("mammogan/data/shutter.py", "any(abs(number) > FURTHEST for number in numbers)", "False"),
        ],
        "tests/test_error_texts.py tests/steps/test_errors.py -k 'name or told or called'": [
            ("mammogan/errors.py", "return error.errno is None", "return True"),
            ("mammogan/errors.py", "return _without_files(reason(error))", "return reason(error)"),
            ("mammogan/data/tables.py", "    errors.keep_private(name)\n", ""),
            (
                "mammogan/errors.py",
                'return dis.opname[place.tb_frame.f_code.co_code[place.tb_lasti]] == "RAISE_VARARGS"',
                "return True",
            ),
            ("mammogan/errors.py", '.partition(".")[0] != __package__', " is None"),
            ("mammogan/steps/ingest.py", "sees_names=True", "sees_names=False"),
            (
                "mammogan/tracking/ledger.py",
                "errors.anonymous_reason(error), errors.anonymous_traceback",
                "errors.anonymous_reason(error), trace",
            ),
        ],
        "tests/data/test_cbis_ddsm.py -k capitals": [
            ("mammogan/data/patient_name.py", "spellings[canonical(name)] for", "name for"),
            ("mammogan/data/cbis_ddsm.py", "patient_id=spelt[case.patient_id]", "patient_id=case.patient_id"),
        ],
        "tests/data/test_cbis_ddsm.py -k 'otherwise or alone or of_a_crop or any_spelling'": [
            ("mammogan/data/cbis_ddsm.py", "in names or case.canonical_mammogram in mammograms", "in names"),
            ("mammogan/data/cbis_ddsm.py", '"/".join(parts[start:])', "written"),
            ("mammogan/data/cbis_ddsm.py", "return case.crop in crops", "return False"),
            ("mammogan/data/cbis_ddsm.py", "' '.join(kind.casefold().split())", "kind"),
            ("mammogan/data/tables.py", 'text.partition(".")', '(text, "", "")'),
        ],
        "tests/data/test_picture_list.py -k 'any_spelling or may_mean or its_name or cannot_tell'": [
            ("mammogan/data/picture_list.py", 'if not (meant := listing.meant(row["file"])):', "if not (meant := ()):"),
            ("mammogan/data/picture_list.py", 'cbis_ddsm.abnormality_of(row["abnormality_type"], number)', "number"),
            ("mammogan/data/listing.py", 'name.strip().replace("\\\\", "/")', "name"),
        ],
        "tests/data/test_picture.py -k byte_order": [
            ("mammogan/data/tiff.py", 'and is_wide and bytes(content[:2]) == b"MM"', "and False"),
        ],
        "tests/data/test_split.py -k one_patient": [
            ("mammogan/data/patient_name.py", 'unicodedata.normalize("NFKC", patient_id)', "patient_id"),
            ("mammogan/data/patient_name.py", "whole[1] if whole else plain", "plain"),
        ],
        "tests/commands/test_purge.py -k never_stored": [
            ("mammogan/tracking/purge.py", "and stored.had_documents(run)", ""),
        ],
        "tests/data/test_tables.py -k 'next_row or spreadsheets'": [
            ("mammogan/data/tables.py", "map(str.rstrip, fields)", "map(str.strip, fields)"),
            ("mammogan/data/tables.py", "for field in fields[:-1])", "for field in fields)"),
            ("mammogan/data/tables.py", "and number < last)", ")"),
            ("mammogan/data/tables.py", "if len(_filled(fields)) > columns:", "if len(fields) > columns:"),
        ],
        "tests/tracking/test_relocation.py -k wrote_over": [
            ("mammogan/tracking/runs.py", "    mlflow.set_tag(run_id, SHA256[name], ", "    str("),
            ("mammogan/tracking/trial_log.py", "log_document(mlflow, run_id, record", "mlflow.log_text(run_id, record"),
        ],
        "tests/features/test_saved.py -k 'values or memory or disks'": [
            ("mammogan/features/weights.py", "(ValueError, zipfile.BadZipFile)", "ValueError"),
            ("mammogan/features/saved.py", "if any(tensor.is_meta for", "if False and any(tensor.is_meta for"),
            ("mammogan/features/saved.py", "and id(item) not in seen", "and len(seen) < 9999"),
            ("mammogan/features/saved.py", "        if _is_short_of(2 * size):\n", "        if True:\n"),
            ("mammogan/features/saved.py", "        if _is_short_of(2 * size):\n", "        if False:\n"),
        ],
        "tests/test_addresses.py -k not_reported": [
            ("mammogan/addresses.py", 'return _STRAY_SECRET.sub(r"\\1***", ', "return str("),
            ("mammogan/addresses.py", 'without = _STRAY_SIGN_IN.sub("***@", ', "without = str("),
        ],
        "tests/data/test_s3.py -k replaced": [
            ("mammogan/data/ingest.py", "sources.listed(located.jobs)", "tuple(located.jobs)"),
        ],
        "tests/commands/test_purge.py -k 'copy or moved_away'": [
            ("mammogan/commands/purge.py", "    local.follow(own.parent)\n", "    pass\n"),
            ("mammogan/commands/purge.py", "    _require_found(holdings)\n", ""),
        ],
        "tests/data/test_tables.py -k 'quote or several_lines'": [
            (
                "mammogan/data/tables.py",
                "separator in field or (not field.strip() and number < last)",
                "separator in field",
            ),
            ("mammogan/data/tables.py", "header and _is_torn(fields, len(header))", "False"),
        ],
        "tests/data/test_split.py -k spelling": [("mammogan/data/split.py", "{canonical(patient)}", "{patient}")],
        "tests/data/test_patients.py -k spelling": [("mammogan/data/patients.py", "canonical(text)", "text")],
        "tests/data/test_dataset.py -k another_part": [
            ("mammogan/data/dataset.py", '(frame["patient_id"].map(canonical) for', '(frame["patient_id"] for'),
        ],
        "tests/registry/test_reevaluation.py -k another_split": [
            ("mammogan/registry/reevaluation.py", "canonical(source.patient_id) for", "source.patient_id for"),
        ],
        "tests/data/test_picture_list.py -k picture_without_a_role": [
            (
                "mammogan/data/picture_list.py",
                '            doubted.append(ListedImage(cbis_ddsm.in_doubt(image_id, "it has no role"), file))\n',
                "",
            ),
        ],
        "tests/test_config.py -k some_generator": [
            ("mammogan/config.py", "_require(0 <= seed < SEEDS, argument", "_require(0 <= seed, argument"),
        ],
        "tests/data/test_cbis_ddsm.py -k 'no_row_can or leaves_the_other'": [
            (
                "mammogan/data/cbis_ddsm.py",
                "        if image := places.doubted(images):\n",
                "        if image := None:\n",
            ),
            ("mammogan/data/cbis_ddsm.py", "map(_first_part, (image, crop, mask))", "map(_first_part, (image,))"),
        ],
        "tests/data/test_display.py -k FunctionalGroups": [
            ("mammogan/data/dicom.py", "        functional_groups.raise_to_top(dataset)\n", ""),
            ("mammogan/data/functional_groups.py", "elif above != value:", "elif False:"),
            ("mammogan/data/functional_groups.py", ', "VOILUTSequence"),', "),"),
        ],
        "tests/commands/test_purge.py -k only_listed": [
            ("mammogan/commands/purge.py", "    if keep:\n", "    if False:\n"),
            ("mammogan/tracking/relocation.py", "        follow(copy, artifacts)\n", ""),
        ],
        "tests/synthesis/test_release.py -k wrote_over": [
            ("mammogan/tracking/findings.py", "    if result.is_file():\n", "    if False:\n"),
        ],
        "tests/data/test_cbis_ddsm.py -k abnormality_that_it_names": [
            (
                "mammogan/data/cbis_ddsm.py",
                "case.crop in crops or not meant.isdisjoint(abnormalities)",
                "case.crop in crops",
            ),
            (
                "mammogan/data/cbis_ddsm.py",
                'for abnormality in (case.abnormality, "")}',
                "for abnormality in (case.abnormality,)}",
            ),
            ("mammogan/data/cbis_ddsm.py", "and (places.abnormality or not (places.crop or places.mask))", ""),
        ],
        "tests/tracking/test_database.py -k half_way": [
            ("mammogan/tracking/database.py", "asked(lambda: new_database.make(file), uri)", "pass"),
            ("mammogan/tracking/new_database.py", "            left.unlink(missing_ok=True)\n", "            pass\n"),
        ],
        "tests/tracking/test_database.py -k at_once": [
            ("mammogan/tracking/new_database.py", "    with lock.folder(file.parent, fcntl.LOCK_EX):", "    if True:"),
            ("mammogan/tracking/new_database.py", "if file.exists() and file.stat().st_size:", "if file.exists():"),
        ],
        "tests/launch/test_local.py -k 'own_among or earlier_version'": [
            ("mammogan/launch/local.py", 'f"{name}-{uuid.uuid4().hex[:8]}"', "name"),
            ("mammogan/launch/local.py", "name if (folder / STATUS).is_file() else", ""),
        ],
        "tests/tracking/test_lineage.py -k own_parents": [
            (
                "mammogan/tracking/runs.py",
                "if not above or above in seen:",
                "if not above or above == run.info.run_id:",
            ),
        ],
        "tests/synthesis/test_release.py -k wrote_over_is": [
            ("mammogan/tracking/stored.py", 'if name.startswith(f"{FINDINGS}/")', "if False"),
        ],
        "tests/tracking/test_at_once.py": [
            (
                "mammogan/tracking/clients.py",
                "            return request()\n\n\nclass D",
                "            raise\n\n\nclass D",
            ),
            ("mammogan/tracking/clients.py", "super(DatabaseClient, self)._ask(request)", "request()"),
            ("mammogan/tracking/server.py", "return ServerClient(", "return MlflowClient("),
        ],
        "tests/tracking/test_database.py -k looked_at_before": [
            (
                "mammogan/tracking/server.py",
                "return asked(lambda: DatabaseClient(tracking_uri=uri), uri)",
                "return DatabaseClient(tracking_uri=uri)",
            ),
        ],
        "tests/models/test_generator.py -k without_memory": [
            ("mammogan/features/saved.py", "        if _is_short_of(2 * size):\n            raise\n", ""),
            ("mammogan/models/generator.py", "    except OUT_OF_MEMORY:\n        raise\n", ""),
        ],
        "tests/models/test_generator.py -k no_memory": [
            ("mammogan/models/generator.py", "            require_shapes(", "            (lambda *_: None)("),
        ],
        "tests/models/test_critic_file.py -k another_critic": [
            ("mammogan/models/critic_file.py", "                require_shapes(", "                (lambda *_: None)("),
        ],
        "tests/data/test_tables.py tests/data/test_picture_list.py": [
            ("mammogan/data/tables.py", "strict=True, skipinitialspace", "strict=False, skipinitialspace"),
            (
                "mammogan/data/tables.py",
                "        if self.fault:\n            raise ValueError(self.fault)\n        absent",
                "        absent",
            ),
        ],
        "tests/data/test_tables.py": [
            (
                "mammogan/data/tables.py",
                "return any(separator in field or",
                "return False and any(separator in field or",
            ),
            ("mammogan/data/tables.py", "if len(values) > len(header) and any(values[len(header) :]):", "if False:"),
            ("mammogan/data/tables.py", "if encoding and any(LOST in value for value in values):", "if False:"),
            ("mammogan/data/tables.py", "encoding = _unmarked(content[:16])", 'encoding = "utf-8"'),
            ("mammogan/data/tables.py", "return named[1], 1", "return named[1], 0"),
        ],
        "tests/data/test_image_folder.py": [
            ("mammogan/data/picture.py", "storage.read_bytes(str(path))", "path.read_bytes()"),
            ("mammogan/data/image_folder.py", "if not is_companion(", "if not str("),
        ],
        "tests/data/test_picture_list.py": [
            ("mammogan/data/sources.py", "(*listed.images, *listed.doubted)", "listed.images"),
            ("mammogan/data/ingest.py", "elif result.image_id not in doubted:", "else:"),
            (
                "mammogan/data/duplicates.py",
                "    if doubted := [image for image in group if image.spec.doubt]:",
                "    if doubted := []:",
            ),
            ("mammogan/data/split.py", 'return bool((frame["split"] != "").any())', "return False"),
            ("mammogan/data/picture_list.py", "elif given and not any(each.split for each in known):", "elif False:"),
            ("mammogan/data/picture_list.py", '"view", "subset", "split"):', '"view", "subset"):'),
            ("mammogan/data/picture_list.py", "    if by_patient and given:", "    if False:"),
            ("mammogan/data/duplicates.py", "if len({image.spec.split for image in group}) > 1:", "if False:"),
            ("mammogan/data/picture_list.py", "        if len(labels) > 1:", "        if len(labels) > 9:"),
            ("mammogan/data/picture_list.py", "        if len(said) > 1:", "        if len(said) > 9:"),
            ("mammogan/data/picture_list.py", "        if unusable or unlike:", "        if unlike or not known:"),
            (
                "mammogan/data/picture_list.py",
                "pathology=cbis_ddsm.deciding({each.pathology for each in findings}),",
                "pathology=findings[0].pathology,",
            ),
            ("mammogan/data/duplicates.py", "if len({image.spec.label for image in group}) > 1:", "if False:"),
            (
                "mammogan/data/duplicates.py",
                'keys = (f"source {image.conversion.source_sha256}", f"pixels {image.conversion.sha256}")',
                'keys = (f"source {image.conversion.source_sha256}",)',
            ),
            ("mammogan/data/picture_list.py", "if shared[name.casefold()] > 1 else name", "if False else name"),
            (
                "mammogan/data/worker.py",
                "return _whole(storage.inside(Path(root), name))",
                "return _whole(Path(root, name))",
            ),
            ("mammogan/data/quarantine.py", "map(shielded, astuple(row))", "astuple(row)"),
            ("mammogan/data/manifest.py", "table[name].map(shielded)", "table[name]"),
            ("mammogan/data/manifest.py", "[unshielded(row[column]) for", "[row[column] for"),
            ("mammogan/data/listing.py", 'written.replace("\\\\", "/")', "written"),
            ("mammogan/data/listing.py", "if len(spelt) > 1:", "if False:"),
        ],
        "tests/data/test_cbis_ddsm.py": [
            ("mammogan/data/cbis_ddsm.py", "if name not in known]", "if name in known]"),
            ("mammogan/data/cbis_ddsm.py", "in (*abnormalities.values(), *crops.values())", "in (*crops.values(),)"),
            (
                "mammogan/data/cbis_ddsm.py",
                "in (*abnormalities.values(), *crops.values())",
                "in (*abnormalities.values(),)",
            ),
            ("mammogan/data/cbis_ddsm.py", "if len({case.mammogram for case in group}) > 1:", "if False:"),
            ("mammogan/data/cbis_ddsm.py", "in (*images.values(), *crops.values())", "in images.values()"),
            ("mammogan/data/cbis_ddsm.py", 'not case.subset.endswith("-test"), ', "True, "),
            ("mammogan/data/cbis_ddsm.py", 'return name.partition("_")[2]', "return name"),
            ("mammogan/data/idc.py", "if first.url != entry.url:", "if False:"),
        ],
        "tests/data/test_tables.py tests/data/test_picture_list.py tests/data/test_cbis_ddsm.py": [
            ("mammogan/data/listing.py", 'unicodedata.normalize("NFC", text)', "text"),
            ("mammogan/data/listing.py", 'unicodedata.category(character) == "Zs"', "False"),
            (
                "mammogan/data/cbis_ddsm.py",
                "(*case.mammogram, _without_subset(case.image))",
                "(*case.mammogram, case.image)",
            ),
        ],
        "tests/data/test_companions.py": [
            ("mammogan/data/sources.py", "labels or source, bool(labels)", "labels or source, True"),
            ("mammogan/data/listing.py", 'return any(part.startswith(".") or part == "__MACOSX"', "return any(False"),
            (
                "mammogan/data/worker.py",
                "if errors and not any(_may_be(job, earlier) for earlier in readable):",
                "if errors:",
            ),
            (
                "mammogan/data/worker.py",
                "if errors and not any(_may_be(job, earlier) for earlier in readable):",
                "if errors and not readable:",
            ),
            (
                "mammogan/data/finished.py",
                '"source_uid": conversion.source_uid,',
                '"source_uid": spec.series_uids[0] if spec.series_uids else "",',
            ),
            ("mammogan/storage.py", "within = target is None or target.is_relative_to(home)", "within = True"),
            (
                "mammogan/storage.py",
                "elif stat.S_ISDIR(status.st_mode) and within",
                "elif stat.S_ISDIR(status.st_mode) and target is None",
            ),
            ("mammogan/data/listing.py", "if not is_text(name)))", "if False))"),
            ("mammogan/data/listing.py", "return not suffix or suffix.isdecimal()", "return False"),
        ],
        "tests/data/test_companions.py tests/data/test_picture_list.py": [
            (
                "mammogan/storage.py",
                "    if stat.S_ISREG(mode):\n        return open",
                "    if True:\n        return open",
            ),
        ],
        "tests/registry/test_overwritten.py": [
            ("mammogan/registry/contents.py", "if FILES in tags and (sha256", "if not FILES and (sha256"),
            (
                "mammogan/registry/promotion.py",
                '        if not force:\n            raise AlteredError(f"champion',
                '        if False:\n            raise AlteredError(f"champion',
            ),
            (
                "mammogan/registry/promotion.py",
                '        contents.fetch(model, version, Path(folder, "model"), tracking_uri)\n',
                "        pass\n",
            ),
            ("mammogan/steps/synthesise.py", "        registry.require_snapshot(winner, name, version)\n", ""),
            (
                "mammogan/steps/audit.py",
                "        registry.require_critic(critic, context.settings.select.model_name, version)\n",
                "",
            ),
        ],
        "tests/registry/test_serving.py -k export_command": [
            ("mammogan/registry/contents.py", "!= tags[SNAPSHOT]", "== 0"),
            ("mammogan/registry/contents.py", "if SNAPSHOT not in tags:", "if False:"),
            ("mammogan/registry/contents.py", "or not (sign or alias.isdecimal())", ""),
        ],
        "tests/features/test_extractor.py": [
            ("mammogan/features/exported.py", "and (expected or not is_onnx)", "and expected"),
            ("mammogan/features/exported.py", "and (expected or not is_onnx)", "and not is_onnx and not expected"),
            (
                "mammogan/features/extractor.py",
                "if sha256 == INCEPTION_SHA256:",
                "if sha256.startswith(INCEPTION_SHA256[:8]):",
            ),
            (
                "mammogan/features/extractor.py",
                "INCEPTION_SHA256, progress=False",
                "INCEPTION_SHA256[:8], progress=False",
            ),
            ("mammogan/features/extractor.py", "return storage.fetch(given, sha256)", "return storage.fetch(given)"),
            (
                "mammogan/features/extractor.py",
                "storage.fetch(given, expected) if given",
                "storage.fetch(given) if given",
            ),
            ("mammogan/features/extractor.py", "return storage.fetch(str(path), sha256)", "return path"),
            ("mammogan/features/extractor.py", "if available or sha256 else", "if available else"),
        ],
        "tests/test_addresses.py": [
            ("mammogan/addresses.py", 'f"{match[1]}?***" if _SECRET.search(query) else match[0]', "match[0]"),
            ("mammogan/launch/arguments.py", "        require_public(name, value)\n", "        pass\n"),
            (
                "mammogan/commands/options.py",
                "print(masked(json.dumps(value, indent=2, allow_nan=False)))",
                "print(json.dumps(value, indent=2, allow_nan=False))",
            ),
            ("mammogan/features/densenet.py", "urllib.parse.urlsplit(location).path", "location"),
        ],
        "tests/reader_study/test_make.py": [
            (
                "mammogan/reader_study/pictures.py",
                "of_patient.setdefault(patient, [])",
                "of_patient.setdefault(file, [])",
            ),
            ("mammogan/reader_study/pictures.py", "    _check_sizes([*reals, *fakes])\n", ""),
            ("mammogan/reader_study/pictures.py", "    _check_copies(reals, fakes)\n", ""),
            (
                "mammogan/reader_study/pictures.py",
                "pictures.setdefault(candidate.sha256, candidate)",
                "pictures.setdefault(source.name, candidate)",
            ),
            ("mammogan/reader_study/assembly.py", "    pairs.sort(key=lambda pair: pair[0].case)\n", ""),
            ("mammogan/reader_study/assembly.py", "default_rng(int.from_bytes(secret))", "default_rng(0)"),
            (
                "mammogan/reader_study/assembly.py",
                "secret = secrets.token_bytes(SECRET_BYTES)",
                'secret = b"x" * SECRET_BYTES',
            ),
            ("mammogan/reader_study/assembly.py", "        folder.chmod(0o700)\n", ""),
            ("mammogan/reader_study/assembly.py", "        (folder / page.FILE).chmod(0o600)\n", ""),
            ("mammogan/reader_study/assembly.py", 'if ":/" in str(out):', "if False:"),
            (
                "mammogan/reader_study/order.py",
                "np.concatenate([first, head]), middle, np.concatenate([second, tail])",
                "np.concatenate([second, head]), middle, np.concatenate([first, tail])",
            ),
            (
                "mammogan/reader_study/templates/page.html",
                "style-src {{ style_hash | safe }}",
                "style-src 'unsafe-inline'",
            ),
        ],
        "tests/reader_study/test_answers.py": [
            ("mammogan/reader_study/answers.py", "        _check_study(path, sheet, key)\n", ""),
            (
                "mammogan/reader_study/answers.py",
                "if sheet.identity == earlier.identity:",
                "if sheet.reader == earlier.reader:",
            ),
            ("mammogan/reader_study/answers.py", "if sheet.answers == earlier.answers:", "if False:"),
            ("mammogan/reader_study/answers.py", "if len(set(cases)) < len(cases):", "if False:"),
            ("mammogan/reader_study/answers.py", "or not self.reader.isprintable()", ""),
            (
                "mammogan/reader_study/scoring.py",
                "missing=len(key.first) - answered",
                "missing=len(key.cases) - answered",
            ),
            ("mammogan/reader_study/key.py", "secret: str = field(repr=False)", "secret: str"),
        ],
        "tests/reader_study/test_answers.py -k damaged": [
            ("mammogan/codec.py", 'raise ValueError(f"{where}: {error}") from error', "raise"),
        ],
        "tests/reader_study/test_rating_statistics.py": [
            ("mammogan/reader_study/accuracy.py", 'method="exact"', 'method="wilson"'),
            (
                "mammogan/reader_study/accuracy.py",
                "(1 - confidence) / 2, images, GUESSING)) + 1",
                "1 - confidence, images, GUESSING)) + 1",
            ),
            (
                "mammogan/statistics.py",
                "[these, others], axis=-1), axis=-1)",
                "[these, others], axis=-1), axis=-1, method='max')",
            ),
            (
                "mammogan/reader_study/roc.py",
                "Variance(float(side.var(ddof=1)) / len(side), len(side) - 1) for side in (above, below)",
                "Variance(float(side.var(ddof=1)) / len(side), len(side) - 1) for side in (above,)",
            ),
            (
                "mammogan/reader_study/agreement.py",
                "first.mean() * second.mean() + (1 - first.mean()) * (1 - second.mean())",
                "0.5",
            ),
            ("mammogan/reader_study/agreement.py", "counts * (counts - 1)", "counts * counts"),
            ("mammogan/reader_study/agreement.py", "    if all_images.observed == 1:\n", "    if False:\n"),
            (
                "mammogan/reader_study/pooling.py",
                "draws = (_weights(readers, rng) * by_images).sum(1) / readers",
                "draws = by_images.mean(1)",
            ),
            ("mammogan/reader_study/pooling.py", "np.cumsum(below, axis=2) - below / 2", "np.cumsum(below, axis=2)"),
        ],
        "tests/data/test_descriptors.py": [
            (
                "mammogan/data/descriptors.py",
                'return said.pop() if len(said) == 1 else ""',
                'return min(said, default="")',
            ),
            ("mammogan/data/descriptors.py", '("density", "breast_density")', '("density",)'),
            ("mammogan/data/picture_list.py", "set(manifest.REQUIRED) <=", "set(manifest.COLUMNS) <="),
            ("mammogan/data/duplicates.py", "kept.append(_described(first, group))", "kept.append(first)"),
            ("mammogan/data/picture_list.py", "one.abnormality or one.kind", "one.abnormality"),
        ],
        "tests/metrics/test_subgroup_metrics.py": [
            (
                "mammogan/metrics/subgroups.py",
                "among[patients[:, None] == patients] = np.nan",
                "np.fill_diagonal(among, np.nan)",
            ),
            ("mammogan/metrics/subgroups.py", "excess = scores.fake - scores.real", "excess = scores.fake"),
            ("mammogan/metrics/subgroups.py", "order[np.sort(first)[: len(first) // 2]]", "order[: len(first) // 2]"),
            (
                "mammogan/metrics/subgroups.py",
                "np.where(own, np.inf, known.real[np.ix_(asked, asked)])",
                "known.real[np.ix_(asked, asked)]",
            ),
            ("mammogan/metrics/subgroups.py", "left = np.where(images, 0.0, np.nan)", "left = np.zeros(len(patients))"),
        ],
        "tests/evaluation/test_subgroup_fidelity.py": [
            (
                "mammogan/evaluation/subgroups.py",
                "holm([each.below for each in tests])",
                "[each.below for each in tests]",
            ),
            (
                "mammogan/evaluation/subgroups.py",
                "holm([each.below for each in tests])",
                "holm([each.above for each in tests])",
            ),
            ("mammogan/evaluation/subgroups.py", "(others, metrics.FEWEST_PATIENTS,", "(others, 0,"),
            ("mammogan/data/subgroups.py", "len(set(patients[members].tolist()))", "int(members.sum())"),
        ],
        "tests/utility/test_subgroup_utility.py": [
            ("mammogan/utility/subgroups.py", "scores[name][:, group.members], part)", "scores[name], test)"),
            (
                "mammogan/utility/subgroups.py",
                "if min(counts) >= FEWEST_PATIENTS:",
                "if sum(counts) >= FEWEST_PATIENTS:",
            ),
            ("mammogan/utility/blocks.py", "held_out.patients, grouping(held_out))", "held_out.patients)"),
        ],
        "tests/features/test_self_supervised.py": [
            (
                "mammogan/features/self_supervised.py",
                "InterpolationMode.BILINEAR, (0.228",
                "InterpolationMode.BILINEAR, (0.229",
            ),
            ("mammogan/features/self_supervised.py", "require_shapes(wanted, state)", "pass"),
            (
                "mammogan/features/self_supervised.py",
                "transforms.center_crop(resized, [CROP])",
                "transforms.resize(resized, [CROP, CROP])",
            ),
        ],
        "tests/evaluation/test_winner.py": [
            ("mammogan/evaluation/winner.py", "blank.latent_seed, config.batch_size", "config.seed, config.batch_size"),
            ("mammogan/evaluation/incumbents.py", "% SEEDS", "% SEEDS + SEEDS"),
            ("mammogan/evaluation/winner.py", "RealImages.of(real.held_out)", "RealImages.of(real.test)"),
            (
                "mammogan/evaluation/winner.py",
                "measure_subgroups(real.held_out, reals.main",
                "measure_subgroups(real.train, reals.sets[TRAIN]",
            ),
            ("mammogan/evaluation/winner.py", "advance, main=TEST)", "advance)"),
            ("mammogan/evaluation/winner.py", "if test_set.patients < FEWEST_FOR_INTERVAL:", "if not test_set.images:"),
            ("mammogan/evaluation/incumbents.py", "digest([role, seed])", "digest([seed])"),
            ("mammogan/data/dataset.py", ".without_patients_of(self.validation)", ""),
            (
                "mammogan/data/manifest.py",
                'frame["source_sha256"].where(frame["source_sha256"] != "", frame["sha256"])',
                'frame["sha256"]',
            ),
            (
                "mammogan/evaluation/image_sources.py",
                "reals.held_out_validation",
                "reals.validation",
            ),
        ],
        "tests/selection/test_pairing.py": [
            (
                "mammogan/selection/pairing.py",
                "if any(item.low is not None for item in measured):",
                "if any(measured):",
            ),
            (
                "mammogan/selection/comparison.py",
                "against, _ = ranking_pairing(finished, settings)",
                'against = "train"',
            ),
            ("mammogan/selection/ranking.py", "        against_because=because,\n", ""),
        ],
        "tests/steps/test_evaluate_winner.py": [
            (
                "mammogan/steps/evaluate_winner.py",
                "count = looks.look(context.parent_id, test_set.digest)",
                "count = looks.count(test_set.digest)",
            ),
            ("mammogan/tracking/looks.py", "everywhere, tags, ViewType.ALL", "everywhere, tags"),
            ("mammogan/tracking/looks.py", "    if earlier != digest:\n", "    if False:\n"),
            ("mammogan/tracking/ledger.py", "    if progress.failure is not None:\n", "    if False:\n"),
            ("mammogan/registry/promotion.py", "return [audited, measured, *_better", "return [audited, *_better"),
            ("mammogan/registry/versions.py", "        notes.write_result(name, number, measured, tracking_uri)\n", ""),
        ],
        "tests/tracking/test_points.py": [
            (
                "mammogan/tracking/points.py",
                "Metric(name, value, _after_all(mlflow, run, name), step)",
                "Metric(name, value, __import__('time').time_ns() // 1_000_000, step)",
            ),
            (
                "mammogan/tracking/points.py",
                "time_ms = mlflow.get_run(run_id).info.start_time",
                "time_ms = __import__('time').time_ns() // 1_000_000",
            ),
            ("mammogan/tracking/points.py", "    if name not in run.data.metrics:\n", "    if True:\n"),
        ],
        "tests/tracking/test_looks.py": [
            (
                "mammogan/tracking/looks.py",
                'mlflow.set_tag(run_id, f"{EARLIER_TEST_SET}{earlier}", MEASURED)',
                'look_by_hand(run_id, earlier, "earlier", tracking_uri)',
            ),
            ("mammogan/tracking/looks.py", "return len(set(looked))", "return len(looked)"),
            ("mammogan/tracking/looks.py", "PARENT: parent_id, **key}", "PARENT: parent_id, TEST_SET: digest, **key}"),
            ("mammogan/tracking/looks.py", "            mlflow.delete_run(twin.info.run_id)\n", "            pass\n"),
        ],
        "tests/reporting/test_claim.py": [
            ("mammogan/reporting/claim.py", "if record.data is None or record.config is None:", "if False:"),
            ("mammogan/reporting/claim.py", "    if not shared:\n", "    if True:\n"),
            ("mammogan/reporting/claim.py", "if len(config.seeds) < 2:", "if False:"),
            ("mammogan/reporting/claim.py", "    if result.unmeasured is not None:\n", "    if False:\n"),
        ],
        "tests/reporting/test_markdown.py": [
            (
                "mammogan/reporting/card.py",
                "(data.whole.source, data.whole.subset, data.data_digest))",
                "(data.whole.source, '', data.data_digest)); subset = data.whole.subset",
            ),
            ("mammogan/reporting/card.py", "if kinds & OF_CBIS_DDSM:", "if kinds:"),
            ("mammogan/reporting/card.py", 'if "phantom" in kinds:', "if False:"),
            (
                "mammogan/reporting/findings.py",
                "{item.outcome.words}: {plain(item.why)}",
                "{item.outcome.words}: {item.why}",
            ),
            ("mammogan/reporting/markdown.py", '" ".join(text.split())', "text"),
            ("mammogan/reporting/pages.py", "autoescape=True", "autoescape=False"),
        ],
        "tests/steps/test_finish.py -k never_opened": [
            ("mammogan/steps/finish.py", 'pages.message("No report", errors.reason(error))', "str(error).encode()"),
        ],
        "tests/training/test_trial.py -k finished_record": [
            ("mammogan/training/trial_folder.py", "            if there != here:", "            if False:"),
            ("mammogan/training/trial_folder.py", "if result.status is not TrialStatus.FINISHED:", "if False:"),
        ],
        "tests/test_console.py -k brackets": [
            ("mammogan/console.py", "highlight=False, markup=False", "highlight=False"),
            (
                "mammogan/console.py",
                'TextColumn("{task.description}", markup=False)',
                'TextColumn("{task.description}")',
            ),
            (
                "mammogan/console.py",
                'TextColumn("{task.fields[note]}", markup=False,',
                'TextColumn("{task.fields[note]}",',
            ),
        ],
        "tests/test_config.py -k 'overrides'": [
            (
                "mammogan/config.py",
                '        if not sign:\n            raise ValueError(f"settings=',
                '        if sign is None:\n            raise ValueError(f"settings=',
            ),
            ("mammogan/config.py", "return shlex.join(f", 'return " ".join(f'),
        ],
        "tests/test_results.py -k deep": [
            ("mammogan/codec.py", "except (ValueError, RecursionError) as error", "except ValueError as error"),
            ("mammogan/ledger.py", "AttributeError, RecursionError)", "AttributeError)"),
        ],
        "tests/launch/test_schedule.py -k 'alias or nesting or large_value'": [
            ("mammogan/launch/schedule/entries.py", "_unfolded(node, {}) > MOST_VALUES", "_unfolded(node, {}) < 0"),
            (
                "mammogan/launch/schedule/entries.py",
                "    except RecursionError as error:\n",
                "    except MemoryError as error:\n",
            ),
            (
                "mammogan/launch/schedule/entries.py",
                "{name}={reprlib.repr(value)}: give a value",
                "{name}={value!r}: give a value",
            ),
        ],
        "tests/commands/test_options.py -k seed": [
            ("mammogan/commands/options.py", "        config.require_seed(option.opts[0], value)\n", "        pass\n"),
            ("mammogan/commands/runs.py", "typer.Option(callback=a_seed, help", "typer.Option(help"),
            ("mammogan/commands/train.py", "typer.Option(callback=a_seed, help", "typer.Option(help"),
            ("mammogan/commands/synthetic.py", "typer.Option(callback=a_seed, help", "typer.Option(help"),
            ("mammogan/commands/reader_study.py", "typer.Option(callback=a_seed, help", "typer.Option(help"),
        ],
        "tests/registry/test_registry.py -k 'out_of_range or no_whole_number'": [
            ("mammogan/serving.py", '    require_seed("seed", seed)\n', ""),
            (
                "mammogan/serving.py",
                "if isinstance(value, float) and value.is_integer():",
                "if isinstance(value, float):",
            ),
            ("mammogan/serving.py", "isinstance(value, bool) or not", "not"),
        ],
        "tests/training/test_trial.py -k no_seed": [
            ("mammogan/training/trial.py", '    require_seed("seed", trial.seed)\n', ""),
        ],
        "tests/test_config.py -k no_study": [
            ("mammogan/config.py", "_require(2 <= self.seeds <= MOST_BLOCKS,", "_require(2 <= self.seeds,"),
        ],
        "tests/steps/test_audit_step.py -k last_seed": [
            ("mammogan/steps/audit.py", "(settings.synthesise.seed + 1) % SEEDS", "settings.synthesise.seed + 1"),
        ],
        "tests/launch/test_readiness.py -k 'network or program'": [
            (
                "mammogan/launch/readiness.py",
                "                require_usable(extractor, side)\n",
                "                pass\n",
            ),
            ("mammogan/features/extractor.py", "for count in (2, 1):", "for count in (1, 1):"),
            ("mammogan/features/extractor.py", "for count in (2, 1):", "for count in (2, 2):"),
            ("mammogan/features/extractor.py", "        if not bool(features.isfinite().all()):", "        if False:"),
            ("mammogan/features/extractor.py", "    if widths[0] != widths[1]:", "    if False:"),
            ("mammogan/features/extractor.py", "text if len(text) <= LONGEST_REASON", "text if True"),
            ("mammogan/features/exported.py", "or shape[0] != count or", "or"),
            ("mammogan/features/exported.py", " or shape[2:] not in ((), (1, 1))", ""),
            (
                "mammogan/features/exported.py",
                "    options.log_severity_level = 4",
                "    options.log_severity_level = 2",
            ),
        ],
        "tests/training/test_trial.py -k 'finished_record or does_not_name or with_patience'": [
            ("mammogan/training/trial_folder.py", "            if name in names:", "            if True:"),
            ("mammogan/training/trial_folder.py", '            ("epochs", result.epochs, train.epochs),\n', ""),
            (
                "mammogan/training/trial_folder.py",
                "if wrong := _unlike_its_settings(result, train):",
                "if wrong := False:",
            ),
            (
                "mammogan/training/trial_folder.py",
                "    if missing := sorted(promised - there):",
                "    if missing := []:",
            ),
            (
                "mammogan/training/trial_folder.py",
                "    if foreign := sorted(there - promised):",
                "    if foreign := []:",
            ),
            ("mammogan/training/trial_folder.py", "if done != train.epochs and not stopped_early:", "if False:"),
            ("mammogan/training/trial_folder.py", " and has_snapshot(done, train)\n", "\n"),
        ],
        "tests/training/test_train_command.py -k device_is_text": [
            ("mammogan/commands/train.py", "{one_line(told)}", "{told}"),
        ],
        "tests/evaluation/test_snapshots.py -k no_name_of_a_snapshot": [
            (
                "mammogan/evaluation/snapshots.py",
                "            if epoch_of(file.name) is None:",
                "            if False:",
            ),
        ],
        "tests/tracking/test_runs.py -k image_series": [
            ("mammogan/tracking/reading.py", " if epoch is not None and path.is_file()}", "}"),
        ],
        "tests/launch/test_schedule.py -k beyond_all_bounds": [
            ("mammogan/launch/schedule/entries.py", "if abs(number) > config.LARGEST_INTEGER:", "if False:"),
            (
                "mammogan/launch/schedule/entries.py",
                "ValueError, ArithmeticError, LookupError",
                "ValueError, LookupError",
            ),
        ],
        "tests/launch/test_following.py": [
            ("mammogan/launch/following/rows.py", "    yield from plain or (", "    yield from shown or ("),
            ("mammogan/launch/following/rows.py", "and not task.child_tasks and", "and"),
            ("mammogan/launch/following/rows.py", "task.end_time >= task.start_time)", "True)"),
            (
                "mammogan/launch/following/watch.py",
                'if self.ended and any(task.state == "RUNNING" for task in details):',
                "if False:",
            ),
            (
                "mammogan/launch/following/watch.py",
                "any(done.count(step) > shown.count(step) for step in set(done))",
                "False",
            ),
            ("mammogan/launch/following/watch.py", "        self.server.sign_in()\n", "        raise refusal\n"),
            ("mammogan/launch/following/watch.py", "if not refusal.may_pass or", "if True or"),
            ("mammogan/launch/following/watch.py", "> AWAY_S", "> 1e12"),
            (
                "mammogan/launch/following/verdict.py",
                "return view.standing.status == FINISHED if view.standing else view.run.state == SUCCEEDED",
                "return view.run.state == SUCCEEDED",
            ),
            (
                "mammogan/launch/following/verdict.py",
                "if view.standing is None or not pods:",
                "if view.standing is None:",
            ),
            (
                "mammogan/launch/following/__init__.py",
                "if view.standing is None or view.standing.status != verdict.RUNNING:\n            return view",
                "return view",
            ),
            (
                "mammogan/launch/following/__init__.py",
                "(closed or (standing is None and not view.unreadable))",
                "(closed or True)",
            ),
            ("mammogan/launch/following/__init__.py", "not standing.ledger.running())", "True)"),
            (
                "mammogan/launch/following/__init__.py",
                "Fate(terminated=False), reason",
                "Fate(terminated=True), reason",
            ),
            ("mammogan/launch/following/__init__.py", "        if refusal.status == MISSING:\n            raise\n", ""),
            ("mammogan/launch/following/__init__.py", "self._printed = {line}", "self._printed = set()"),
            (
                "mammogan/launch/following/waiting.py",
                "if any(pod.phase is Phase.RUNNING for pod in pods):",
                "if False:",
            ),
            ("mammogan/launch/following/waiting.py", "ASK_AFTER_S = 120.0", "ASK_AFTER_S = 400.0"),
            (
                "mammogan/launch/following/waiting.py",
                "known = view.standing is not None or not rows.from_kubeflow(view.run)",
                "known = True",
            ),
            ("mammogan/launch/following/waiting.py", "if now - self._asked_at_s >= ASK_EVERY_S:", "if True:"),
            (
                "mammogan/launch/following/termination.py",
                "        ask_to_stop(view.standing.run_id, tracking_uri)",
                "        pass",
            ),
            ("mammogan/launch/following/termination.py", "if view.ended and not _is_open(view):\n", "if False:\n"),
            (
                "mammogan/launch/following/termination.py",
                "        view = close(view, Fate(terminated=True), STOPPED, tracking_uri)",
                "        pass",
            ),
            (
                "mammogan/launch/following/links.py",
                "if not server.forwarded and server.has_ui():",
                "if server.has_ui():",
            ),
            ("mammogan/launch/following/links.py", "server.has_ui():", "True:"),
            ("mammogan/launch/following/links.py", "os.environ.get(UI_URL) or _in", "_in"),
            ("mammogan/launch/following/links.py", "sign_in_of(named or tracking_uri)[0]", "(named or tracking_uri)"),
            (
                "mammogan/launch/server.py",
                "self.namespace if self.namespace and self.multi_user() else OWN_NAMESPACE",
                "self.namespace or OWN_NAMESPACE",
            ),
            (
                "mammogan/launch/following/table.py",
                "return bool(row.state is State.RUNNING and row.note and old)",
                "return bool(row.state is State.RUNNING and row.note)",
            ),
            ("mammogan/launch/following/table.py", "Text(masked(row.note)))", "masked(row.note))"),
            ("mammogan/tracking/standing.py", "os.environ.update(limits)", "pass"),
            ("mammogan/tracking/standing.py", "int(latest[WASSERSTEIN].step)", "int(latest[WASSERSTEIN].value)"),
        ],
        "tests/data/test_keys.py": [
            ("mammogan/storage.py", "if key is Key.STORE or not any(given.values()):", "if True:"),
            ("mammogan/storage.py", "        if not value:", "        if False:"),
            ("mammogan/data/worker.py", "storage.join(root, name), key=storage.Key.SOURCE", "storage.join(root, name)"),
            ("mammogan/data/listing.py", ", key=storage.Key.SOURCE", ""),
            (
                "mammogan/data/tables.py",
                "storage.join(folder, name), key=storage.Key.SOURCE",
                "storage.join(folder, name)",
            ),
        ],
        "tests/tracking/test_clock.py": [
            ("mammogan/tracking/clock.py", "    if seconds is None:", "    if True:"),
            ("mammogan/tracking/janitor.py", "clock.now_ms(tracking_uri)", 'int(__import__("time").time() * 1000)'),
            ("mammogan/tracking/heartbeat.py", "clock.now_ms(tracking_uri)", 'int(__import__("time").time() * 1000)'),
            ("mammogan/tracking/janitor.py", "        return int(sign)", "        pass"),
        ],
        "tests/launch/test_manifests.py": [
            (
                "k8s/steps/janitor.yaml",
                "              - {key: MLFLOW_TRACKING_USERNAME, path: MLFLOW_TRACKING_USERNAME}",
                "              - {key: AWS_ACCESS_KEY_ID, path: MLFLOW_TRACKING_USERNAME}",
            ),
            ("k8s/base/network.yaml", "operator: NotIn, values: [janitor]", "operator: NotIn, values: [nobody]"),
            ("k8s/base/network.yaml", "100.64.0.0/10, ", ""),
            ("k8s/base/network.yaml", "app.kubernetes.io/component: preflight", "app.kubernetes.io/component: nobody"),
            ("k8s/base/mlflow.yaml", "        - --app-name=basic-auth\n", ""),
            ("k8s/base/mlflow.yaml", "name: mammogan-s3-mlflow", "name: mammogan-s3"),
            (
                "k8s/base/housekeeping.yaml",
                "command: [python3, /etc/mlflow-scripts/migrate.py]",
                "command: [mlflow, db, upgrade, $(MLFLOW_BACKEND_STORE_URI)]",
            ),
            ("mammogan/launch/compiled.py", "if step == Step.INGEST else {}", "if step else {}"),
        ],
        "tests/launch/test_mlflow_sign_in.py": [
            ("k8s/base/accounts.py", 'address.replace("%", "%%")', "address"),
            ("k8s/base/accounts.py", '"default_permission": "READ"', '"default_permission": "MANAGE"'),
            ("k8s/base/accounts.py", "        accounts.update_user(name, password, is_admin)", "        pass"),
            ("k8s/base/accounts.py", "    if steps == admin:", "    if False:"),
            ("k8s/base/accounts.py", 'accounts.grant_user_permission(steps, kind, name, "MANAGE")', "pass"),
            ("k8s/base/clean_up.py", ', "--backend-store-uri", os.environ["MLFLOW_BACKEND_STORE_URI"]', ""),
        ],
        "tests/test_probe.py -k 'run_is_written or cannot_keep or source_is_listed'": [
            ("mammogan/tracking/probe.py", "_ask(uri, signed=False) == 200", "False"),
            ("mammogan/tracking/probe.py", "            _try_file(client, run_id, uri)\n", ""),
            ("mammogan/probe/store.py", "boto3.Session(**storage.own_key(key))", "boto3.Session()"),
        ],
        "tests/launch/test_preflight.py -k 'steps_own'": [
            (
                "mammogan/launch/preflight/probe_pod.py",
                'labels["kueue.x-k8s.io/queue-name"]',
                'labels["kueue.x/queue"]',
            ),
        ],
        "tests/launch/test_preflight.py -k cannot_pass": [
            ("mammogan/launch/preflight/probe_pod.py", "(NODE_S if hindrance.may_pass else 0)", "NODE_S"),
        ],
        "tests/launch/test_preflight.py -k 'each_thing'": [
            ("mammogan/launch/preflight/probe_pod.py", "    ok = held == ours", "    ok = True"),
            (
                "mammogan/launch/preflight/probe_pod.py",
                "findings.get(what) or Finding(what, False,",
                "findings.get(what) or Finding(what, True,",
            ),
        ],
        "tests/launch/test_preflight.py -k 'secret'": [
            ("mammogan/launch/preflight/settings.py", "    if store_works:", "    if False:"),
        ],
        "tests/launch/test_preflight.py -k 'ready'": [
            ("mammogan/launch/preflight/settings.py", "return masked(", "return ("),
        ],
        "tests/launch/test_preflight.py -k 'standalone'": [
            ("mammogan/launch/preflight/installation.py", "    if not server.multi_user():", "    if False:"),
        ],
        "tests/launch/test_preflight.py -k 'multi_user'": [
            ("mammogan/launch/preflight/installation.py", "    if not namespace:", "    if False:"),
        ],
        "tests/launch/test_room.py -k 'node'": [
            ("mammogan/launch/preflight/nodes.py", "        if self.cordoned:", "        if False:"),
        ],
        "tests/launch/test_room.py -k 'admission'": [
            (
                "mammogan/launch/preflight/admission.py",
                "        elif needed and needed > hard - used:",
                "        elif False:",
            ),
            ("mammogan/launch/preflight/admission.py", "        if missing:", "        if False:"),
            ("mammogan/launch/preflight/admission.py", "        default = most | default", "        pass"),
        ],
        "tests/launch/test_room.py -k 'beside'": [
            (
                "mammogan/launch/preflight/footprint.py",
                'amounts({"cpu": "100m"}), amounts({"cpu": "500m", "memory": "256Mi"})',
                'amounts({"cpu": "200m"}), amounts({"cpu": "500m", "memory": "256Mi"})',
            ),
        ],
        "tests/launch/test_room.py -k 'compiled'": [
            (
                "mammogan/launch/preflight/footprint.py",
                'limits = {"memory": size.memory}',
                'limits = {"memory": size.memory, "cpu": size.cpu}',
            ),
        ],
        "tests/test_probe.py -k 'given_back_as'": [
            (
                "mammogan/probe/store.py",
                "        with contextlib.suppress(Exception):\n            client.delete",
                "        with contextlib.suppress(Exception):\n            client.dlete",
            ),
        ],
        "tests/test_probe.py -k 'left_as_it_was'": [
            (
                "mammogan/probe/store.py",
                '        with _readable_errors("delete from", store, signed):\n            client.delete_object(Bucket=bucket, Key=key)',
                "        pass",
            ),
        ],
        "tests/test_probe.py -k 'fault_of_the_store'": [
            (
                "mammogan/probe/store.py",
                "        client.list_objects_v2(Bucket=bucket, Prefix=key)\n    with _removed",
                "        pass\n    with _removed",
            ),
        ],
        "tests/test_probe.py -k 'allowed'": [
            ("mammogan/tracking/probe.py", '_ask(uri, host="localhost") in (200, 401)', "False"),
        ],
        "tests/test_probe.py -k 'written_read'": [
            (
                "mammogan/tracking/probe.py",
                "            client.delete_run(run_id)\n        raise\n    client.delete_run(run_id)",
                "            client.delete_run(run_id)\n        raise",
            ),
            (
                "mammogan/tracking/probe.py",
                "        client.restore_experiment(experiment.experiment_id)",
                "        pass",
            ),
        ],
        "tests/test_probe.py -k 'never_hangs'": [
            ("mammogan/probe/part.py", "    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))", "    pass"),
        ],
        "tests/test_probe.py -k 'dies'": [
            ("mammogan/probe/part.py", 'masked(reason.partition("\\n")[0])', "reason"),
        ],
        "tests/test_probe.py -k 'dies or object'": [
            ("mammogan/probe/part.py", "    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())", "    pass"),
        ],
        "tests/launch/test_schedule.py -k waits": [
            ("mammogan/launch/schedule/reconciliation.py", "return bool(flights) and not self._now", "return False"),
        ],
        "tests/launch/test_schedule.py -k late": [
            ("mammogan/launch/schedule/reconciliation.py", "and settled:", "and True:"),
            ("mammogan/launch/schedule/recurring.py", "if requests > 1 else []", "if False else []"),
        ],
        "tests/launch/test_schedule.py -k now": [
            (
                "mammogan/launch/schedule/reconciliation.py",
                "if isinstance(error, RefusedError) and not error.may_pass:",
                "if False:",
            ),
        ],
        "tests/launch/test_schedule.py -k touched": [
            (
                "mammogan/launch/schedule/plan.py",
                "have.owner == owner and have.name not in names",
                "have.name not in names",
            ),
        ],
        "tests/launch/test_schedule.py -k two_owners": [
            (
                "mammogan/launch/schedule/recurring.py",
                "owner_mark == mark(describe(owner)) or",
                "owner_mark.kind is Kind.OWNED or",
            ),
        ],
        "tests/launch/test_schedule.py -k removal_whose": [
            ("mammogan/launch/schedule/recurring.py", "if refusal.status != MISSING:", "if True:"),
        ],
        "tests/launch/test_schedule.py -k lost": [
            (
                "mammogan/launch/schedule/recurring.py",
                "schedule_id = server.make(what, find, make)",
                "schedule_id = server.make(what, lambda: '', make)",
            ),
        ],
        "tests/launch/test_schedule.py -k beside": [
            ("mammogan/launch/schedule/plan.py", "and not (own and have.enabled)", ""),
        ],
        "tests/launch/test_schedule.py -k arguments_that": [
            (
                "mammogan/launch/schedule/reconciliation.py",
                "        _require_arguments(pipeline, schedule)",
                "        pass",
            ),
        ],
        "tests/launch/test_cron.py": [
            (
                "mammogan/launch/schedule/cron.py",
                "if self.day.starred or self.weekday.starred",
                "if self.day.starred and self.weekday.starred",
            ),
            ("mammogan/launch/schedule/cron.py", "or (steps and not highs)", ""),
        ],
        "tests/metrics/test_kid.py": [
            (
                "mammogan/metrics/kid.py",
                "    cubes *= values\n",
                "",
            ),
            (
                "mammogan/metrics/kid.py",
                "sums.x.mean + sums.y.mean - 2 * sums.across.mean",
                "sums.x.mean + sums.y.mean - sums.across.mean",
            ),
            (
                "mammogan/metrics/kid.py",
                "self.sums.sum() / self.pairs",
                "self.sums.sum() / self.images**2",
            ),
            (
                "mammogan/metrics/kid.py",
                "x.patient if x.patient[0] != x.patient[-1] else np.arange(len(x.features))",
                "np.arange(len(x.features))",
            ),
            (
                "mammogan/metrics/kid.py",
                "(self.own_pairs.sum() - self.own_pairs)",
                "self.own_pairs.sum()",
            ),
            ("mammogan/metrics/kid.py", "1 + (self.sizes / others).sum()", "2"),
            (
                "mammogan/metrics/kid.py",
                "    if patients is None:\n        patients =",
                "    if True:\n        patients =",
            ),
            ("mammogan/metrics/kid.py", "        jackknife(value, own + 2 * without),\n", ""),
            (
                "mammogan/metrics/kid.py",
                "SUBSETS, SUBSET_SIZE, SUBSET_SEED = 100, 1000, 2020",
                "SUBSETS, SUBSET_SIZE, SUBSET_SEED = 100, 1000, 2021",
            ),
        ],
        "tests/metrics": [
            (
                "mammogan/metrics/kid.py",
                "(self.sums.sum() - 2 * self.sums.sum(axis=1) + self.sums.diagonal())",
                "(self.sums.sum() - 2 * self.sums.sum(axis=1))",
            ),
            (
                "mammogan/metrics/kid.py",
                "at_least(_jackknives(value, sums), _of_pairs(sums))",
                "_jackknives(value, sums)",
            ),
            (
                "mammogan/metrics/fid.py",
                "return law.at(len(x), count) if law",
                "return law.at(len(x) / 2, len(x) / 2) if law",
            ),
            ("mammogan/metrics/fid.py", "law.at(len(x), count) + excess", "law.at(len(x), count)"),
            ("mammogan/metrics/fid.py", "order[(before > share) & (before <= 2 * share)]", "order[before <= share]"),
            ("mammogan/metrics/fid.py", "if patients is None else patients, BLOCKS", "if True else patients, BLOCKS"),
            ("mammogan/metrics/lpips.py", "if patients is None else patients, BLOCKS", "if True else patients, BLOCKS"),
            ("mammogan/metrics/prdc.py", "if patients is None else patients", "if True else patients"),
            (
                "mammogan/metrics/fid.py",
                "np.polyfit(inverses, values, deg=1)[1]",
                "np.polyfit(inverses, values, deg=1)[0]",
            ),
        ],
        "tests/metrics/test_fid.py": [
            ("mammogan/metrics/fid.py", "traces - 2 * nuclear", "traces - nuclear"),
            ("mammogan/metrics/fid.py", "triangle / math.sqrt(rows - 1)", "triangle / math.sqrt(rows)"),
        ],
        "tests/metrics/test_ms_ssim.py": [
            ("mammogan/metrics/ms_ssim.py", "C1, C2 = 0.01**2, 0.03**2", "C1, C2 = 0.01**2, 0.02**2"),
        ],
        "tests/metrics/test_lpips.py": [
            ("mammogan/metrics/lpips.py", "storage.fetch(weights, expected)", "storage.fetch(weights)"),
            (
                "mammogan/metrics/lpips.py",
                "SHIFT, SCALE = (-0.030, -0.088, -0.188)",
                "SHIFT, SCALE = (-0.030, -0.088, 0.188)",
            ),
        ],
        "tests/training/test_gradients.py": [
            ("mammogan/training/gradients.py", "(2 / len(norms) * (1 - 1 / norms))", "(2 / len(norms) * (1 - norms))"),
            (
                "mammogan/training/gradients.py",
                "        loss = loss + objective.gp_lambda * surrogate",
                "        loss = loss + surrogate",
            ),
            (
                "mammogan/training/gradients.py",
                "    gradient = gradient + critic.frozen.vjp(pulled, pattern)",
                "    gradient = gradient * 1.0",
            ),
        ],
        "tests/training/test_losses.py": [
            ("mammogan/training/losses.py", "return (norms - 1).square().mean()", "return norms.square().mean()"),
            (
                "mammogan/training/losses.py",
                "return torch.lerp(real, fake, alpha)",
                "return torch.lerp(fake, real, alpha)",
            ),
        ],
        "tests/training/test_trial.py -k device_is_done": [
            (
                "mammogan/training/loop.py",
                "        means = trainer.take_means()  # a GPU may be many steps behind what it was told, and this waits for it\n        self.epoch_s = time.perf_counter() - started\n",
                "        self.epoch_s = time.perf_counter() - started\n        means = trainer.take_means()\n",
            ),
        ],
        "tests/training/test_checkpoint.py": [
            ("mammogan/codec.py", "    except (ValueError, RecursionError) as error:", "    except KeyError as error:"),
            (
                "mammogan/training/trainer.py",
                "        except (ArithmeticError, AttributeError,",
                "        except (KeyboardInterrupt,",
            ),
            (
                "mammogan/training/checkpoint.py",
                'if hashlib.sha256(content).hexdigest() == name.split(".")[1]:',
                "if True:",
            ),
        ],
        "tests/test_precision.py": [
            (
                "mammogan/synthesis/sampling.py",
                "with torch.inference_mode(), float32_convolutions():",
                "with torch.inference_mode():",
            ),
            (
                "mammogan/training/trainer.py",
                'tf32_convolutions(self.config.precision == "tf32")',
                "tf32_convolutions(True)",
            ),
            (
                "mammogan/training/trial.py",
                "with deterministic_algorithms(config.train.deterministic):",
                "with deterministic_algorithms(False):",
            ),
        ],
        "tests/audit/test_audit.py": [
            (
                "mammogan/audit/inspection.py",
                "        verdicts=(_no_exact_copies(copied, len(fakes)), *(item for",
                "        verdicts=(*(), *(item for",
            ),
            (
                "mammogan/audit/inspection.py",
                "    if both := set(train.patients) & set(held_out.patients):",
                "    if both := set():",
            ),
            (
                "mammogan/audit/answers.py",
                "    if sample.held_out_patients < FEWEST_PATIENTS:",
                "    if sample.held_out_patients < 1:",
            ),
            ("mammogan/audit/answers.py", "judgement.ends(base)[0] if base", "base.value if base"),
        ],
        "tests/audit/test_audit.py -k as_many_others": [
            (
                "mammogan/audit/copies.py",
                "    for block in blocks_of(count, -(-count // most)):",
                "    for block in blocks_of(count, 1):",
            ),
        ],
        "tests/audit/test_required.py": [
            ("mammogan/audit/judgement.py", "if sufficient and high <= limit", "if high <= limit"),
            ("mammogan/audit/judgement.py", "if sufficient and high <= limit", "if sufficient and low <= limit"),
            ("mammogan/audit/judgement.py", "suspect=ends(estimate)[1] > limit", "suspect=ends(estimate)[0] > limit"),
            ("mammogan/audit/judgement.py", "sufficient=sample.fake >= needed", "sufficient=True"),
            (
                "mammogan/audit/membership.py",
                "    index = numbered(patients)\n",
                "    index = np.arange(len(scores))\n",
            ),
            (
                "mammogan/results.py",
                "Outcome.PASSED if passed and not unmade(answers, required) else",
                "Outcome.PASSED if passed else",
            ),
            (
                "mammogan/results.py",
                "answers.get(check) != {Outcome.PASSED}",
                "Outcome.REFUSED in answers.get(check, ())",
            ),
            ("mammogan/selection/gates.py", "return words if audit.for_release else", "return words if True else"),
        ],
        "tests/audit/test_moved_copies.py": [
            (
                "mammogan/audit/alignment.py",
                "turned = torch.where((_determinant(symmetry) < 0).cpu(), -angles, angles)",
                "turned = angles",
            ),
            ("mammogan/audit/alignment.py", "SYMMETRIES = 8", "SYMMETRIES = 4"),
            ("mammogan/audit/alignment.py", "products.abs_().amax", "products.amax"),
            ("mammogan/audit/alignment.py", "SHIFT = 4\n", "SHIFT = 2\n"),
            ("mammogan/audit/moved_copies.py", "LEAST_SPREAD = 0.5", "LEAST_SPREAD = 0.0"),
            ("mammogan/audit/moved_copies.py", "loc=math.log(count), size", "loc=0.0, size"),
            (
                "mammogan/audit/moved_copies.py",
                "rng.gumbel(size=(DRAWS, unrelated))",
                "rng.gumbel(size=(DRAWS, 10 * unrelated))",
            ),
            (
                "mammogan/audit/moved_copies.py",
                "coarse if excluded is None else np.where(excluded, np.nan, coarse)",
                "coarse",
            ),
        ],
        "tests/audit/test_overfitted.py": [
            (
                "mammogan/audit/answers.py",
                "copies.rate(flags, config.confidence) for flags",
                "copies.rate(~flags & flags, config.confidence) for flags",
            ),
            (
                "mammogan/audit/inspection.py",
                "        if pair.copied:\n",
                "        if pair.copied and pair.space != 'moved':\n",
            ),
        ],
        "tests/registry/test_promotion.py -k every_check": [
            ("mammogan/selection/gates.py", "    if for_release:", "    if True:"),
        ],
        "tests/selection": [
            (
                "mammogan/selection/gates.py",
                '    return verdict("not memorised", gap <= 0, why)',
                '    return verdict("not memorised", True, why)',
            ),
            (
                "mammogan/selection/gates.py",
                '        return verdict("measured", False, f"no value',
                '        return verdict("measured", True, f"no value',
            ),
        ],
        "tests/selection tests/registry/test_promotion.py": [
            (
                "mammogan/selection/gates.py",
                '    return verdict("audited", outcome is Outcome.PASSED,',
                '    return verdict("audited", outcome is not Outcome.REFUSED,',
            ),
            (
                "mammogan/selection/gates.py",
                "contest.upper < -contest.margin",
                "contest.difference < -contest.margin",
            ),
            (
                "mammogan/selection/gates.py",
                "contest.upper < -contest.margin",
                "contest.upper < contest.margin",
            ),
            (
                "mammogan/selection/gates.py",
                "if item.outcome is not Outcome.PASSED)",
                "if item.refuses)",
            ),
        ],
        "tests/registry/test_promotion.py": [
            (
                "mammogan/registry/promotion.py",
                "champions = (alias_version(client, model, CHAMPION), _best(client, model))",
                "champions = (alias_version(client, model, CHAMPION),)",
            ),
            (
                "mammogan/registry/promotion.py",
                "best = _best(client, model) if failed and others else version",
                "best = version",
            ),
            ("mammogan/registry/promotion.py", "if contest.version == version}", "}"),
        ],
        "tests/selection/test_comparison.py": [
            (
                "mammogan/selection/comparison.py",
                "if epoch >= max(common) / 2",
                "if epoch >= max(map(max, scores.values())) / 2",
            ),
            ("mammogan/selection/comparison.py", "common = set.intersection(", "common = set.union("),
            ("mammogan/selection/comparison.py", "{one, other} <= set(repeated)", "True"),
            ("mammogan/selection/blocks.py", "/ freedom) if freedom", "/ len(cells)) if freedom"),
            (
                "mammogan/selection/blocks.py",
                "return difference if abs(difference) > self.rounding else 0.0",
                "return difference",
            ),
            (
                "mammogan/selection/blocks.py",
                "nct.sf(least, freedom, true) - POWER",
                "nct.sf(least, freedom, true) - 0.5",
            ),
        ],
        "tests/training/test_early_stop.py": [
            ("mammogan/training/early_stop.py", "NOISE * math.hypot", "0 * math.hypot"),
            ("mammogan/training/early_stop.py", "FAKES = 1000", "FAKES = 200"),
        ],
        "tests/test_results.py": [
            ("mammogan/codec.py", "    if unknown := sorted(set(data) - set(fields)):", "    if unknown := []:"),
            ("mammogan/codec.py", "    if written != version:", "    if False:"),
        ],
        "tests/data/test_split.py tests/data/test_verify.py": [
            (
                "mammogan/data/split.py",
                "    return Leak(tested.nunique(), ",
                "    return Leak(0, ",
            ),
        ],
        "tests/data/test_display.py": [
            (
                "mammogan/data/display.py",
                "padded, hidden = _padding(stored, dataset, layout), shutter",
                "padded, hidden = None, shutter",
            ),
            ("mammogan/data/display.py", "first if limit is None else layout.value(_cell(limit))", "first"),
            ("mammogan/data/display.py", "first = layout.value(_cell(value))", "first = _cell(value)"),
            (
                "mammogan/data/display.py",
                "        shown = values.astype(np.float64)",
                "        shown = values.astype(np.float32)",
            ),
            ("mammogan/data/display.py", "layout.signed if modality is not None else min(ends) < 0", "layout.signed"),
            ("mammogan/data/display.py", "if (photometric, shape) in CONTRADICTIONS:", "if False:"),
            ("mammogan/data/display.py", "    if (colours[present] != colours[present, :1]).any():", "    if False:"),
            ("mammogan/data/display.py", "    if span == 0:", "    if False:"),
            (
                "mammogan/data/display.py",
                'if photometric not in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"):',
                "if False:",
            ),
            ("mammogan/data/display.py", 'if dataset.get("PixelPresentation") in ("COLOR", "MIXED"):', "if False:"),
            ("mammogan/data/display.py", '    if photometric == "PALETTE COLOR":', "    if False:"),
            (
                "mammogan/data/preprocess.py",
                "np.ma.compressed(pixels[::step, ::step]) if",
                "np.ma.getdata(pixels[::step, ::step]) if",
            ),
            ("mammogan/data/preprocess.py", "    if pixels.dtype == np.float64:", "    if False:"),
            ("mammogan/data/stored_pixels.py", "        if frames > 1:", "        if False:"),
            ("mammogan/data/stored_pixels.py", "* max(frames, 1) * samples * allocated >", "* allocated >"),
            ("mammogan/data/stored_pixels.py", "return (cells >> shift) & self.cell.type(top)", "return cells"),
            ("mammogan/data/stored_pixels.py", "(cells << (width - 1 - self.high))", "cells"),
            ("mammogan/data/display.py", "    if value is None:\n        return None\n    try:", "    try:"),
            (
                "mammogan/data/stored_pixels.py",
                "    if value is None and missing is not None:",
                "    if keyword not in dataset and missing is not None:",
            ),
            ("mammogan/data/dicom_file.py", "    return little in groups and", "    return False and"),
            ("mammogan/data/dicom_file.py", "    if big in groups and big != META_GROUP:", "    if False:"),
        ],
        "tests/data/test_quarantine.py": [
            ("mammogan/data/quarantine.py", "self.reason = one_line(reason)", "self.reason = reason"),
            ("mammogan/data/quarantine.py", 'for name in ("reason", "fix"):', "for name in ():"),
        ],
        "tests/data/test_codestream.py": [
            ("mammogan/data/codestream.py", "    _check(header, expected)", "    pass"),
            ("mammogan/data/codestream.py", "    if not stream.endswith(END):", "    if False:"),
            ("mammogan/data/codestream.py", "    if frames > 1:", "    if False:"),
            ("mammogan/data/codestream.py", ", out=count + 1)", ")"),
            ("mammogan/data/codestream.py", "        if len(plane) < count:", "        if False:"),
            ("mammogan/data/dicom_file.py", "        if self._reads > MOST_READS:", "        if False:"),
            ("mammogan/data/dicom_file.py", "len(raw.value) > LARGEST_ELEMENT:", "False:"),
            ("mammogan/data/dicom_file.py", "    if whole and stream.unconsumed_tail:", "    if False:"),
            (
                "mammogan/data/dicom_file.py",
                '        if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:',
                "        if True:",
            ),
        ],
        "tests/data/test_picture.py": [
            ("mammogan/data/picture.py", "pixels if samples.white_is_zero else pixels", "pixels if False else pixels"),
            ("mammogan/data/picture.py", "    if samples.white_is_zero:", "    if False:"),
            (
                "mammogan/data/picture.py",
                "pixels.view(np.int8).astype(np.float32) if samples.signed else pixels",
                "pixels",
            ),
            ("mammogan/data/picture.py", "pixels = pixels.view(np.uint32)", "pass"),
            ("mammogan/data/picture.py", "        ImageOps.exif_transpose(image, in_place=True)", "        pass"),
            ("mammogan/data/picture.py", "    if _has_second_page(image):", "    if False:"),
            ("mammogan/data/picture.py", "    if _is_transparent(image, samples):", "    if False:"),
            ("mammogan/data/picture.py", "    if (colours != colours[..., :1]).any():", "    if False:"),
            ("mammogan/data/picture.py", ", formats=FORMATS)", ")"),
            ("mammogan/data/picture.py", "max(pixels * samples.count * samples.bits // 8, samples.tile_bytes)", "0"),
            ("mammogan/data/picture.py", "pixels > LARGEST_PIXELS or", ""),
            ("mammogan/data/picture.py", "    if samples.count > len(image.getbands()) and", "    if False and"),
            (
                "mammogan/data/picture.py",
                'partial(warnings_as, "error" if tiff.is_tiff(content) else "ignore")',
                'partial(warnings_as, "error")',
            ),
            ("mammogan/data/verify.py", "picture.open_image(content)", "__import__('PIL').Image.open(content)"),
        ],
        "tests/data/test_picture.py -k DamagedMetadata": [
            ("mammogan/data/picture.py", "        return _decoded(bare)", "        raise"),
            ("mammogan/data/picture.py", "            png.check_chunks(content)", "            pass"),
            (
                "mammogan/data/png.py",
                "name[:1].isupper() or _is_believed(name, chunk[8:-4])",
                "name[:1].isupper()",
            ),
            (
                "mammogan/data/png.py",
                '(name == b"eXIf" and any(tag in bytes(data) for tag in ORIENTATION))',
                'name == b"eXIf"',
            ),
            ("mammogan/data/picture.py", 'found = "PNG" if png.is_png(content)', 'found = "" if png.is_png(content)'),
            ("mammogan/data/jpeg.py", "len(segment) < ADOBE_BYTES and components > 1:", "False:"),
            ("mammogan/data/jpeg.py", "len(segment) < ADOBE_BYTES and components > 1:", "len(segment) < ADOBE_BYTES:"),
            (
                "mammogan/data/jpeg.py",
                'startswith(b"JFIF\\0") and len(segment) >= JFIF_BYTES',
                'startswith(b"JFIF\\0")',
            ),
            ("mammogan/data/jpeg.py", "kind == EXIF or kind not in APPLICATIONS", "kind not in APPLICATIONS"),
            ("mammogan/data/tiff.py", "[0] not in SIDE]", "[0] > 0]"),
        ],
        "tests/data/test_display.py -k 'blanks'": [
            ("mammogan/data/dicom_file.py", "    drop_blanks(dataset)\n    return", "    return"),
            ("mammogan/data/dicom_file.py", "            del dataset[tag]", "            pass"),
            ("mammogan/data/dicom_file.py", " and _kind(raw) in TEXTS", ""),
            ("mammogan/data/dicom_file.py", "        return dictionary_VR(raw.tag)", '        return ""'),
            ("mammogan/data/dicom_file.py", 'BLANK = b" \\0\\\\"', 'BLANK = b" \\0"'),
            ("mammogan/data/dicom_file.py", 'BLANK = b" \\0\\\\"', 'BLANK = b" \\\\"'),
            ("mammogan/data/functional_groups.py", "                dicom_file.drop_blanks(item)\n", ""),
        ],
        "tests/data/test_picture_list.py -k read_back": [
            ("mammogan/data/picture_list.py", '"__")).strip()', '"__"))'),
            ("mammogan/data/picture_list.py", " or not _stem(file):", ":"),
        ],
        "tests/data/test_image_folder.py -k link": [
            ("mammogan/data/image_folder.py", "not path.resolve().is_relative_to(root)", "False"),
            ("mammogan/data/image_folder.py", "root = folder.resolve()", "root = folder"),
        ],
        "tests/data/test_ingest.py -k without_rows": [
            ("mammogan/data/ingest.py", ' and located.kind == "images":', " and False:"),
        ],
        "tests/data/test_picture_list.py -k path_is_refused": [
            ("mammogan/data/listing.py", 'path.split("/")[0] == ".."', '".." in slashed.split("/")'),
        ],
        "tests/data/test_tables.py -k spreadsheet": [
            ("mammogan/data/cells.py", r"\uff1d\uff0b\uff0d\uff20", ""),
        ],
        "tests/data/test_display.py -k without_its_beginning": [
            ("mammogan/data/worker.py", "    if dicom.is_headless(content):", "    if False:"),
            ("mammogan/data/dicom_file.py", "    if not any(head[: PREAMBLE_BYTES - 4]):", "    if False:"),
            (
                "mammogan/data/dicom_file.py",
                "return len(head) >= 8 and _begins_with(head, (PATIENT_GROUP,))",
                "return False",
            ),
        ],
        "tests/data/test_jpeg.py": [
            ("mammogan/data/jpeg.py", "    if not np.array_equal(pixels, lengthened):", "    if False:"),
            ("mammogan/data/jpeg.py", "        jpeg._check_scans()\n", ""),
            ("mammogan/data/jpeg.py", "            jpeg._check_restarts(scan)\n", "            pass\n"),
            ("mammogan/data/jpeg.py", "        if jpeg.frame.process in ARITHMETIC:", "        if False:"),
            ("mammogan/data/jpeg.py", "for _ in range(MOST_SEGMENTS):", "for _ in range(10**9):"),
            ("mammogan/data/jpeg.py", 'b"\\xb5" * 64', 'b"\\0" * 64'),
            ("mammogan/data/picture.py", "    if again is not None:", "    if False:"),
            ("mammogan/data/picture.py", "        tiff.check_jpeg(image, content)\n", "        pass\n"),
            ("mammogan/data/tiff.py", "    if compression == OLD_JPEG:", "        if False:"),
            (
                "mammogan/data/codestream.py",
                "jpeg.decode(stream, imagecodecs.jpeg8_decode)",
                "imagecodecs.jpeg8_decode(stream)",
            ),
            ("mammogan/data/codestream.py", "    _check_tiles(stream)\n", ""),
        ],
        "tests/data/test_codestream.py -k 'Signs or Precision or signed'": [
            ("mammogan/data/stored_pixels.py", "    if header.signed is not None and", "    if False and"),
            ("mammogan/data/stored_pixels.py", "    if header.bits > bits and not", "    if False and not"),
            ("mammogan/data/stored_pixels.py", "(is_plain or is_extended)", "is_plain"),
        ],
        "tests/data/test_picture.py -k DeepPng": [
            ("mammogan/data/picture.py", "    if samples.is_deep_png:", "    if False:"),
            ("mammogan/data/picture.py", "(pixels[..., -1] != np.iinfo(pixels.dtype).max).any()", "False"),
            ("mammogan/data/picture.py", "np.asarray(_upright(grey))", "np.asarray(grey)"),
            ("mammogan/data/picture.py", "    if png.has_more_behind(content):", "    if False:"),
        ],
        "tests/data/test_picture.py -k 'ShortPng or ContradictoryPng'": [
            ("mammogan/data/picture.py", "        _check_rows(image, content)\n", "        pass\n"),
            ("mammogan/data/picture.py", 'image.info.get("interlace") or not', "not"),
            ("mammogan/data/picture.py", "        png.check_header(image, content)\n", "        pass\n"),
            ("mammogan/data/png.py", "    missing -= len(inflater.flush())\n    if missing > 0:", "    if False:"),
            (
                "mammogan/data/png.py",
                "for row, column, down, across in PASSES if",
                "for row, column, down, across in () if",
            ),
            ("mammogan/data/png.py", "if rows > 0 and columns > 0:", "if True:"),
            ("mammogan/data/png.py", "        elif seen:\n            return\n", ""),
            ("mammogan/data/png.py", ' or b"IHDR" in names[1:]:', ":"),
            ("mammogan/data/png.py", "is_interlaced != header.interlaced or", ""),
            ("mammogan/data/png.py", " or [tile.extents for tile in tiles] != [(0, 0, *told)]:", ":"),
            ("mammogan/data/png.py", "inflater.decompress(data, PIECE_BYTES)", "inflater.decompress(data)"),
        ],
        "tests/data/test_picture.py -k one_grey_value": [
            ("mammogan/data/picture.py", '    if image.mode == "L" and samples.bits < 8:', "    if False:"),
            ("mammogan/data/picture.py", " * (255 // top)).any()", ").any()"),
        ],
        "tests/data/test_picture.py -k ShortTiff": [
            ("mammogan/data/picture.py", "        tiff.check_parts(image)\n", "        pass\n"),
            ("mammogan/data/tiff.py", "len(listed) != grid.count:", "len(listed) < 0:"),
            ("mammogan/data/tiff.py", "        if length < rows * row_bytes:", "        if False:"),
            ("mammogan/data/tiff.py", "if part.frame.rows < rows or", "if"),
            ("mammogan/data/tiff.py", "if tiled != (TILES in tags) or tiled == (STRIPS in tags):", "if False:"),
            ("mammogan/data/tiff.py", "== SEPARATE else 1", "== SEPARATE and False else 1"),
        ],
        "tests/data/test_picture_list.py -k 'however or parted or generations or opened or title or one_bit'": [
            ("mammogan/data/picture_list.py", "each.unshielded() if ours else each", "each"),
            ("mammogan/data/picture_list.py", "    findings = _with_one_spelling(findings)\n", ""),
            ("mammogan/data/patient_name.py", "sorted(set(patient_ids), reverse=True)", "sorted(set(patient_ids))"),
            ("mammogan/data/cbis_ddsm.py", "tables.plain_number(number)", "number"),
            (
                "mammogan/data/sources.py",
                "    if not storage.is_remote(source) and (kind :=",
                "    if False and (kind :=",
            ),
            ("mammogan/data/sources.py", "    if table and (line :=", "    if False and (line :="),
            ("mammogan/data/worker.py", 'if job.spec.content != "crop" and is_of_two', "if False and is_of_two"),
        ],
        "tests/data/test_tables.py -k 'nul or long_field or title'": [
            ("mammogan/data/tables.py", "    csv.field_size_limit(LONGEST_FIELD)\n", ""),
            ("mammogan/data/tables.py", "if encoding and any(NUL in", "if False and any(NUL in"),
            ("mammogan/data/tables.py", "        if absent and (line :=", "        if False and (line :="),
            (
                "mammogan/data/tables.py",
                "_column(part) for value in row.values for part in parts.split(value)",
                "_column(value) for value in row.values",
            ),
        ],
        "tests/data/test_verify.py -k 'regular or knows or pipe'": [
            ("mammogan/data/verify.py", "        if kind:", "        if False:"),
            ("mammogan/data/manifest.py", "    if not path.is_file() and (kind :=", "    if False and (kind :="),
            ("mammogan/data/manifest.py", 'if kind else "is missing"', 'if False else "is missing"'),
        ],
        "tests/commands/test_command_line.py -k WentAway": [
            ("mammogan/commands/options.py", "isinstance(error, BrokenPipeError) and", "False and"),
            ("mammogan/command_line.py", "out.status(end.code) if isinstance(end.code, int) else", ""),
            (
                "mammogan/commands/output.py",
                "return UNREAD if any(lost) or replaced else code",
                "return UNREAD if any(lost) else code",
            ),
            ("mammogan/commands/output.py", "        except OSError:", "        except ValueError:"),
        ],
        "tests/tracking/test_database.py": [
            ("mammogan/tracking/database.py", "frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})", "frozenset()"),
            ("mammogan/tracking/database.py", 'quoted = path.replace("%", "%25").replace("?", "%3F")', "quoted = path"),
        ],
        "tests/tracking/test_relocation.py -k relocate_makes": [
            ("mammogan/tracking/relocation.py", "        if not runs or any(", "        if False and any("),
        ],
        "tests/launch/test_requests.py -k nests_too_deep": [
            ("mammogan/launch/server.py", "        except (ValueError, RecursionError):", "        except ValueError:"),
            (
                "mammogan/launch/server.py",
                "except (ValueError, AttributeError, RecursionError):",
                "except (ValueError, AttributeError):",
            ),
            ("mammogan/launch/server.py", "(ValueError, OSError, RecursionError)", "(ValueError, OSError)"),
        ],
        "tests/test_cluster.py -k packed_nodes": [
            ("mammogan/cluster.py", "b64decode(packed), LARGEST_NODES)", "b64decode(packed))"),
            ("mammogan/cluster.py", "(ValueError, RecursionError, zlib.error)", "(ValueError, zlib.error)"),
            ("mammogan/cluster.py", "(ValueError, RecursionError, zlib.error)", "RecursionError"),
        ],
        "tests/test_trust.py": [
            ("mammogan/trust.py", "os.environ.setdefault(other, path)", "pass"),
            ("mammogan/trust.py", "urllib.request.getproxies().get(scheme)", "None"),
            ("mammogan/launch/server.py", "if untrusted := trust.distrust(error):", "if untrusted := '':"),
        ],
        "tests/test_trust.py -k own_fix": [
            ("mammogan/trust.py", "(ssl.SSLCertVerificationError, CertificateError)", "ssl.SSLCertVerificationError"),
            ("mammogan/trust.py", "_FIXES.get(code, 'have it replaced by a valid one')", "FIX"),
            (
                "mammogan/trust.py",
                "isinstance(cause, ssl.SSLError) else _OF_ANOTHER_HOST",
                "isinstance(cause, ssl.SSLError) else 0",
            ),
        ],
        "tests/test_trust.py -k 'network_that_no_proxy'": [
            (
                "mammogan/trust.py",
                "should_bypass_proxies(address, no_proxy=None)",
                "urllib.request.proxy_bypass(address.partition('://')[2])",
            ),
            ("mammogan/storage.py", "    if not urllib.request.getproxies():", "    if True:"),
            (
                "mammogan/probe/store.py",
                "storage.client_of(session, config), signed",
                'session.client("s3", config=config), signed',
            ),
        ],
        "tests/test_trust.py -k refuses": [
            ("mammogan/launch/server.py", "trust.blamed(words, status, proxy)", "words"),
            ("mammogan/storage.py", "trust.blamed(fix, status, proxy)", "fix"),
            ("mammogan/storage.py", "isinstance(error, ProxyConnectionError)", "False"),
            ("mammogan/storage.py", "None if of_the_store else trust", "trust"),
            ("mammogan/probe/store.py", "trust.blamed(fix, status, proxy)", "fix"),
            ("mammogan/probe/store.py", "    if through:", "    if False:"),
            (
                "mammogan/tracking/probe.py",
                "trust.blamed(_words(uri, status), status, trust.proxy_for(uri))",
                "_words(uri, status)",
            ),
            ("mammogan/tracking/probe.py", "if proxy := trust.proxy_for(uri):", "if proxy := '':"),
            ("mammogan/trust.py", "    if status == PROXY_SIGN_IN:", "    if False:"),
            ("mammogan/trust.py", 'proxy.rpartition("@")[2].rpartition', "proxy.rpartition"),
        ],
        "tests/launch/test_image_digests.py": [
            (
                "docker/image_digests.py",
                "text[: place.start] + place.before + digest + text[place.end :]",
                "text[: place.start] + place.before + digest + text[place.start :]",
            ),
            ("docker/image_digests.py", "hashlib.sha256(answer.content)", "hashlib.sha256(b'')"),
        ],
        "tests/tracking/test_runs.py -k waits_for_nobody": [
            (
                "mammogan/tracking/trial_log.py",
                "if not self._deleted():\n                raise",
                "if True:\n                raise",
            ),
        ],
        "tests/tracking/test_runs.py -k 'not_taken or refuses_the_record'": [
            (
                "mammogan/tracking/trial_log.py",
                "            if error is None:\n                raise UnrecordedError",
                "            if error == 0:\n                raise UnrecordedError",
            ),
            ("mammogan/tracking/trial_log.py", "            self.refusal = refusal\n", "            pass\n"),
        ],
        "tests/registry/test_overwritten.py -k unreachable": [
            ("mammogan/registry/contents.py", "        if not _are_gone(error):\n            raise\n", ""),
        ],
        "tests/test_config.py -k 'plain or list_of_nothing'": [
            ("mammogan/config.py", "        _require_plain(key, value)\n", ""),
            ("mammogan/config.py", '        _require(bool(items), key, value, "give at least one")\n', ""),
        ],
        "tests/registry/test_overwritten.py -k 'settings_and_manifest'": [
            ("mammogan/tracking/stored.py", "if recorded and recorded !=", "if recorded == 0 and recorded !="),
            ("mammogan/registry/reevaluation.py", " or not stored.is_sealed(parent, CONFIG_FILE, tracking_uri)", ""),
            ("mammogan/registry/reevaluation.py", "if parent and sealed else ()", "if parent else ()"),
        ],
        "tests/data/test_picture_list.py -k only_regular": [
            ("mammogan/storage.py", "except RuntimeError as error:", "except ArithmeticError as error:"),
        ],
        "tests/data/test_picture.py -k lies_as_its_orientation": [
            ("mammogan/data/tiff.py", "JPEG and tags.get(ORIENTATION, 1) != 1:", "JPEG and tags is None:"),
        ],
        "tests/data/test_display.py -k 'not_square or below_the_image'": [
            ("mammogan/data/display.py", "    _require_square(dataset)\n", ""),
            ("mammogan/data/display.py", "            if max(sides) > SQUARE * min(sides):", "            if False:"),
            ("mammogan/data/display.py", "SQUARE = 1.01", "SQUARE = 1.0"),
            ("mammogan/data/display.py", "    with suppress(TypeError, ValueError):", "    if True:"),
            ("mammogan/data/display.py", "if 0 < first < np.inf and 0 < second < np.inf:", "if True:"),
            (
                "mammogan/data/functional_groups.py",
                "        yield from (item for _, item in _items(dataset, macro))\n",
                "        pass\n",
            ),
            ("mammogan/data/display.py", "shown.min(where=~background, initial=shown.max())", "shown.min()"),
        ],
        "tests/data/test_split.py -k not_quoted": [
            (
                "mammogan/data/split.py",
                "known = [name for name in SUBSETS if (subsets == name).any()]",
                "known = sorted(set(subsets))",
            ),
        ],
        "tests/features/test_saved.py": [
            ("mammogan/features/saved.py", "    if packed:\n", "    if packed is None:\n"),
            (
                "mammogan/storage.py",
                "with open_regular(path) as file:\n        return hashlib",
                "with path.open('rb') as file:\n        return hashlib",
            ),
        ],
        "tests/models/test_critic_file.py -k damaged": [
            ("mammogan/models/critic_file.py", "if type(content[name]) is not kind:", "if kind is None:"),
        ],
        "tests/reporting/test_data_card.py -k of_people": [
            ("mammogan/data/summary.py", "self.kinds - NOBODY", "self.source != 'phantom'"),
        ],
        "tests/launch/test_local.py -k port_of_another": [
            ("mammogan/launch/ui.py", "    _require_free(port)\n", ""),
        ],
        "tests/data/test_layouts.py": [
            ("mammogan/data/sources.py", "HEADER_BYTES = (1 << 14, 1 << 18, 1 << 24)", "HEADER_BYTES = (1 << 14,)"),
        ],
        "tests/data/test_patients.py": [
            *(
                (
                    "mammogan/data/patients.py",
                    f'self.pseudonym("{kind}", text) for text in frame["{column}"]',
                    f'text for text in frame["{column}"]',
                )
                for kind, column in (("file", "source"), ("series", "source_uid"))
            ),
            ("mammogan/data/patients.py", 'self.pseudonym("patient", canonical(text))', "text"),
            ("mammogan/data/patients.py", "            image_id=image_ids,\n", ""),
            ("mammogan/data/patients.py", 'subset=frame["subset"].replace(subsets),', ""),
            ("mammogan/data/patients.py", "            **plain,\n", ""),
            (
                "mammogan/data/patients.py",
                '                logger.info(f"a key',
                "                pass\n            else:\n                storage.write_bytes(address, bytes.fromhex('00'))\n                logger.info(f\"a key",
            ),
            ("mammogan/data/patients.py", "Path(home).chmod(0o700)", "pass"),
            ("mammogan/data/patients.py", "Path(address).chmod(0o600)", "pass"),
            ("mammogan/data/ingest.py", "hidden_rows(bad) if patients else bad", "bad"),
            ("mammogan/data/manifest.py", ".assign(patient=first)", '.assign(patient=ordered["patient_id"])'),
            ("mammogan/storage.py", "        error.filename = str(folder)\n", ""),
            (
                "mammogan/data/tables.py",
                'parts = [f"{count} {ending}"',
                "return ', '.join(names)\n    parts = [f\"{count} {ending}\"",
            ),
            ("mammogan/data/tables.py", "if column in known]", "]"),
            ("mammogan/data/replacement.py", "if free and not _is_between(path):", "if not _is_between(path):"),
            (
                "mammogan/data/replacement.py",
                "                    shutil.rmtree(left / name)\n",
                "                    pass\n",
            ),
            ("mammogan/data/replacement.py", "bool(names) and names <= {NEW, OLD}", "True"),
            ("mammogan/data/dicom.py", '== "YES"', '== "NO"'),
        ],
        "tests/data/test_dicom.py": [
            ("mammogan/data/dicom_file.py", "config.settings.reading_validation_mode = config.IGNORE", "pass"),
        ],
        "tests/data/test_s3.py": [
            ("mammogan/data/worker.py", "key=storage.Key.SOURCE, named=named)", "key=storage.Key.SOURCE)"),
        ],
        "tests/audit/test_audit.py -k called_decides": [
            (
                "mammogan/audit/membership.py",
                "index = numbered(patients)",
                "index = np.unique(np.asarray(patients), return_inverse=True)[1]",
            ),
        ],
        "tests/utility/test_decision.py -k both_comparisons": [
            (
                "mammogan/utility/decision.py",
                "frozenset(findings), Benefit",
                "frozenset({*findings} - {Finding.NO_DIFFERENCE}), Benefit",
            ),
        ],
        "tests/utility/test_decision.py -k hands_compute": [
            ("mammogan/statistics.py", "(len(values) - rank) * values[number]", "values[number]"),
        ],
        "tests/utility/test_delong.py -k obuchowskis": [
            ("mammogan/utility/delong.py", "index = test.patient_index", "index = np.arange(len(test.labels))"),
            ("mammogan/utility/delong.py", "patients = max(alone + both, 0.0)", "patients = alone"),
        ],
        "tests/utility/test_utility.py -k each_block": [
            (
                "mammogan/utility/blocks.py",
                "Pool(learnt, sets.of(number), sets.label)",
                "Pool(learnt, sets.of(0), sets.label)",
            ),
            (
                "mammogan/utility/blocks.py",
                "for side in (~watched, watched))",
                "for side in (watched | True, watched))",
            ),
        ],
        "tests/utility/test_utility.py -k plateau": [
            ("mammogan/utility/classifier.py", "        classifier.load_state_dict(best.weights)", "        pass"),
        ],
        "tests/utility/test_utility.py -k called_decides": [
            (
                "mammogan/utility/held_out.py",
                "return numbered(self.patients)",
                "return np.unique(np.asarray(self.patients), return_inverse=True)[1]",
            ),
        ],
        "tests/audit/test_audit.py -k no_real_image": [
            ("mammogan/audit/inspection.py", "if config.report.real_images else None", ""),
            (
                "mammogan/audit/inspection.py",
                "names, shared = self.real.train.pseudonyms",
                "names, shared = self.real.train.image_ids",
            ),
        ],
        "tests/test_numbers.py": [
            ("mammogan/numbers.py", "statistics.median_low(sizes)", "max(sizes)"),
            ("mammogan/numbers.py", 'shown.lstrip("-") if not shown.strip("-0.") else shown', "shown"),
        ],
        "tests/reporting/test_subgroup_section.py": [
            ("mammogan/reporting/subgroup_tables.py", "    if found.omitted:\n", "    if False:\n"),
        ],
        "tests/reporting/test_report.py -k 'amber or red or flatten'": [
            ("mammogan/reporting/marks.py", "    if unmade:\n", "    if False:\n"),
            ("mammogan/reporting/marks.py", "marks.insert(0, Mark(Tone.AMBER, DEMO))", "pass"),
            ("mammogan/reporting/marks.py", "(Tone.BAD, Tone.AMBER)", "(Tone.AMBER, Tone.BAD)"),
            ("mammogan/reporting/figures.py", "if low - reach <= centre <= high + reach", "if True"),
        ],
        "tests/reporting/test_report_page.py": [
            ("mammogan/reporting/templates/report.css", ".wide { overflow-x: auto; ", ".wide { "),
            ("mammogan/reporting/templates/report.css", "content-visibility: visible; block-size: auto;", ""),
            ("mammogan/reporting/templates/report.css", "max-width: 40vw; white-space: normal; }", "}"),
            (
                "mammogan/reporting/templates/report.css",
                "max-width: 40vw; white-space: normal; }",
                "max-width: 40vw; white-space: normal; overflow-wrap: anywhere; }",
            ),
        ],
        "tests/reporting/test_report.py -k real_images": [
            ("mammogan/reporting/findings.py", "if real_images or name not in WITH_REALS", ""),
            (
                "mammogan/reporting/report.py",
                "real_images=shows_reals and bool(WITH_REALS & record.findings.pictures.keys()),",
                "real_images=False,",
            ),
        ],
        "tests/commands/test_purge.py": [
            ("mammogan/launch/remains.py", "    if not (out / database).is_file() and", "    if False and"),
            ("mammogan/tracking/purge.py", '"pipeline"}, ViewType.ALL', '"pipeline"}, ViewType.ACTIVE_ONLY'),
            ("mammogan/commands/purge.py", "            if yes:\n", "            if True:\n"),
        ],
        "tests/commands/test_purge.py -k 'meanwhile or may_not or since'": [
            ("mammogan/storage.py", "    if not isinstance(met, FileNotFoundError):\n", "    if True:\n"),
            ("mammogan/storage.py", "    if not isinstance(met, FileNotFoundError):\n", "    if False:\n"),
            (
                "mammogan/launch/remains.py",
                "storage.remove_folder(Path(self.address))",
                '__import__("shutil").rmtree(self.address)',
            ),
            (
                "mammogan/tracking/purge.py",
                "            storage.remove_folder(path)\n",
                '            __import__("shutil").rmtree(path)\n',
            ),
            ("mammogan/tracking/purge.py", "path.unlink(missing_ok=True)", "path.unlink()"),
        ],
        "tests/data/test_finished.py": [
            ("mammogan/data/finished.py", "(_address(job), job.stamp)", '(_address(job), record.get("stamp"))'),
        ],
        "tests/data/test_picture.py -k threads": [
            (
                "mammogan/data/picture.py",
                "    image.load()  # warns",
                "    with warned():\n        image.load()  # warns",
            ),
        ],
        "tests/data/test_picture_list.py -k mask": [
            ("mammogan/data/worker.py", 'if job.spec.content != "crop" and is_drawing', "if False and is_drawing"),
            ("mammogan/data/worker.py", "np.count_nonzero(thinned >= high - edge)", "np.count_nonzero(thinned >= low)"),
        ],
        "tests/data/test_manifest.py": [
            ("mammogan/data/manifest.py", '{"image_id", "sha256"} <= set(absent) and', "False and"),
        ],
        "tests/data/test_split.py -k 'interval or official or validation or held_out'": [
            ("mammogan/data/split.py", "numbers < least + config.validation_fraction", "numbers < 0.9"),
            ("mammogan/data/split.py", "or validation or", "or"),
            ("mammogan/data/split.py", "validation = (numbers >= least)", "validation = (numbers >= 0)"),
            ("mammogan/data/split.py", "(test.isin(validation) & ~test.isin(train))", "test.isin(validation)"),
        ],
        "tests/training/test_train_command.py -k elsewhere": [
            ("mammogan/data/minority.py", "of_class.held_out_validation", "of_class.validation"),
        ],
        "tests/audit/test_audit.py -k 'non_members or stand_in'": [
            ("mammogan/audit/inspection.py", "whole.held_out_validation", "whole.validation"),
            ("mammogan/audit/inspection.py", "Role.VALIDATION if len(self.validation) else Role.TEST", "Role.TEST"),
        ],
        "tests/utility/test_utility.py -k end_its_trainings": [
            ("mammogan/utility/blocks.py", "    if not len(validation):\n", "    if True:\n"),
            ("mammogan/utility/blocks.py", "whole.held_out_validation.real", "whole.validation.real"),
        ],
        "tests/metrics/test_prdc.py": [
            ("mammogan/metrics/prdc.py", "equal = known.across == 0", "equal = known.across < 0"),
            ("mammogan/metrics/prdc.py", "ROUNDING = 1e-13", "ROUNDING = -1.0"),
        ],
        "tests/metrics/test_ms_ssim.py -k enlarged": [
            ("mammogan/image_tensors.py", "round(width * side / shorter))", "side)"),
        ],
        "tests/test_statistics.py": [
            ("mammogan/statistics.py", "    if clusters is not None:\n", "    if False:\n"),
            ("mammogan/statistics.py", "        own = sides[0] == sides[1]\n", "        own = sides[0] < 0\n"),
            ("mammogan/statistics.py", "half / above, LARGEST_EXPONENT", "half, LARGEST_EXPONENT"),
            ("mammogan/statistics.py", "min(max(value - half, least), value)", "value - half"),
            ("mammogan/statistics.py", "max(min(value + half, most), value)", "value + half"),
        ],
        "tests/commands/test_command_line.py -k utf": [
            ("mammogan/command_line.py", "    utf8.require()\n", ""),
            ("mammogan/utf8.py", '        os.environ["PYTHONUTF8"] = "1"\n', ""),
            ("mammogan/utf8.py", "    if told or (not", "    if (not"),
        ],
        "tests/launch/test_local.py -k last_line": [
            ("mammogan/launch/local.py", r"^(?:[^\W\d]\w*\.)*\w+(?:Error", r"^\w+(?:Error"),
        ],
        "tests/test_config.py": [
            ("mammogan/config.py", "    if len(values) < len(items):", "    if not values:"),
            ("mammogan/config.py", '    if "preset" in overrides:', '    if "presets" in overrides:'),
            ("mammogan/config.py", "abs(converted) <= LARGEST_INTEGER", "True"),
        ],
        "tests/test_tether.py": [
            ("mammogan/tether.py", "    if runner is None:\n", "    if False:\n"),
        ],
        "tests/test_exclusive_lock.py": [
            ("mammogan/lock.py", "os.O_CREAT | os.O_NOFOLLOW", "os.O_CREAT"),
            ("mammogan/lock.py", "held = free and _is_at(descriptor, path)", "held = free"),
            (
                "mammogan/lock.py",
                "    except BlockingIOError:\n        return False",
                "    except BlockingIOError:\n        return True",
            ),
            ("mammogan/lock.py", "if is_free(descriptor, unknown=False) and", "if"),
            ("mammogan/lock.py", "                path.unlink()", "                pass"),
        ],
        "tests/data/test_replacement.py": [
            ("mammogan/data/replacement.py", "            if free and _is_between(left):", "            if False:"),
            ("mammogan/data/replacement.py", "            if free and not _is_between(path):", "            if free:"),
            ("mammogan/data/replacement.py", "            if _is_between(scratch):", "            if False:"),
            ("mammogan/data/replacement.py", "            os.replace(scratch / OLD, folder)", "            raise"),
            ("mammogan/data/replacement.py", "(scratch / OLD).exists() and (scratch / NEW)", "(scratch / NEW)"),
            (
                "mammogan/data/replacement.py",
                "    with lock.folder(folder.parent, fcntl.LOCK_EX):  #",
                "    if True:  #",
            ),
            (
                "mammogan/data/replacement.py",
                "    with lock.folder(scratch, fcntl.LOCK_EX | fcntl.LOCK_NB):",
                "    if True:",
            ),
            ("mammogan/data/manifest.py", "    put_back(folder)\n", ""),
            ("mammogan/data/dataset.py", "        manifest.put_back(folder)\n", ""),
            ("mammogan/commands/purge.py", "            put_back(out.resolve())", "            pass"),
        ],
        "tests/synthesis/test_synthesis.py -k 'second_process or killed_process or full_disk'": [
            ("mammogan/synthesis/balance.py", "if storage.is_remote(out) else lock.out_folder(out)", ""),
            ("mammogan/synthesis/balance.py", "        manifest.put_back(Path(out))", "        pass"),
            (
                "mammogan/synthesis/balance.py",
                "    replacement.take_place(Path(stream.root), Path(out))",
                "    os.replace(out, _work(out) / 'old') if Path(out).exists() else None; os.replace(stream.root, out)",
            ),
            ("mammogan/synthesis/stream.py", "with storage.named(path.parent):", "if True:"),
        ],
        "tests/training/test_train_command.py -k second_process": [
            ("mammogan/training/trial.py", "with _held(out) if ranks.is_main else contextlib", "with contextlib"),
        ],
        "tests/data/test_ingest.py -k 'second_ingest or full_disk or killed_ingest'": [
            ("mammogan/data/ingest.py", "with lock.out_folder(out) if work is None else contextlib", "with contextlib"),
            ("mammogan/data/ingest.py", "    sweep(work)\n", ""),
            ("mammogan/data/finished.py", 'f".{secrets.token_hex(8)}{PART}"', 'f".{path.name}.{os.getpid()}{PART}"'),
            ("mammogan/data/finished.py", "            part.unlink(missing_ok=True)\n", ""),
            (
                "mammogan/data/finished.py",
                "        descriptor = lock.taken(part)\n",
                "        descriptor = lock.opened(part)\n",
            ),
        ],
        "tests/registry/test_serving.py -k full_disk": [
            (
                "mammogan/registry/exports.py",
                "storage.write_bytes(str(out / name), each.content)",
                "(out / name).write_bytes(each.content)",
            ),
        ],
        "tests/test_user_folders.py": [
            ("mammogan/user_folders.py", "except RuntimeError as error:", "except KeyError as error:"),
        ],
        "tests/launch/test_readiness.py": [
            ("mammogan/launch/readiness.py", "        if not path.exists():", "        if False:"),
            ("mammogan/launch/readiness.py", "    _require_devices(settings)\n", ""),
        ],
        "tests/registry/test_promotion.py -k clock": [
            (
                "mammogan/registry/lock.py",
                "silent_s > STALE_S",
                "time.time_ns() // 1_000_000 - holder.creation_timestamp > STALE_S * 1000",
            ),
        ],
        "tests/registry/test_lock.py": [
            ("mammogan/registry/lock.py", '("RESOURCE_ALREADY_EXISTS", NOT_THERE)', '("RESOURCE_ALREADY_EXISTS",)'),
            (
                "mammogan/registry/lock.py",
                "        _release(client, holder.name, dead)\n",
                "        client.delete_registered_model(holder.name)\n",
            ),
            ("mammogan/registry/lock.py", "    if not _acquire(client, claim, own, seen):\n", "    if False:\n"),
            (
                "mammogan/registry/lock.py",
                'if holder is not None and holder.tags.get(OWNER, "") == owner:',
                "if holder is not None:",
            ),
            (
                "mammogan/registry/lock.py",
                'holder.tags.get(OWNER, ""), holder.tags.get(heartbeat.HEARTBEAT, "")',
                'holder.tags.get(OWNER, ""), ""',
            ),
            (
                "mammogan/registry/lock.py",
                "with heartbeat.beating(lambda: _beat(client, name, owner), heartbeat.EVERY_S):",
                "if True:",
            ),
        ],
        "tests/registry/test_registry.py -k 'register_a_run_at_once or cannot_begin or lost or dead'": [
            ("mammogan/registry/versions.py", "        if model.model_id != kept:\n", "        if False:\n"),
            (
                "mammogan/registry/versions.py",
                "lock.held(client, parent_id, LOCK_WAIT_S)",
                'lock.held(client, __import__("uuid").uuid4().hex, LOCK_WAIT_S)',
            ),
        ],
        "tests/tracking/test_lineage.py -k 'as_good or trash'": [
            ("mammogan/tracking/runs.py", "for each in _upwards(mlflow, given) if", "for each in [given] if"),
            ("mammogan/tracking/runs.py", 'if run.info.lifecycle_stage != "active":', "if False:"),
        ],
        "tests/tracking/test_runs.py -k says_no_address": [
            (
                "mammogan/tracking/server.py",
                '    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")\n',
                "",
            ),
        ],
        "tests/synthesis/test_synthesis.py": [
            ("mammogan/synthesis/publication.py", '"source": manifest.SYNTHETIC,', '"source": "dicom",'),
        ],
        "tests/tracking/test_spool.py": [
            (
                "mammogan/tracking/spool.py",
                "        self._sent += sum(map(len, lines[:taken]))",
                "        self._sent += sum(map(len, lines))",
            ),
            ("mammogan/tracking/spool.py", "min(failures - 1, MOST_DOUBLINGS)", "(failures - 1)"),
            (
                "mammogan/tracking/spool.py",
                "        if self._given_up.is_set():\n            return\n",
                "",
            ),
            ("mammogan/tracking/spool.py", "while not self._given_up.is_set() and (", "while ("),
        ],
    }.items()
    for file, old, new in faults
]


def outcome(mutant: Mutant, folder: str) -> str:
    """``caught``, or what is wrong. Works on this process's own copy of the code, below the folder."""
    copy = Path(folder, str(os.getpid()), ROOT.name)
    if not copy.exists():
        shutil.copytree(ROOT, copy, ignore=_left_out)
        (copy.parent / DATA).symlink_to(ROOT.parent / DATA)
    path = copy / mutant.file
    source = path.read_text()
    if mutant.old not in source:
        return "NO SUCH CODE"
    path.write_text(source.replace(mutant.old, mutant.new, 1))
    trial = multiprocessing.get_context("fork").Process(target=_test, args=(mutant.tests, copy))
    try:
        trial.start()
        trial.join(LIMIT_S)
        if trial.exitcode is None:
            trial.kill()
            trial.join()
            return "caught: it hangs"
    finally:
        path.write_text(source)
    return {0: "NOT CAUGHT", 1: "caught"}.get(trial.exitcode, f"NOT RUN: pytest ended with status {trial.exitcode}")


def _left_out(folder: str, names: list[str]) -> set[str]:
    """What ``copytree`` leaves out of a folder: `mammogan/runs` is code, `runs` is not."""
    return {"__pycache__", *(LEFT_OUT & set(names) if Path(folder) == ROOT else ())}


def _test(tests: str, copy: Path) -> None:
    """Run the tests of a copy, in a process that has none of our modules yet."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    os.environ["PYTHONPATH"] = str(copy)
    options = ["-q", "-x", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    status = NOT_RUN
    try:
        status = int(pytest.main([*options, *split(tests)]))
    finally:
        os._exit(status)


def main(chosen: str) -> int:
    """Try the mutants whose file's name holds the text; the exit status."""
    mutants = [mutant for mutant in MUTANTS if chosen in mutant.file]
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # no thread, for what is forked has none
    for name in HEAVY:
        importlib.import_module(name)
    wrong = 0
    fork = multiprocessing.get_context("fork")
    with (
        tempfile.TemporaryDirectory() as folder,
        warm_interpreter.started(Path(folder)) as warm,
        ProcessPoolExecutor(COPIES, mp_context=fork) as pool,
    ):
        os.environ[warm_interpreter.VARIABLE] = str(warm)
        unchanged = [
            Mutant(tests, "tests/mutants.py", "", "") for tests in dict.fromkeys(mutant.tests for mutant in mutants)
        ]
        tried = unchanged + mutants
        for mutant, verdict in zip(tried, pool.map(outcome, tried, [folder] * len(tried)), strict=True):
            ok = verdict == "NOT CAUGHT" if mutant in unchanged else verdict.startswith("caught")
            wrong += not ok
            what = (
                f"{mutant.file}: {' '.join(mutant.old.split())[:70]}"
                if mutant.old
                else f"without a fault: {mutant.tests}"
            )
            print(f"{'ok' if ok else verdict:12}  {what}", flush=True)
    print(f"{len(mutants)} faults and {len(unchanged)} trials without one: {wrong} not as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
