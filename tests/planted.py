"""Sources of images with names of patients planted wherever a source has room for one."""

import csv

import numpy as np
import pydicom
from PIL import Image

from mammogan.data import phantom

HEADER = {
    "PatientName": "Geheim^Rosalinde",
    "PatientID": "MRN-0815-4711",
    "AccessionNumber": "ACC99887766",
    "ReferringPhysicianName": "Quacksalber^Otto",
    "InstitutionName": "Klinik am Pflanzgarten",
    "PatientBirthDate": "19291113",
    "StudyDescription": "follow-up of Rosalinde",
}
SERIES = "1.2.826.0.1.3680043.8.498.4711"
IN_FILES = "Erika_Mustermann"
IN_COLUMNS = "seen by Dr Quacksalber"


def blob(number, side=28):
    """uint8 (side, side), other pixels for each number."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:side, :side]
    row, column = rng.uniform(8, 20, 2)
    picture = 60 + 150 * np.exp(-((x - column) ** 2 + (y - row) ** 2) / rng.uniform(8, 30))
    return (picture + rng.normal(0, 4, picture.shape)).clip(0, 255).astype(np.uint8)


def plant(dataset):
    for keyword, value in HEADER.items():
        setattr(dataset, keyword, value)
    dataset.BurnedInAnnotation = "YES"
    return dataset


def pictures(folder):
    """A source with a manifest: PNG and DICOM files, of which some rows are unusable; and the words planted there."""
    folder.mkdir()
    rows = [("file", "patient_id", "pathology", "laterality", "view", "abnormality_id", "subset")]
    for number in range(44):
        name = f"{IN_FILES}_{number}.{'dcm' if number < 4 else 'png'}"
        if number < 4:
            content = phantom.dicom_bytes(blob(number).astype(np.uint16), "1.2", f"{SERIES}.{number}", f"1.2.{number}")
            (folder / name).write_bytes(content)
            plant(pydicom.dcmread(folder / name)).save_as(folder / name)
        else:
            Image.fromarray(blob(number)).save(folder / name)
        label = "MALIGNANT" if number % 2 else "BENIGN"
        words = IN_COLUMNS if number == 5 else ""
        rows.append((name, f"HOSPITAL-{number:04d}-ID", label, words, words, words, words))
    rows.append((f"{IN_FILES}_gone.png", "HOSPITAL-9999-ID", "BENIGN", "", "", "", ""))
    rows.append((f"{IN_FILES}_6.png", "HOSPITAL-8888-ID", "BENIGN", "", "", "", ""))
    rows.append((f"{IN_FILES}_7.png", "HOSPITAL-0007-ID", f"{IN_FILES} is ill", "", "", "", ""))
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return [IN_FILES, "HOSPITAL-", IN_COLUMNS, SERIES, *HEADER.values()]


def dicom_files(folder):
    """A source as TCIA gives it, with names in every header; and the words planted there."""
    phantom.write_phantom(folder, patients=24)
    series = set()
    for path in sorted(folder.rglob("*.dcm")):
        dataset = plant(pydicom.dcmread(path))
        series.add(dataset.SeriesInstanceUID)
        dataset.save_as(path)
    sorted(folder.rglob("*_CC/*/*/000000.dcm"))[0].write_bytes(b"")
    return [f"P_{number:05d}" for number in range(1, 25)] + sorted(series) + list(HEADER.values())
