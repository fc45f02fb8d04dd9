"""What a DICOM header says of how its values are to be seen, one rule after the other, each against its formula."""

import io

import numpy as np
import pydicom
import pytest
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from mammogan.config import DataConfig
from mammogan.data import dicom, phantom, worker
from mammogan.data.preprocess import square, value_range
from mammogan.data.quarantine import BadImageError

SMALL = DataConfig(size=28)
RAMP = np.tile(np.arange(1000, 2000, 10, dtype=np.uint16), (100, 1))
"""Grows brighter to the right."""


def show(pixels, config=SMALL, **elements):
    return square(dicom.decode(phantom.dicom_bytes(pixels, "1.2", "1.3", "1.4", **elements)), config)


def framed(pixels, value):
    made = pixels.copy()
    made[:20] = value
    return made


MACROS = {
    "RescaleSlope": "PixelValueTransformationSequence",
    "WindowWidth": "FrameVOILUTSequence",
    "VOILUTSequence": "FrameVOILUTSequence",
    "ShutterShape": "FrameDisplayShutterSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "ImagerPixelSpacing": "FramePixelDataPropertiesSequence",
}
"""Where an element stands in a functional group (PS3.3, C.7.6.16.2)."""


def group(**elements):
    """A functional group sequence of one frame with one macro of these elements."""
    macro, frame = Dataset(), Dataset()
    for name, value in elements.items():
        setattr(macro, name, value)
    (sequence,) = {MACROS[name] for name in elements if name in MACROS}
    setattr(frame, sequence, [macro])
    return [frame]


