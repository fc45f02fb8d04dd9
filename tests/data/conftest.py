"""What the tests of the data room share: a small phantom and a way to write DICOM files."""

import io

import numpy as np
import pandas as pd
import pytest
from filled_dataset import write_summary
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from mammogan.data import manifest
from mammogan.data.phantom import write_phantom


@pytest.fixture(scope="session")
def phantom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder, patients=8, seed=0)
    return folder


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def dicom_bytes():
    """Function that gives the bytes of a DICOM file of these pixels; keywords set or (None) remove elements."""

    def make(pixels, syntax=ExplicitVRLittleEndian, **elements):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax.is_compressed else syntax
        dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
        dataset.SeriesInstanceUID = "1.2.3"
        dataset.Rows, dataset.Columns = pixels.shape[:2]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.itemsize
        dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, int(pixels.dtype.kind == "i")
        ordered = pixels.astype(
            pixels.dtype.newbyteorder("<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">")
        )
        dataset.PixelData = ordered.tobytes() + b"\0" * (pixels.nbytes % 2)
        dataset["PixelData"].VR = "OW" if pixels.itemsize == 2 else "OB"
        for name, value in elements.items():
            if value is None:
                delattr(dataset, name)
            else:
                setattr(dataset, name, value)
        if syntax.is_compressed and not syntax.is_deflated:
            dataset.compress(syntax)
        elif syntax.is_deflated:
            dataset.file_meta.TransferSyntaxUID = syntax
        buffer = io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        return buffer.getvalue()

    return make


@pytest.fixture
def dataset(tmp_path):
    """Ten images of a known grey value: 4 malignant, 6 benign, one of each in test."""
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(10):
        name = f"I{9 - number}"
        Image.fromarray(np.full((28, 28), 9 - number, np.uint8)).save(folder / f"images/{name}.png")
        row = dict.fromkeys(manifest.COLUMNS, "") | {
            "image_id": name,
            "file": f"images/{name}.png",
            "label": int(number < 4),
            "pathology": "MALIGNANT" if number < 4 else "BENIGN",
            "patient_id": f"NA{number}",
            "split": "test" if number in (0, 9) else "train",
            "source": f"{number}.dcm",
            "sha256": f"{number:064x}",
            "original_rows": 40,
            "original_cols": 30,
        }
        rows.append(row)
    frame = pd.DataFrame(rows)
    manifest.write(frame, folder)
    write_summary(frame, folder)
    return folder
