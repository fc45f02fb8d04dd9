"""Mammograms drawn from random numbers, written as CBIS-DDSM would be: 16-bit DICOM files and a case CSV.

They let the whole experiment run without any data. A breast is a silhouette whose thickness falls towards the skin,
fat and fibroglandular tissue of 1/f noise (the power spectrum of mammograms falls about as f^-3: Burgess, Jacobson
and Judy 2001, doi 10.1118/1.1355308), strands of connective tissue, in MLO views the pectoral muscle, and one mass:
smooth and round where benign, irregular and spiculated where malignant.
"""

from __future__ import annotations

import csv
import functools
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from mammogan import storage

ROWS, COLUMNS = 400, 280
SPECTRUM_EXPONENT = 3.0
MALIGNANT_SHARE = 0.4
CSV_NAME = "mass_case_description_train_set.csv"
HEADER = (
    "patient_id",
    "breast_density",
    "left or right breast",
    "image view",
    "abnormality id",
    "abnormality type",
    "mass shape",
    "mass margins",
    "assessment",
    "pathology",
    "subtlety",
    "image file path",
    "cropped image file path",
    "ROI mask file path",
)


@dataclass(frozen=True)
class Patient:
    """What the views of one breast have in common."""

    name: str
    side: str
    density: int
    """BI-RADS breast density, 1 to 4."""
    pathology: str
    mass_radius: float
    """Pixels."""
    views: tuple[str, ...]


@dataclass(frozen=True)
class Breast:
    """One drawn view, chest wall on the left, values in [0, 1]."""

    image: np.ndarray
    mask: np.ndarray
    """Where the mass is, boolean."""
    box: tuple[slice, slice]
    """Rows and columns of the crop around the mass."""


def write_phantom(folder: Path, patients: int = 48, seed: int = 0) -> None:
    """Write a TCIA-like tree of ``patients`` below ``folder``, with ``mass_case_description_train_set.csv`` on top.

    About two views a patient and 40% of the patients malignant; every view has its full image, its crop and its mask.
    The same seed gives the same bytes.
    """
    rng = np.random.default_rng(seed)
    malignant = rng.permutation(patients) < round(MALIGNANT_SHARE * patients)
    rows = []
    for number in range(patients):
        patient = _patient(number, bool(malignant[number]), rng)
        rows.extend(_write_view(folder, patient, view, seed, rng) for view in patient.views)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(HEADER)
    table.writerows(rows)
    storage.write_bytes(str(folder / CSV_NAME), text.getvalue().encode())


def _patient(number: int, malignant: bool, rng: np.random.Generator) -> Patient:
    benign = "BENIGN_WITHOUT_CALLBACK" if rng.random() < 0.2 else "BENIGN"
    return Patient(
        name=f"P_{number + 1:05d}",
        side=str(rng.choice(["LEFT", "RIGHT"])),
        density=int(rng.integers(1, 5)),
        pathology="MALIGNANT" if malignant else benign,
        mass_radius=float(rng.uniform(11, 20)),
        views=(("CC", "MLO"), ("CC", "MLO"), ("CC", "MLO"), ("CC", "MLO"), ("CC",), ("MLO",))[rng.integers(6)],
    )


def _write_view(folder: Path, patient: Patient, view: str, seed: int, rng: np.random.Generator) -> tuple[object, ...]:
    """Write the full image, the crop and the mask of one view, and return its CSV row."""
    breast = draw_breast(patient, view, rng)
    image = (np.clip(breast.image, 0, 1) * 65535).astype(np.uint16)
    mask = breast.mask.astype(np.uint8) * 255
    crop = image[breast.box]
    if patient.side == "RIGHT":
        image, mask, crop = image[:, ::-1], mask[:, ::-1], crop[:, ::-1]
    _burn_in_label(image, f"{patient.side[0]}{view}", left=patient.side == "RIGHT")
    name = f"Mass-Training_{patient.name}_{patient.side}_{view}"
    full_path = _write_dicom(folder, name, "full mammogram images", image, 0, seed)
    pair = [
        _write_dicom(folder, f"{name}_1", "cropped images", pixels, number, seed)
        for number, pixels in enumerate((crop, mask))
    ]
    if rng.random() < 0.3:
        pair.reverse()  # the real CSVs swap the two columns here and there
    spiculated = patient.pathology == "MALIGNANT"
    shape, margins = ("IRREGULAR", "SPICULATED") if spiculated else ("ROUND", "CIRCUMSCRIBED")
    return (
        patient.name,
        patient.density,
        patient.side,
        view,
        1,
        "mass",
        shape,
        margins,
        5 if spiculated else 3,
        patient.pathology,
        4,
        full_path,
        f"{pair[0]}\n",
        f"{pair[1]}\n",
    )


