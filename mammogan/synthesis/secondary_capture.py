"""A synthetic image as DICOM: Secondary Capture, derived, marked as synthetic, of nobody.

SOP class and modules are those of the Secondary Capture Image IOD (DICOM PS3.3, A.8.1). Synthetic Data (0008,001C) is
YES and Conversion Type (0008,0064) is SYN. There is no source image to refer to, so the derivation is told in words.
UIDs are UUIDs (PS3.5, B.2) made from the image's name: the same image always has the same ones, another one others.
"""

from __future__ import annotations

import io
import uuid
from dataclasses import dataclass

import numpy as np

from mammogan import __version__

NAMESPACE = uuid.UUID("6f0d6f0a-4b0e-5c39-9a5e-2f3a1c7de2b4")
"""Of this program's UIDs (RFC 9562, 5.5)."""


@dataclass(frozen=True)
class Origin:
    """Where a synthetic image comes from."""

    image_id: str
    """Its name, unique among all models, seeds and indices."""
    series: str
    """What the images of one model and seed have in common."""
    number: int
    """Index of the image in its series, from 0."""
    label: str
    """Class that the generator learned."""
    sha256: str
    """Of the generator's snapshot."""


def uid(*parts: str) -> str:
    """UID below 2.25 that depends on nothing but ``parts``."""
    return f"2.25.{uuid.uuid5(NAMESPACE, '/'.join(parts)).int}"


def encode(pixels: np.ndarray, origin: Origin) -> bytes:
    """DICOM file, Explicit VR Little Endian, of (rows, columns) uint8; the same bytes for the same input."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = UID(uid("mammogan"))
    dataset.file_meta.ImplementationVersionName = "MAMMOGAN"
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = uid(origin.image_id)
    for name, value in {**_nobody(origin), **_synthetic(origin)}.items():
        setattr(dataset, name, value)
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _nobody(origin: Origin) -> dict[str, object]:
    """Patient and study: no person, no date."""
    return {
        "PatientName": "Synthetic^Image",
        "PatientID": uid(origin.image_id, "patient")[:64],
        "PatientBirthDate": "",
        "PatientSex": "",
        "PatientComments": "Synthetic image: there is no such patient",
        "StudyInstanceUID": uid(origin.series, "study"),
        "StudyDate": "",
        "StudyTime": "",
        "StudyID": "",
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "StudyDescription": "Synthetic mammograms",
    }


def _synthetic(origin: Origin) -> dict[str, object]:
    """Series, equipment and image: how it came to be."""
    return {
        "SyntheticData": "YES",
        "Modality": "MG",
        "SeriesInstanceUID": uid(origin.series, "series"),
        "SeriesNumber": 1,
        "SeriesDescription": f"Synthetic, {origin.label}: not for diagnosis"[:64],
        "BodyPartExamined": "BREAST",
        "Laterality": "",
        "ConversionType": "SYN",
        "Manufacturer": "mammogan",
        "ManufacturerModelName": "WGAN-GP generator",
        "SoftwareVersions": __version__,
        "InstanceNumber": origin.number + 1,
        "PatientOrientation": "",
        "ImageType": ["DERIVED", "SECONDARY", "SYNTHETIC"],
        "DerivationDescription": f"Image {origin.number} drawn from a generator, sha256 {origin.sha256}",
        "BurnedInAnnotation": "NO",
        "QualityControlImage": "NO",
        "ImageComments": f"SYNTHETIC. {origin.image_id}",
    }