class TestFunctionalGroups:
    @pytest.mark.parametrize("place", ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"])
    def test_the_rescale_of_an_enhanced_object_counts(self, place):
        falling = group(RescaleSlope=-1, RescaleIntercept=3000)
        assert show(RAMP, **{place: falling}).tolist() == show(3000 - RAMP).tolist()
        assert (
            show(RAMP, RescaleSlope=-1, RescaleIntercept=3000, **{place: falling}).tolist()
            == show(3000 - RAMP).tolist()
        )

    def test_so_does_its_window(self):
        def windowed(**elements):
            return dicom.decode(phantom.dicom_bytes(RAMP, "1.2", "1.3", "1.4", **elements), window=True).tolist()

        given = {"WindowCenter": 1500, "WindowWidth": 200}
        assert windowed(SharedFunctionalGroupsSequence=group(**given)) == windowed(**given)
        assert windowed(**given) != windowed()

    def test_so_does_its_table(self, dicom_bytes):
        curve = (65535 * (np.arange(100) / 99) ** 3).astype(int).tolist()
        table = Dataset()
        table.LUTDescriptor, table.LUTData = [100, 1000, 16], curve
        table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
        pixels = np.tile(np.arange(1000, 1100, dtype=np.uint16), (100, 1))
        content = dicom_bytes(pixels, SharedFunctionalGroupsSequence=group(VOILUTSequence=[table]))
        shown = dicom.decode(content, window=True)
        assert shown[0].tolist() == curve

    def test_two_places_that_differ_are_refused(self):
        with pytest.raises(BadImageError, match=r"RescaleSlope=1.*, and -1.* in SharedFunctionalGroupsSequence"):
            show(RAMP, RescaleSlope=1, RescaleIntercept=0, SharedFunctionalGroupsSequence=group(RescaleSlope=-1))


class TestPadding:
    @pytest.mark.parametrize("value", [0, 65535])
    def test_it_takes_no_part_in_the_range_and_is_dark(self, value):
        padded = show(framed(RAMP, value), PixelPaddingValue=value)
        assert padded[20].tolist() == show(RAMP)[20].tolist()
        assert (padded[20, [0, 27]].tolist(), padded[0, 0]) == ([4, 251], 0)

    @pytest.mark.parametrize("value", [0, 65535])
    def test_it_takes_no_part_in_percentiles(self, value):
        fine = np.tile(np.arange(1000, 1800, 2, dtype=np.uint16), (400, 1))
        half = fine.copy()
        half[:200] = value
        decoded = dicom.decode(phantom.dicom_bytes(half, "1.2", "1.3", "1.4", PixelPaddingValue=value))
        assert value_range(decoded, "percentile") == value_range(fine, "percentile")
        config = DataConfig(size=28, intensity="percentile")
        assert square(decoded, config)[20].tolist() == show(fine, config)[20].tolist()

    def test_it_is_dark_where_monochrome1_is_inverted(self):
        shown = show(framed(3000 - RAMP, 0), PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0)
        assert shown[0, 0] == 0
        assert shown[20, [0, 27]].tolist() == [4, 251]

    def test_a_range_of_values_is_padding(self):
        pixels = framed(RAMP, 65535)
        pixels[:5] = 65000
        shown = show(pixels, PixelPaddingValue=65535, PixelPaddingRangeLimit=65000)
        assert (shown[20, [0, 27]].tolist(), shown[:4].max()) == ([4, 251], 0)

    @pytest.mark.parametrize("written", ["signed", "unsigned"])
    def test_a_signed_image_may_write_it_either_way(self, dicom_bytes, written):
        pixels = framed(RAMP.astype(np.int16) - 1500, -2000)
        content = dicom_bytes(pixels, PixelPaddingValue=-2000)
        dataset = pydicom.dcmread(io.BytesIO(content))
        dataset["PixelPaddingValue"].VR = "SS" if written == "signed" else "US"
        dataset.PixelPaddingValue = -2000 if written == "signed" else 65536 - 2000
        buffer = io.BytesIO()
        dataset.save_as(buffer)
        shown = square(dicom.decode(buffer.getvalue()), SMALL)
        assert (shown[20, [0, 27]].tolist(), shown[0, 0]) == ([4, 251], 0)

    def test_it_is_dark_outside_the_breast_and_in_the_window(self, dicom_bytes):
        content = dicom_bytes(framed(RAMP, 4095), PixelPaddingValue=4095, WindowCenter=1500, WindowWidth=1000)
        seen = dicom.decode(content, window=True)
        assert np.ma.getdata(seen)[0].max() == np.ma.getdata(seen)[20:].min() < 200

    def test_an_image_of_padding_alone_is_refused(self, dicom_bytes):
        with pytest.raises(BadImageError, match="every pixel is padding"):
            dicom.decode(dicom_bytes(RAMP * 0 + 7, PixelPaddingValue=7))


RECTANGLE = {
    "ShutterLeftVerticalEdge": 11,
    "ShutterRightVerticalEdge": 80,
    "ShutterUpperHorizontalEdge": 6,
    "ShutterLowerHorizontalEdge": 90,
}
CIRCLE = {"CenterOfCircularShutter": [40, 60], "RadiusOfCircularShutter": 30}
POLYGON = {"VerticesOfThePolygonalShutter": [5, 5, 10, 95, 90, 70, 60, 20]}
SHUTTERS = [
    {"ShutterShape": "RECTANGULAR", **RECTANGLE},
    {"ShutterShape": "CIRCULAR", **CIRCLE},
    {"ShutterShape": "POLYGONAL", **POLYGON},
    {"ShutterShape": ["RECTANGULAR", "POLYGONAL", "CIRCULAR"], **RECTANGLE, **CIRCLE, **POLYGON},
]


SIDES = [((5, 5), (10, 95)), ((10, 95), (90, 70)), ((90, 70), (60, 20)), ((60, 20), (5, 5))]
"""Of POLYGON, which is convex."""


def _distance(row, column, start, end):
    """Of places from the line through two vertices, positive on the polygon's side."""
    down, right = np.subtract(end, start)
    return ((row - start[0]) * right - (column - start[1]) * down) / np.hypot(down, right)


class TestShutter:
    """What a display shutter hides (PS3.3, C.7.6.11): the first row and column are 1, the shape's own edge is shown."""

    @staticmethod
    def inside(shutter, slack):
        """(100, 100) bool by geometry; a polygon's pixels lie ``slack`` pixels or more within its sides."""
        row, column = np.mgrid[1:101, 1:101]
        parts = {
            "RECTANGULAR": (row >= 6) & (row <= 90) & (column >= 11) & (column <= 80),
            "CIRCULAR": np.hypot(row - 40, column - 60) <= 30,
            "POLYGONAL": np.min([_distance(row, column, *side) for side in SIDES], axis=0) >= slack,
        }
        shapes = shutter["ShutterShape"]
        return np.all([parts[shape] for shape in ([shapes] if isinstance(shapes, str) else shapes)], axis=0)

    @pytest.mark.parametrize("shutter", SHUTTERS, ids=lambda shutter: str(shutter["ShutterShape"]))
    @pytest.mark.parametrize("value", [0, 65535])
    def test_what_it_hides_is_background(self, dicom_bytes, shutter, value):
        shown = dicom.decode(dicom_bytes(RAMP, ShutterPresentationValue=value, **shutter))
        hidden = np.ma.getmaskarray(shown)
        assert not hidden[self.inside(shutter, 0.75)].any()
        assert hidden[~self.inside(shutter, -0.75)].all()
        assert (np.ma.getdata(shown)[~hidden] == RAMP[~hidden]).all()
        assert (np.ma.getdata(shown)[hidden] == RAMP[~hidden].min()).all()

    def test_it_takes_no_part_in_the_range_and_joins_the_padding(self, dicom_bytes):
        pixels = framed(RAMP, 65535)
        pixels[:, 90:] = 60000
        edges = {**RECTANGLE, "ShutterUpperHorizontalEdge": 1, "ShutterRightVerticalEdge": 90}
        edges |= {"ShutterLeftVerticalEdge": 1, "ShutterLowerHorizontalEdge": 100}
        shown = dicom.decode(dicom_bytes(pixels, PixelPaddingValue=65535, ShutterShape="RECTANGULAR", **edges))
        hidden = np.ones((100, 100), bool)
        hidden[20:, :90] = False
        assert (np.ma.getmaskarray(shown) == hidden).all()
        assert value_range(shown, "minmax") == (1000, 1890)

    def test_that_of_an_enhanced_object_counts(self):
        assert (
            show(RAMP, SharedFunctionalGroupsSequence=group(**SHUTTERS[0])).tolist()
            == show(RAMP, **SHUTTERS[0]).tolist()
        )

    def test_one_that_hides_nothing_leaves_the_pixels(self, dicom_bytes):
        whole = {"ShutterLeftVerticalEdge": 1, "ShutterRightVerticalEdge": 100}
        whole |= {"ShutterUpperHorizontalEdge": 1, "ShutterLowerHorizontalEdge": 100}
        assert not np.ma.isMaskedArray(dicom.decode(dicom_bytes(RAMP, ShutterShape="RECTANGULAR", **whole)))

    @pytest.mark.parametrize(
        ("shutter", "told"),
        [
            ({"ShutterShape": "BITMAP", "ShutterOverlayGroup": 0x6000}, "ShutterShape=BITMAP"),
            ({"ShutterShape": "RECTANGULAR"}, "ShutterUpperHorizontalEdge=\\[\\]"),
            ({**SHUTTERS[0], "ShutterRightVerticalEdge": 5}, "leaves nothing"),
            ({**SHUTTERS[1], "CenterOfCircularShutter": 40}, "CenterOfCircularShutter=\\[40\\]"),
            ({**SHUTTERS[1], "RadiusOfCircularShutter": 2**31 - 1}, "RadiusOfCircularShutter"),
            ({**SHUTTERS[1], "RadiusOfCircularShutter": -9}, "RadiusOfCircularShutter=-9"),
            ({**SHUTTERS[2], "VerticesOfThePolygonalShutter": [1, 1, 9, 9]}, "4 numbers, no polygon"),
            ({**SHUTTERS[2], "VerticesOfThePolygonalShutter": [1, 1, 9, 9] * 129}, "516 numbers, no polygon"),
            ({**SHUTTERS[1], "ShutterShape": ["CIRCULAR"] * 9}, "9 shapes, of which one stands there twice"),
        ],
        ids=["bitmap", "no edges", "crossed", "half a place", "far", "below 0", "no polygon", "too many", "twice"],
    )
    def test_one_without_a_meaning_is_refused(self, dicom_bytes, shutter, told):
        with pytest.raises(BadImageError, match=told):
            dicom.decode(dicom_bytes(RAMP, **shutter))

    def test_a_presentation_table_is_refused(self, dicom_bytes):
        with pytest.raises(BadImageError, match="PresentationLUTSequence"):
            dicom.decode(dicom_bytes(RAMP, PresentationLUTSequence=[Dataset()]))


class TestRange:
    @pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
    def test_signed_pixels_of_the_whole_range_keep_their_order(self, photometric):
        pixels = np.tile(np.linspace(-30000, 30000, 100).astype(np.int16), (100, 1))
        shown = show(pixels, PixelRepresentation=1, PhotometricInterpretation=photometric)
        right = [251, 206, 160, 114, 68, 22]
        assert shown[14, ::5].tolist() == (right if photometric == "MONOCHROME1" else [255 - value for value in right])

    @pytest.mark.parametrize(("slope", "intercept"), [(1, 1e9), (1e-12, 1), (1e30, 0), (3.7, -4e12)])
    def test_a_rescale_of_any_size_leaves_the_picture(self, slope, intercept):
        assert show(RAMP, RescaleSlope=slope, RescaleIntercept=intercept)[20].tolist() == show(RAMP)[20].tolist()

    @pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
    @pytest.mark.parametrize("signed", [False, True])
    def test_32_bit_pixels_keep_small_differences_of_large_values(self, dicom_bytes, photometric, signed):
        pixels = RAMP.astype(np.int32 if signed else np.uint32) + (2**31 - 4000 if signed else 2**32 - 4000)
        shown = square(dicom.decode(dicom_bytes(pixels, PhotometricInterpretation=photometric)), SMALL)
        row = show(RAMP)[20].astype(int)
        assert np.abs(shown[20] - (row if photometric == "MONOCHROME2" else 255 - row)).max() <= 1

    @pytest.mark.parametrize("signed", [False, True])
    def test_bits_that_are_not_the_values_are_no_pixels(self, dicom_bytes, rng, signed):
        values = rng.integers(-512 if signed else 0, 512 if signed else 1024, (20, 20))
        junk = rng.integers(0, 4, values.shape) + (rng.integers(0, 16, values.shape) << 12)
        cells = (((values & 1023) << 2) | junk).astype(np.uint16)
        content = dicom_bytes(cells, BitsStored=10, HighBit=11, PixelRepresentation=int(signed))
        np.testing.assert_array_equal(dicom.decode(content), values)

    def test_one_bit_a_pixel(self, dicom_bytes, rng):
        bits = rng.integers(0, 2, (17, 19))
        packed = np.packbits(bits.ravel(), bitorder="little").astype(np.uint8)[None]
        content = dicom_bytes(packed, Rows=17, Columns=19, BitsAllocated=1, BitsStored=1, HighBit=0)
        np.testing.assert_array_equal(dicom.decode(content), bits)


class TestWindow:
    def test_a_falling_rescale_is_windowed_in_the_rescaled_values(self, dicom_bytes):
        content = dicom_bytes(RAMP, RescaleSlope=-1, WindowCenter=-1500, WindowWidth=401)
        seen = dicom.decode(content, window=True)[0].astype(float)
        linear = np.clip((-RAMP[0].astype(float) + 1500.5) / 400 + 0.5, 0, 1) * 65535
        np.testing.assert_allclose(seen, linear, atol=0.6)

    def test_linear_exact(self, dicom_bytes):
        content = dicom_bytes(RAMP, WindowCenter=1500, WindowWidth=400, VOILUTFunction="LINEAR_EXACT")
        linear = np.clip((RAMP[0].astype(float) - 1500) / 400 + 0.5, 0, 1) * 65535
        np.testing.assert_allclose(dicom.decode(content, window=True)[0], linear, atol=0.6)

    def test_a_width_of_one_is_a_threshold(self, dicom_bytes):
        content = dicom_bytes(RAMP, WindowCenter=1500, WindowWidth=1)
        assert np.flatnonzero(dicom.decode(content, window=True)[0])[0] == 50  # the value 1500 is above 1499.5

    @pytest.mark.parametrize("implicit", [False, True])
    def test_a_table_of_negative_values_after_a_falling_rescale(self, implicit):
        table = Dataset()
        table.LUTDescriptor, table.LUTData = [200, -1600, 8], list(range(200))
        table["LUTDescriptor"].VR, table["LUTData"].VR = "SS", "US"
        content = phantom.dicom_bytes(RAMP, "1.2", "1.3", "1.4", RescaleSlope=-1, VOILUTSequence=[table])
        if not implicit:
            dataset, buffer = pydicom.dcmread(io.BytesIO(content)), io.BytesIO()
            dataset.VOILUTSequence[0]["LUTDescriptor"].VR = "SS"
            dataset.VOILUTSequence[0].LUTDescriptor = [200, -1600, 8]
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dataset.save_as(buffer)
            content = buffer.getvalue()
        seen = dicom.decode(content, window=True)[0]
        np.testing.assert_allclose(seen, np.clip(1600 - RAMP[0].astype(float), 0, 199) * 257, atol=0.6)

    @pytest.mark.parametrize("elements", [{"WindowWidth": 0}, {"VOILUTFunction": "CURVED"}, {"WindowCenter": "1e999"}])
    def test_a_window_without_a_meaning_is_refused_where_it_is_wanted(self, dicom_bytes, elements):
        content = dicom_bytes(RAMP, **({"WindowCenter": 1500, "WindowWidth": 100} | elements))
        assert dicom.decode(content).shape == RAMP.shape
        with pytest.raises(BadImageError, match=r"data\.window=ignore"):
            dicom.decode(content, window=True)


EMPTY = (
    "RescaleSlope",
    "RescaleIntercept",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "PixelPaddingValue",
    "NumberOfFrames",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "PixelPaddingRangeLimit",
    "PixelPresentation",
)


@pytest.mark.parametrize("keyword", EMPTY)
@pytest.mark.parametrize("window", [False, True])
def test_an_empty_element_is_the_same_as_none(keyword, window):
    dataset = pydicom.dcmread(io.BytesIO(phantom.dicom_bytes(RAMP, "1.2", "1.3", "1.4")))
    setattr(dataset, keyword, [] if keyword.endswith("Sequence") else None)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    np.testing.assert_array_equal(dicom.decode(buffer.getvalue(), window=window), RAMP)


BLANKS = {
    "RescaleSlope": 1, "RescaleIntercept": 1, "WindowCenter": 2, "WindowWidth": 2, "VOILUTFunction": 1,
    "NumberOfFrames": 1, "PixelAspectRatio": 2, "ShutterShape": 2, "PresentationLUTShape": 1, "PixelPresentation": 1,
}  # fmt: skip
"""Optional elements of text, and how many values they have here."""


def blanked(content, keyword, blank):
    """A DICOM file in which the values of an element, whose first is 7777777 or SEVENSEVEN, are blanks."""
    (mark,) = (mark for mark in (b"7777777 ", b"SEVENSEVEN") if mark in content)
    values = b"\\".join([mark.strip()] * BLANKS[keyword])
    values += b" " * (len(values) % 2)
    assert content.count(values) == 1
    width = len(values) // BLANKS[keyword] - 1
    return content.replace(values, b"\\".join([blank * width] * BLANKS[keyword]).ljust(len(values), blank))


def marked(keyword):
    value = "7777777" if dictionary_VR(keyword) in ("DS", "IS") else "SEVENSEVEN"
    return {keyword: [value] * BLANKS[keyword] if BLANKS[keyword] > 1 else value}


@pytest.mark.parametrize("keyword", BLANKS)
@pytest.mark.parametrize("blank", [b" ", b"\0"], ids=["blanks", "NULs"])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian], ids=["implicit", "explicit"])
def test_an_element_of_blanks_is_the_same_as_none(keyword, blank, syntax, dicom_bytes):
    content = blanked(dicom_bytes(RAMP, syntax, **marked(keyword)), keyword, blank)
    for window in (False, True):
        np.testing.assert_array_equal(dicom.decode(content, window=window), RAMP)


