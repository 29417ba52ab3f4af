"""Reports as RTF, HTML, PDF, Word, HL7 and clinical documents, told by their content; and what attacks them."""

import io
import time
import zipfile
import zlib
from pathlib import Path

import pytest

from medcl.errors import UnreadableError
from medcl.modality.report.formats.text import Report
from medcl.modality.report.record import identify_report, read_reports

pytest.importorskip("striprtf", reason="needs the extra medcl[reports]")
pytest.importorskip("pypdf", reason="needs the extra medcl[reports]")

RTF = (
    rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}{\info{\author Jane Smith}{\operator J. Roe}}"
    rb"{\header Klinik Nord}\f0\fs20 BEFUND: Gr\'f6\'dfe normal, 2\u8211?3 cm.\par {\b BEURTEILUNG:} ohne\~Befund.\par}"
)
HTML = (
    "<!DOCTYPE html><html><head><meta charset='{}'><meta name='author' content='Jane Smith'><title>x</title>"
    "<style>p {{}}</style></head><body><script>var a = '<p>no</p>';</script><!-- hidden --><h2>Befund</h2>"
    "<p>Größe&nbsp;normal, 2 &lt; 3 cm.<br>Kein\nErguss.</p><table><tr><td>Name</td><td>Roe</td></tr></table>"
    "</body></html>"
)
HL7 = (
    "MSH|^~\\&|RIS|KH|EPR|KH|20190304||ORU^R01|M1|P|2.4\r"
    "PID|1||MRN0815^^^KH^MR||DOE^JANE^Q^^MRS~ROE^JANE||19500203|F|||12 Elm St^^Town||(555)555-0143\r"
    "OBR|1|P1|A77|71020^CHEST XRAY|||20190304|||||||||99^WEBER^KARL^^^DR\r"
    "OBX|1|TX|71020&GDT^FINDINGS||Heart size normal \\T\\ clear lungs.~No effusion.||||||F\r"
    "OBX|2|FT|71020&IMP||Normal.\\.br\\Jane Doe was told.||||||F\r"
    "OBX|3|NM|X^EF||60|%|||||F\r"
)
CDA = """<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3"><id extension="D1"/><recordTarget><patientRole>
<id root="1.2"/><id root="1.3" extension="P77"/><addr><streetAddressLine>12 Elm St</streetAddressLine></addr>
<telecom value="tel:+1-555-0143"/><patient><name><given>Jane</given><family>Doe</family></name></patient>
<providerOrganization><name>Town Hospital</name></providerOrganization></patientRole></recordTarget>
<author><assignedAuthor><assignedPerson><name>Karl Weber</name></assignedPerson></assignedAuthor></author>
<component><structuredBody><component><section><title>Findings</title><text><paragraph>Clear lungs.</paragraph>
<table><tbody><tr><td>Nodule</td><td>4 mm</td></tr></tbody></table></text></section></component>
<component><section><title>Impression</title><text>Normal.<br/>Stable.</text></section></component></structuredBody></component>
</ClinicalDocument>"""


def read(folder: Path, content: bytes | str, expected: str) -> Report:
    # The suffix says nothing.
    path = folder / "r.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert identify_report(path) == expected
    return read_reports(path, expected)


