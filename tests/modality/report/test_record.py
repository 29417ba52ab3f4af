"""Reports from real files: text in its encodings, Open-I and other XML, DICOM SR; a reason for what is not read."""

from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import BasicTextSRStorage, CTImageStorage, ExplicitVRLittleEndian, generate_uid

from medcl.errors import UnreadableError
from medcl.modality.report.record import MOST_BYTES, identify_report, read_reports

OPEN_I = """<?xml version="1.0" encoding="utf-8"?>
<eCitation>
  <meta type="rr"/>
  <uId id="CXR1"/>
  <pmcId id="1"/>
  <MedlineCitation><Article><Abstract>
    <AbstractText Label="COMPARISON">None.</AbstractText>
    <AbstractText Label="INDICATION">Positive TB test &lt; 2 years</AbstractText>
    <AbstractText Label="FINDINGS">The heart size is normal.
       No effusion.</AbstractText>
    <AbstractText Label="IMPRESSION"/>
  </Abstract></Article></MedlineCitation>
  <parentImage id="CXR1_1_IM-0001-3001"><figureId>F1</figureId><caption>Xray Chest PA</caption></parentImage>
  <parentImage id="CXR1_1_IM-0001-4001"/>
</eCitation>
"""


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_in_each_encoding_that_tells_itself(tmp_path: Path, encoding: str) -> None:
    text = "Befund: Größe normal, 2,5 µm\r\nBeurteilung: 肺 ok"
    report = read_reports(write(tmp_path / "r.txt", text.encode(encoding)), "text")
    assert report.text == "BEFUND:\nGröße normal, 2,5 µm\n\nBEURTEILUNG:\n肺 ok"
    assert (report.ids, report.records) == ({}, ())
    assert identify_report(tmp_path / "r.txt") == "text"


def test_text_in_big_endian_utf_16(tmp_path: Path) -> None:
    path = write(tmp_path / "r.txt", b"\xfe\xff" + "Ödem".encode("utf-16-be"))
    assert read_reports(path, "text").text == "Ödem"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("Нет отёка лёгких".encode("cp1251"), r"byte 0 is no UTF-8.*iconv -f LATIN2"),
        ("Kein \xd6dem\x81".encode("latin-1"), r"byte 5 is no UTF-8.*iconv -f LATIN2"),
        (b"\xef\xbb\xbfKein \xd6dem", r"byte 8 is no UTF-8"),
        (b"abc\x00def", r"byte 3 is a control character"),
        (bytes(range(256)), r"byte 128 is no UTF-8, and there are zero bytes"),
        (b"\x1f\x8b\x08\x00packed", r"not text: a gzip file: unpack it"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", r"Word document of before 2007.*save it as .docx"),
        (b"PK\x03\x04 something", r"a ZIP file"),
        (b"\x89PNG\r\n", r"a PNG image: .*OCR"),
        (b"\xfe\xedbinary\x00\x01", r"there are zero bytes"),
        ("Ödem".encode("utf-16")[:-1], r"byte 8 is no UTF-16"),
        ("Ödem".encode("utf-16-le"), "not text: .* UTF-16"),
        (b"x" * (MOST_BYTES + 1), r"more than 16 MB.*table"),
    ],
)
def test_what_is_no_text_is_refused_with_its_place(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason) as refused:
        read_reports(write(tmp_path / "r.txt", content), "text")
    assert "Kein" not in str(refused.value)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_western_text_without_a_mark_is_read_and_flagged(tmp_path: Path, encoding: str) -> None:
    text = "Befund: Größe der Läsion 2,5 ± 0,1 cm, rechter Lungenflügel frei."
    report = read_reports(write(tmp_path / "r.txt", text.encode(encoding)), "text")
    assert report.text == "BEFUND:\nGröße der Läsion 2,5 ± 0,1 cm, rechter Lungenflügel frei."
    assert report.flags == ("its bytes are no UTF-8: read as Windows-1252",)