@pytest.mark.parametrize("keyword", ["RescaleSlope", "WindowWidth", "ShutterShape"])
def test_an_element_of_blanks_in_a_functional_group_is_the_same_as_none(keyword, dicom_bytes):
    groups = {"SharedFunctionalGroupsSequence": group(**marked(keyword))}
    content = blanked(dicom_bytes(RAMP, **groups), keyword, b" ")
    np.testing.assert_array_equal(dicom.decode(content, window=True), RAMP)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian], ids=["implicit", "explicit"])
def test_zeros_of_a_number_in_binary_are_no_blanks(syntax, dicom_bytes):
    padded = framed(RAMP, 0)
    shown = dicom.decode(dicom_bytes(padded, syntax, PixelPaddingValue=0))
    assert shown.mask[:20].all()
    assert not shown.mask[20:].any()


def palette(red, green=None, blue=None, first=0, bits=16):
    tables = {"Red": red, "Green": red if green is None else green, "Blue": red if blue is None else blue}
    made = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name, entries in tables.items():
        made[f"{name}PaletteColorLookupTableDescriptor"] = [len(entries) % 65536, first, bits]
        made[f"{name}PaletteColorLookupTableData"] = entries.astype("<u2").tobytes()
    return made


class TestPalette:
    def test_a_grey_palette_is_applied(self):
        pixels = np.tile(np.arange(100, dtype=np.uint8), (100, 1))
        assert show(pixels, **palette(np.arange(65535, -1, -257)))[14, [0, 27]].tolist() == [251, 4]

    def test_its_first_value_and_its_ends(self, dicom_bytes):
        pixels = np.tile(np.arange(100, dtype=np.uint8), (20, 1))
        shown = dicom.decode(dicom_bytes(pixels, **palette(np.arange(40) * 1000, first=30)))
        np.testing.assert_array_equal(shown[0], np.clip(np.arange(100) - 30, 0, 39) * 1000)

    def test_colour_is_refused_where_it_is_seen(self, dicom_bytes):
        entries = np.arange(256) * 200
        coloured = entries.copy()
        coloured[200] = 0
        pixels = np.tile(np.arange(100, dtype=np.uint8), (20, 1))
        assert dicom.decode(dicom_bytes(pixels, **palette(entries, coloured)))[0, 50] == 10000
        with pytest.raises(BadImageError, match="the palette is in colour"):
            dicom.decode(dicom_bytes(pixels + 110, **palette(entries, coloured)))


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"PhotometricInterpretation": "YBR_FULL"}, "YBR_FULL"),
        ({"PhotometricInterpretation": None}, "PhotometricInterpretation=''"),
        ({"PixelPresentation": "COLOR"}, "PixelPresentation=COLOR"),
        ({"PresentationLUTShape": "INVERSE"}, "viewers disagree"),
        ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "IDENTITY"}, "viewers disagree"),
        ({"NumberOfFrames": 2}, "NumberOfFrames=2"),
        ({"SamplesPerPixel": 3}, "in colour"),
        ({"BitsAllocated": 12}, "BitsAllocated=12"),
        ({"BitsStored": 17}, "BitsStored=17"),
        ({"HighBit": 16}, "HighBit=16"),
        ({"PixelRepresentation": None}, "no PixelRepresentation"),
        ({"RescaleSlope": 0}, "RescaleSlope=0"),
        ({"Rows": 50000, "Columns": 50000}, "50000x50000 pixels"),
        ({"Rows": 6000, "Columns": 6000, "BitsAllocated": 32}, "6000x6000 pixels"),
        ({"Rows": 6000, "Columns": 6000, "NumberOfFrames": 4}, "4 frames"),
    ],
)
def test_what_has_no_single_meaning_or_is_too_large_is_refused_by_name(dicom_bytes, elements, reason):
    with pytest.raises(BadImageError, match=reason):
        dicom.decode(dicom_bytes(RAMP, **elements))