def draw_breast(patient: Patient, view: str, rng: np.random.Generator) -> Breast:
    """One view of a breast: ``image`` (ROWS, COLUMNS) float64 in [0, 1], chest wall on the left."""
    depth = _silhouette(view, rng)
    inside = depth > 0
    thickness = 1 - np.exp(-np.clip(depth, 0, None) / 0.10)
    tissue = _tissue(depth, patient.density, rng)
    skin = 0.10 * np.exp(-(((depth - 0.012) / 0.010) ** 2))
    image = inside * (thickness * (0.20 + tissue) + skin)
    if view == "MLO":
        image = _add_pectoral(image, inside, rng)
    mass, mask, box = _mass(depth, patient, rng)
    image = image + thickness * mass
    image = ndimage.gaussian_filter(image, 0.6) + rng.normal(0, 0.006, image.shape) + 0.015
    return Breast(image, mask & inside, box)


def _silhouette(view: str, rng: np.random.Generator) -> np.ndarray:
    """Depth below the skin: 1 at the chest wall's middle, 0 on the skin line, negative outside."""
    y, x = np.mgrid[0:ROWS, 0:COLUMNS] / np.array([ROWS, COLUMNS])[:, None, None]
    reach = rng.uniform(0.62, 0.88)
    if view == "CC":
        middle, half, sag = rng.uniform(0.46, 0.54), rng.uniform(0.36, 0.45), 0.0
    else:
        middle, half, sag = rng.uniform(0.54, 0.60), rng.uniform(0.36, 0.40), rng.uniform(0.10, 0.18)
    v = (y - middle - sag * x) / half
    upper = np.where(v < 0, rng.uniform(0.55, 0.7) if view == "MLO" else 1.0, 1.0)  # the arm side runs out slowly
    wobble = 0.015 * _noise(rng, 4.0)
    return 1 - (x / reach) ** 2.2 - np.abs(v * upper) ** 2.4 + wobble * (x > 0.02)


def _noise(rng: np.random.Generator, exponent: float = SPECTRUM_EXPONENT) -> np.ndarray:
    """Gaussian field (ROWS, COLUMNS) whose power falls as f^-exponent, mean 0, standard deviation 1."""
    white = np.fft.rfft2(rng.normal(size=(ROWS, COLUMNS)))
    field = np.fft.irfft2(white * _amplitude(exponent), s=(ROWS, COLUMNS))
    return (field - field.mean()) / field.std()


@functools.cache
def _amplitude(exponent: float) -> np.ndarray:
    """f^(-exponent/2) at each frequency of a real image's transform, (ROWS, COLUMNS // 2 + 1); 0 for its mean."""
    frequency = np.hypot(np.fft.fftfreq(ROWS)[:, None], np.fft.rfftfreq(COLUMNS)[None, :])
    frequency[0, 0] = np.inf
    return frequency ** (-exponent / 2)


def _tissue(depth: np.ndarray, density: int, rng: np.random.Generator) -> np.ndarray:
    """Brightness of fat, gland and strands in [0, 0.6]: more gland in the middle and with the density grade."""
    amount = 1.1 * _noise(rng) + 2.2 * depth + 0.7 * density - 3.4
    gland = 1 / (1 + np.exp(-2.0 * amount))
    strands = np.exp(-((_noise(rng, 2.6) / 0.12) ** 2))
    fat = 0.035 * _noise(rng, 2.4)
    return np.clip(0.10 + fat + 0.26 * gland * (1 + 0.22 * _noise(rng, 2.2)) + 0.05 * strands * (0.4 + gland), 0, 0.6)