def test_an_empty_and_a_missing_file(tmp_path: Path) -> None:
    assert read_reports(write(tmp_path / "r.txt", " \n\t\n"), "text").text == ""
    assert read_reports(write(tmp_path / "b.txt", b"\xef\xbb\xbf"), "text").text == ""
    with pytest.raises(UnreadableError, match="cannot be read"):
        read_reports(tmp_path / "none.txt", "text")
    with pytest.raises(UnreadableError, match="cannot be read"):
        identify_report(tmp_path / "none.txt")


def test_a_report_of_20000_words(tmp_path: Path) -> None:
    body = " ".join(f"word{number}" for number in range(20_000))
    report = read_reports(write(tmp_path / "r.txt", f"FINDINGS: {body}"), "text")
    assert report.text == f"FINDINGS:\n{body}"


def test_open_i(tmp_path: Path) -> None:
    path = write(tmp_path / "1.xml", OPEN_I)
    assert identify_report(path) == "xml"
    report = read_reports(path, "xml")
    assert report.text == (
        "COMPARISON:\nNone.\n\nINDICATION:\nPositive TB test < 2 years\n\n"
        "FINDINGS:\nThe heart size is normal.\nNo effusion."
    )
    assert report.ids == {"report": "CXR1"}
    assert report.records == ("CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001")


def test_other_xml_with_sections(tmp_path: Path) -> None:
    text = (
        '<report accession="A77"><patient_id>P5</patient_id><StudyInstanceUID>1.2.3</StudyInstanceUID>'
        '<section title="Befund">Größe <b>normal</b>.</section><impression>Gut.</impression><image id="i1"/></report>'
    )
    for name, content in (("8.xml", text.encode()), ("16.xml", f'<?xml version="1.0"?>{text}'.encode("utf-16"))):
        path = write(tmp_path / name, content)
        assert identify_report(path) == "xml"
        report = read_reports(path, "xml")
        assert report.text == "BEFUND:\nGröße normal.\n\nIMPRESSION:\nGut."
        assert report.ids == {"accession": "A77", "patient": "P5", "study": "1.2.3"}
        assert report.records == ("i1",)
    latin = write(tmp_path / "l.xml", f'<?xml version="1.0" encoding="ISO-8859-1"?>{text}'.encode("latin-1"))
    assert "Größe" in read_reports(latin, "xml").text


def test_xml_of_text_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "r.xml", "<note><text>FINDINGS: clear. IMPRESSION: fine.</text></note>")
    assert read_reports(path, "xml").text == "FINDINGS:\nclear.\n\nIMPRESSION:\nfine."
    assert read_reports(write(tmp_path / "e.xml", "<report/>"), "xml").text == ""