@pytest.mark.parametrize("shape", [("MONOCHROME2", "IDENTITY"), ("MONOCHROME1", "INVERSE")])
def test_a_presentation_shape_that_agrees_is_read(dicom_bytes, shape):
    content = dicom_bytes(RAMP, PhotometricInterpretation=shape[0], PresentationLUTShape=shape[1])
    assert dicom.decode(content).shape == RAMP.shape


class TestWholeFiles:
    def test_without_a_preamble(self):
        content = phantom.dicom_bytes(RAMP, "1.2", "1.3", "1.4")[132:]
        assert dicom.is_dicom(content)
        np.testing.assert_array_equal(dicom.decode(content), RAMP)
        assert dicom.series_uid(content) == "1.3"

    @pytest.mark.parametrize("implicit", [False, True])
    @pytest.mark.parametrize("little", [False, True])
    def test_without_meta_information(self, implicit, little):
        if implicit and not little:
            pytest.skip("DICOM has no implicit big endian")
        dataset = pydicom.dcmread(io.BytesIO(phantom.dicom_bytes(RAMP, "1.2", "1.3", "1.4")))
        dataset.PixelData = RAMP.astype("<u2" if little else ">u2").tobytes()
        dataset["PixelData"].VR = "OW"
        bare, buffer = Dataset(), io.BytesIO()
        bare.update({element.tag: element for element in dataset})
        bare.save_as(buffer, implicit_vr=implicit, little_endian=little)
        content = buffer.getvalue()
        assert content[:2] == (b"\x08\0" if little else b"\0\x08")
        np.testing.assert_array_equal(dicom.decode(content), RAMP)
        assert dicom.series_uid(content) == "1.3"

    def test_one_without_its_beginning_is_called_one(self, dicom_bytes, rng):
        content = phantom.dicom_bytes(RAMP, "1.2", "1.3", "1.4", PatientName="X")
        patient = content.index(b"\x10\0\x10\0\x02\0\0\0X ")
        whole = worker.decode(content[132:])
        for headless in (bytes(128) + content[132:], content[patient:]):
            with pytest.raises(BadImageError, match="a DICOM file without its mark DICM, or without its first"):
                worker.decode(headless)
        np.testing.assert_array_equal(whole, RAMP)
        for text in (b"", b"\x10\0", bytes(500), rng.bytes(500)):
            assert not dicom.is_headless(text)

    def test_pixels_of_floating_point_are_refused_by_name(self, dicom_bytes):
        content = dicom_bytes(RAMP, PixelData=None, FloatPixelData=bytes(4 * RAMP.size))
        with pytest.raises(BadImageError, match="FloatPixelData"):
            dicom.decode(content)

    @pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, RLELossless])
    def test_a_header_without_the_series_says_so(self, dicom_bytes, syntax):
        with pytest.raises(BadImageError, match="no SeriesInstanceUID"):
            dicom.series_uid(dicom_bytes(RAMP, syntax, SeriesInstanceUID=None))