def _add_pectoral(image: np.ndarray, inside: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bright triangle of the pectoral muscle in the upper corner at the chest wall."""
    y, x = np.mgrid[0:ROWS, 0:COLUMNS] / np.array([ROWS, COLUMNS])[:, None, None]
    edge = x / rng.uniform(0.34, 0.48) + y / rng.uniform(0.5, 0.72) - 1 + 0.02 * _noise(rng, 4.0)
    muscle = inside / (1 + np.exp(edge / 0.03))
    return image * (1 - 0.5 * muscle) + muscle * (0.30 + 0.012 * _noise(rng))


def _mass(
    depth: np.ndarray, patient: Patient, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, tuple[slice, slice]]:
    """Brightness of the mass, its mask, and the box of its crop."""
    radius, margin = patient.mass_radius, int(2.4 * patient.mass_radius)
    rows, columns = np.nonzero(depth[margin:-margin, margin:-margin] > 0.3)
    at = rng.integers(len(rows))
    box = slice(rows[at], rows[at] + 2 * margin), slice(columns[at], columns[at] + 2 * margin)
    y, x = np.mgrid[-margin:margin, -margin:margin] + 0.5
    distance, angle = np.hypot(y, x), np.arctan2(y, x)
    if patient.pathology == "MALIGNANT":
        waves = [rng.uniform(-0.14, 0.14) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in range(2, 7)]
        outline = 0.75 * radius * (1 + sum(waves))
        body = 0.24 / (1 + np.exp((distance - outline) / 2.5)) + _spicules(distance, angle, radius, rng)
    else:
        outline = radius * (1 + rng.uniform(0, 0.12) * np.cos(2 * angle + rng.uniform(0, 6.3)))
        body = 0.20 / (1 + np.exp((distance - outline) / 1.2))
    mass, mask = np.zeros_like(depth), np.zeros(depth.shape, dtype=bool)
    mass[box], mask[box] = body, distance < outline
    return mass, mask, box


def _spicules(distance: np.ndarray, angle: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Thin bright lines that leave the mass in all directions, bend a little and fade out."""
    total = np.zeros_like(distance)
    for direction in np.linspace(0, 2 * np.pi, int(rng.integers(12, 19)), endpoint=False):
        bend = rng.uniform(-0.15, 0.15) * distance / radius
        turned = angle - direction - rng.uniform(-0.2, 0.2) - bend
        across, along = distance * np.sin(turned), distance * np.cos(turned)
        fade = np.clip(1 - along / (radius * rng.uniform(1.4, 2.3)), 0, 1) * (along > 0)
        total = np.maximum(total, 0.17 * fade * np.exp(-((across / rng.uniform(0.9, 1.6)) ** 2)))
    return total


def _burn_in_label(image: np.ndarray, text: str, left: bool) -> None:
    """Write the view into the dark corner away from the chest wall, as film markers do."""
    canvas = Image.new("L", (COLUMNS, ROWS))
    ImageDraw.Draw(canvas).text((12 if left else COLUMNS - 42, 10), text, fill=255)
    marked = np.asarray(canvas) > 127
    image[marked] = np.maximum(image[marked], 55000)


def _write_dicom(folder: Path, name: str, description: str, pixels: np.ndarray, number: int, seed: int) -> str:
    """Write one image below ``name/study/series`` and return its path relative to ``folder``."""
    from pydicom.uid import generate_uid

    study, series, instance = (
        generate_uid(entropy_srcs=["mammogan phantom", str(seed), name, part])
        for part in ("study", "series", str(number))
    )
    _, _, _, side, view = name.split("_")[:5]
    content = dicom_bytes(
        pixels,
        study,
        series,
        instance,
        SeriesDescription=description,
        PatientID=name,
        PatientName=name,
        InstanceNumber=number + 1,
        Laterality=side[0],
        PatientOrientation=view,
    )
    path = f"{name}/{study}/{series}/{number:06d}.dcm"
    storage.write_bytes(str(folder / path), content)
    return path


def dicom_bytes(pixels: np.ndarray, study: str, series: str, instance: str, **elements: object) -> bytes:
    """DICOM file, Implicit VR Little Endian as in CBIS-DDSM, of (rows, columns) uint8 or uint16 pixels."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ImplicitVRLittleEndian, SecondaryCaptureImageStorage

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, instance
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SeriesNumber = study, series, 1
    dataset.Modality, dataset.BodyPartExamined = "MG", "BREAST"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    for name, value in elements.items():
        setattr(dataset, name, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