def pdf(drawing: bytes, more: bytes = b"", info: bytes = b"") -> bytes:
    """A PDF of one page with its drawing commands, and other objects from number 6 on."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>"
        b"/XObject<</X 6 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(drawing), drawing),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    out = b"%PDF-1.4\n"
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj%s endobj\n" % (number, body)
    out += more
    start = len(out)
    out += b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"trailer<</Size 6/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF" % (info, start)


def docx(body: str, **parts: bytes | str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        w = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
        archive.writestr("word/document.xml", f'<w:document xmlns:w="{w}"><w:body>{body}</w:body></w:document>')
        for name, content in parts.items():
            archive.writestr({"core": "docProps/core.xml"}[name], content)
    return file.getvalue()


def test_rtf_is_read_without_its_markup(tmp_path: Path) -> None:
    report = read(tmp_path, RTF, "rtf")
    assert report.text == "BEFUND:\nGröße normal, 2–3 cm.\n\nBEURTEILUNG:\nohne Befund."
    assert set(report.names) == {"Jane Smith", "J. Roe"}


@pytest.mark.parametrize(
    ("page", "word"), [(1250, "Žlutý"), (1251, "Лёгкие"), (1253, "Καρδιά"), (1252, "Müller"), (932, "肺野")]
)
def test_rtf_in_its_code_page(tmp_path: Path, page: int, word: str) -> None:
    letters = "".join(f"\\'{byte:02x}" for byte in word.encode(f"cp{page}"))
    assert read(tmp_path, f"{{\\rtf1\\ansi\\ansicpg{page} {letters}.}}", "rtf").text == f"{word}."
    raw = f"{{\\rtf1\\ansi\\ansicpg{page} ".encode() + word.encode(f"cp{page}") + b".}"
    assert read(tmp_path, raw, "rtf").text == f"{word}."


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "utf-16"])
def test_html_is_read_as_the_page_shows_it(tmp_path: Path, encoding: str) -> None:
    report = read(tmp_path, HTML.format(encoding).encode(encoding), "html")
    assert report.text == "BEFUND:\nGröße normal, 2 < 3 cm.\nKein Erguss.\n\nName | Roe"
    assert report.names == ("Jane Smith",)


def test_pdf_is_read_and_a_scan_is_refused(tmp_path: Path) -> None:
    drawing = b"BT /F 12 Tf 10 200 Td (FINDINGS: Gr\\366\\337e normal.) Tj 0 -20 Td (IMPRESSION: none.) Tj ET"
    author = b"/Info<</Author(Jane Smith)>>"
    report = read(tmp_path, pdf(drawing, info=author), "pdf")
    assert report.text == "FINDINGS:\nGröße normal.\n\nIMPRESSION:\nnone."
    assert report.names == ("Jane Smith",)
    with pytest.raises(UnreadableError, match=r"PDF that holds no text: a scan.*OCR"):
        read(tmp_path, pdf(b"q 1 0 0 1 0 0 cm Q"), "pdf")


def test_word_documents_are_read(tmp_path: Path) -> None:
    body = (
        "<w:p><w:r><w:t>FINDINGS: Clear</w:t></w:r><w:r><w:tab/><w:t>lungs.</w:t></w:r></w:p>"
        "<w:p><w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:r><w:t>No effusion.</w:t></w:r></w:p>"
    )
    core = '<c xmlns:dc="d"><dc:creator>Jane Smith</dc:creator></c>'
    report = read(tmp_path, docx(body, core=core), "docx")
    assert report.text == "FINDINGS:\nClear lungs.\nNo effusion."
    assert report.names == ("Jane Smith",)


def test_hl7_messages_give_text_and_whom_they_name(tmp_path: Path) -> None:
    report = read(tmp_path, HL7, "hl7")
    assert report.text == (
        "EF: 60 %\n\nFINDINGS:\nHeart size normal & clear lungs.\nNo effusion.\n\n"
        "IMPRESSION:\nNormal.\nJane Doe was told."
    )
    assert report.ids == {
        "patient": "MRN0815",
        "accession": "A77",
        "report": "M1",
        "name": "DOE^JANE^Q^^MRS",
    }
    assert {"DOE", "JANE", "ROE", "WEBER", "KARL", "12 Elm St", "(555)555-0143"} <= set(report.names)
    assert "CHEST XRAY" not in report.names
    latin = HL7.replace("|2.4", "|2.4||||||8859/1").replace("Normal.", "Größe").encode("latin-1")
    assert "Größe" in read(tmp_path, latin, "hl7").text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (HL7 + HL7, "2 HL7 messages in a file"),
        ("MSH|^~\\&|A\rOBX|1|ED|PDF||^application^pdf^Base64^JVBE||||||F\r", "encapsulated document"),
        ("MSH|", "does not state how fields are divided"),
    ],
)
def test_hl7_that_is_no_report_is_refused(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(UnreadableError, match=words):
        read(tmp_path, content, "hl7")


def test_clinical_documents_give_sections_and_whom_they_name(tmp_path: Path) -> None:
    report = read(tmp_path, CDA, "xml")
    assert report.text == "FINDINGS:\nClear lungs.\n\n| Nodule | 4 mm\n\nIMPRESSION:\nNormal.\n\nStable."
    assert report.ids == {"patient": "P77", "report": "D1"}
    assert {"Jane", "Doe", "Karl Weber", "12 Elm St", "+1-555-0143"} <= set(report.names)
    assert "Town Hospital" not in report.names


@pytest.mark.parametrize(
    ("content", "form", "words"),
    [
        (b"%PDF-1.4\n1 0 obj", "pdf", "which parses PDF"),
        (b"%PDF-1.7\n" + b"[" * 200_000, "pdf", "PDF"),
        (b"{\\rtf1 " + b"{" * 100_000 + b"}" * 100_000 + b"}", "rtf", "groups more than 256 deep"),
        (b"{\\rtf1 open", "rtf", "its end is missing"),
        (b"{\\rtf1\\ansicpg99999 x}", "rtf", "code page"),
        (b"{\\rtf1\\ansicpg1253 \xaa\xd2}", "rtf", "code page"),
        (b"<html>" + b"x" * (4 * 2**20), "html", "HTML of more than 4 MB"),
        (b"<html><meta charset=utf-8>Gr\xf6\xdfe", "html", "no UTF-8"),
        (b"<html><meta charset=no-such>x", "html", "encoding that is not known"),
        (
            b"<ClinicalDocument><component><nonXMLBody><text>x</text></nonXMLBody></component></ClinicalDocument>",
            "xml",
            "PDF",
        ),
        (b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>', "xml", "DOCTYPE"),
        (b"<a>" * 1000 + b"</a>" * 1000, "xml", "more than 64 deep"),
    ],
)
def test_damaged_and_hostile_files_have_a_reason(tmp_path: Path, content: bytes, form: str, words: str) -> None:
    with pytest.raises(UnreadableError, match=words):
        read(tmp_path, content, form)


def test_what_unpacks_to_more_than_it_states_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="Word document of more than 16 MB"):
        read(tmp_path, docx("<w:p/>" * 4_000_000), "docx")
    whole = docx("<w:p/>")
    with pytest.raises(UnreadableError, match="damaged Word document"):
        read(
            tmp_path,
            whole.replace(zlib.crc32(b"").to_bytes(4, "little"), b"abcd")[:60] + b"\0\0\0\0" + whole[64:],
            "docx",
        )


@pytest.mark.parametrize("packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_behind_any_packing_of_a_word_document_has_a_reason(tmp_path: Path, packing: int) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as archive:
        archive.writestr("word/document.xml", "<w:document>" + "finding " * 200 + "</w:document>")
    whole = bytearray(file.getvalue())
    start = whole.index(b"document.xml") + len(b"document.xml")
    whole[start + 2 : start + 10] = bytes(8)
    with pytest.raises(UnreadableError, match="damaged Word document"):
        read(tmp_path, bytes(whole), "docx")


@pytest.mark.parametrize(
    ("piece", "begin", "form"),
    [
        ('{\\field{\\*\\fldinst{HYPERLINK "x"', "{\\rtf1 ", "rtf"),
        ("\\f0", "{\\rtf1 {\\fonttbl ", "rtf"),
        ("<!--", "<html>", "html"),
        ("<![CDATA[", "<html>", "html"),
        ("<a b='", "<html>", "html"),
        ("<a ", "<html>", "html"),
        ("&#", "<html>", "html"),
        ("</", "<html>", "html"),
        ("OBX|1|TX|||\\", "MSH|^~\\&|\r", "hl7"),
        ("^~\\&|", "MSH|^~\\&|\rPID|", "hl7"),
    ],
)
def test_repetition_takes_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: str, begin: str, form: str
) -> None:
    # What looks through everything again at each sign takes minutes for this.
    monkeypatch.setattr("medcl.modality.report.record._LONGEST", 15.0)
    (tmp_path / "r").write_text(begin + piece * 20_000)
    assert "cannot be read in" not in outcome(tmp_path / "r", form)


def outcome(path: Path, form: str) -> str:
    try:
        return read_reports(path, form).text
    except UnreadableError as error:
        return str(error)


def test_forms_that_call_each_other_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medcl.modality.report.record._LONGEST", 1.0)
    forms = b""
    for number in range(6, 26):
        body = b"BT /F 9 Tf (abc) Tj ET " + b"/X Do " * 10
        forms += b"%d 0 obj<</Type/XObject/Subtype/Form/BBox[0 0 9 9]" % number
        forms += b"/Resources<</XObject<</X %d 0 R>>>>/Length %d>>stream\n" % (number + 1, len(body))
        forms += body + b"\nendstream endobj\n"
    content = pdf(b"/X Do", more=forms).replace(b"xref\n0 6", b"nothing")
    begun = time.monotonic()
    (tmp_path / "r").write_bytes(content)
    outcome(tmp_path / "r", "pdf")
    assert time.monotonic() < begun + 20