@pytest.mark.parametrize(("ratio", "square_ones"), [([1, 1], True), ([3, 3], True), ([1, 2], False), ([4, 3], False)])
def test_pixels_that_are_not_square_are_refused(ratio, square_ones):
    if square_ones:
        assert show(RAMP, PixelAspectRatio=ratio).tolist() == show(RAMP).tolist()
    else:
        with pytest.raises(BadImageError, match=r"PixelAspectRatio=.*: pixels that are not square"):
            show(RAMP, PixelAspectRatio=ratio)


SPACINGS = ["PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"]


@pytest.mark.parametrize("keyword", SPACINGS)
def test_a_spacing_that_is_not_square_is_refused(keyword):
    with pytest.raises(BadImageError, match=rf"^{keyword}=0.05\\0.1: pixels that are not square"):
        show(RAMP, **{keyword: [0.05, 0.1]})
    with pytest.raises(BadImageError, match=rf"^{keyword}=0.0511\\0.05: pixels that are not square"):
        show(RAMP, **{keyword: [0.0511, 0.05]})
    assert show(RAMP, **{keyword: [0.05, 0.0504]}).tolist() == show(RAMP).tolist()


@pytest.mark.parametrize("keyword", SPACINGS)
@pytest.mark.parametrize(
    "told",
    [b"", b"0.05", b"0.05\\", b"0.05\\0.1\\0.2", b"wide\\0.1", b"0\\0.1", b"-0.05\\0.1", b"nan\\0.1", b"inf\\0.1"],
)
def test_a_spacing_of_no_two_lengths_is_no_reason_to_call_pixels_not_square(keyword, told):
    content = phantom.dicom_bytes(RAMP, "1.2", "1.3", "1.4", **{keyword: [1234567.5, 7654321.5]})
    place = content.index(b"1234567.5\\7654321.5")
    changed = content[:place] + told.ljust(20) + content[place + 20 :]
    assert dicom.decode(changed).tolist() == RAMP.tolist()


@pytest.mark.parametrize("place", ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"])
@pytest.mark.parametrize("keyword", ["PixelSpacing", "ImagerPixelSpacing"])
def test_a_functional_group_whose_spacing_is_not_square_is_refused(place, keyword):
    def spaced(*sides):
        return {place: group(**{keyword: list(sides)})}

    with pytest.raises(BadImageError, match=rf"{keyword}=0.05\\0.1: pixels that are not square"):
        show(RAMP, **spaced(0.05, 0.1))
    assert show(RAMP, PixelSpacing=[0.07, 0.07], **spaced(0.05, 0.05)).tolist() == show(RAMP).tolist()


def test_padding_below_the_image_is_as_dark_as_its_darkest_pixel():
    """Else it would bleed into the border when the image is made smaller, where no stage changes the values."""
    shown = dicom.decode(phantom.dicom_bytes(framed(RAMP, 0), "1.2", "1.3", "1.4", PixelPaddingValue=0))
    assert shown.data[:20].min() == shown.data[:20].max() == RAMP.min()