ENTITIES = "".join(f'<!ENTITY a{i + 1} "{f"&a{i};" * 10}">' for i in range(9))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (f'<!DOCTYPE r [<!ENTITY a0 "lol">{ENTITIES}]><report><text>&a9;</text></report>', "DOCTYPE"),
        ('<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/hostname">]><report><text>&x;</text></report>', "DOCTYPE"),
        ('<!DOCTYPE r SYSTEM "http://127.0.0.1/r.dtd"><report/>', "DOCTYPE"),
        ("<report><text>cut", "not well-formed XML: line 1"),
        (b"<report><text>\xd6dem</text></report>", "not well-formed XML: line 1"),
        ('<?xml version="1.0" encoding="klingon"?><report/>', "encoding|not well-formed"),
        ("<a>" * 5000 + "</a>" * 5000, "deep"),
        ("", "not well-formed"),
    ],
)
def test_hostile_or_broken_xml_is_refused(tmp_path: Path, content: str | bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read_reports(write(tmp_path / "r.xml", content), "xml")


def coded(meaning: str, value: str = "1", scheme: str = "99T") -> list[Dataset]:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return [code]


def item(kind: str, name: str, relation: str = "CONTAINS", **values: object) -> Dataset:
    made = Dataset()
    made.RelationshipType, made.ValueType = relation, kind
    made.ConceptNameCodeSequence = coded(name)
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def structured(path: Path, characters: str = "ISO_IR 192") -> Path:
    header = Dataset()
    header.SpecificCharacterSet = characters
    header.SOPClassUID, header.SOPInstanceUID = BasicTextSRStorage, generate_uid(entropy_srcs=["sr"])
    header.Modality, header.PatientID, header.PatientName = "SR", "MRN5", "Muster^Änne"
    header.StudyInstanceUID, header.AccessionNumber = "1.2.3.4", "A9"
    header.ValueType, header.ContinuityOfContent = "CONTAINER", "SEPARATE"
    header.ConceptNameCodeSequence = coded("Radiology Report", "11528-7", "LN")
    measured, picture = Dataset(), Dataset()
    measured.NumericValue, measured.MeasurementUnitsCodeSequence = "12.5", coded("millimeter", "mm", "UCUM")
    picture.ReferencedSOPClassUID, picture.ReferencedSOPInstanceUID = CTImageStorage, "1.2.3.9"
    header.ContentSequence = [
        item("PNAME", "Person Observer Name", "HAS OBS CONTEXT", PersonName="Noman^Ned"),
        item(
            "CONTAINER",
            "Findings",
            ContentSequence=[
                item("TEXT", "Finding", TextValue="Große Läsion im linken Lappen."),
                item("NUM", "Longest axis", MeasuredValueSequence=[measured]),
                item("CODE", "Side", ConceptCodeSequence=coded("Left")),
                item("PNAME", "Confirmed by", PersonName="Noman^Ned"),
                item("IMAGE", "Source", ReferencedSOPSequence=[picture]),
            ],
        ),
        item("CONTAINER", "Impression", ContentSequence=[item("TEXT", "Impression", TextValue="Bösartig?")]),
    ]
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.save_as(path, enforce_file_format=True)
    return path


def test_structured_report(tmp_path: Path) -> None:
    path = structured(tmp_path / "IM1")
    assert identify_report(path) == "dicom-sr"
    report = read_reports(path, "dicom-sr")
    assert report.text == (
        "FINDINGS:\nGroße Läsion im linken Lappen.\nLongest axis: 12.5 mm\nSide: Left\nConfirmed by: [NAME]\n\n"
        "IMPRESSION:\nBösartig?"
    )
    assert report.ids["patient"] == "MRN5"
    assert (report.ids["study"], report.ids["accession"], report.ids["name"]) == ("1.2.3.4", "A9", "Muster^Änne")
    assert report.records == ("1.2.3.9",)
    assert "MRN5" not in repr(report)


def outcome(path: Path) -> str:
    """Whatever a damaged file leads to, but only the one error that a batch job expects."""
    try:
        return read_reports(path, "dicom-sr").text
    except UnreadableError as error:
        return str(error)


def test_structured_reports_that_cannot_be_read(tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    ct = Path(str(get_testdata_file("CT_small.dcm")))
    assert identify_report(ct) is None
    with pytest.raises(UnreadableError, match="not a structured report"):
        read_reports(ct, "dicom-sr")
    with pytest.raises(UnreadableError):
        read_reports(write(tmp_path / "t.dcm", "plain words"), "dicom-sr")
    content = structured(tmp_path / "whole").read_bytes()
    for place in range(200, len(content), 97):
        cut = write(tmp_path / "cut", content[:place])
        assert "MRN5" not in outcome(cut)
    wrong = content.replace("Große".encode(), b"Gro\xdfe ")
    assert wrong != content
    with pytest.raises(UnreadableError, match="character set"):
        read_reports(write(tmp_path / "wrong", wrong), "dicom-sr")


def test_real_structured_reports() -> None:
    from pydicom.data import get_testdata_file

    path = get_testdata_file("reportsi.dcm")
    assert path is not None
    assert identify_report(Path(str(path))) == "dicom-sr"
    assert "\n" in read_reports(Path(str(path)), "dicom-sr").text
