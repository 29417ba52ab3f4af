"""A written report as a file: text, XML as Open-I writes it, a DICOM structured report; many as a table."""

import csv
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import BasicTextSRStorage, ExplicitVRLittleEndian, generate_uid

from medcl.phantom.reports import WrittenReport


def write_text(path: Path, report: WrittenReport) -> Path:
    """Write a report as UTF-8 text with headings.

    Args:
        path: of the file; its folder is made if need be.
        report: to write.

    Returns:
        The file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report.text, encoding="utf-8", newline="\n")
    return path


def write_xml(path: Path, report: WrittenReport) -> Path:
    """Write a report as Open-I's XML: sections as `AbstractText`, its records as `parentImage`.

    Args:
        path: of the file; its folder is made if need be.
        report: to write.

    Returns:
        The file.
    """
    root = ElementTree.Element("eCitation")
    ElementTree.SubElement(root, "uId", id=report.study.accession)
    abstract = ElementTree.SubElement(ElementTree.SubElement(root, "MedlineCitation"), "Abstract")
    for heading, body in report.sections.items():
        ElementTree.SubElement(abstract, "AbstractText", Label=heading).text = body
    for record in report.records:
        ElementTree.SubElement(root, "parentImage", id=record)
    ElementTree.indent(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
    return path


def write_sr(
    path: Path, report: WrittenReport, referenced: Sequence[tuple[str, str]] = (), *, number: int = 99
) -> Path:
    """Write a report as a DICOM Basic Text SR: a container a section, in the study of the pictures.

    Args:
        path: of the file; its folder is made if need be.
        report: to write; the same gives the same bytes.
        referenced: SOP class and instance UID of each picture that it describes.
        number: of the series in the study: its reports have different ones.

    Returns:
        The file.
    """
    study, person = report.study, report.study.person
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    header.SOPClassUID = BasicTextSRStorage
    header.SOPInstanceUID = str(generate_uid(entropy_srcs=["medcl phantom", study.key, "report", str(number)]))
    # As the study's series have it.
    header.StudyInstanceUID = str(generate_uid(entropy_srcs=["medcl phantom", study.key]))
    header.SeriesInstanceUID = str(generate_uid(entropy_srcs=["medcl phantom", study.key, "series", str(number)]))
    header.StudyDate = header.ContentDate = study.day.strftime("%Y%m%d")
    header.StudyTime = header.ContentTime = study.time
    header.AccessionNumber, header.Modality = study.accession, "SR"
    header.SeriesNumber, header.InstanceNumber = number, 1
    header.PatientName, header.PatientID, header.PatientSex = person.name, person.number, person.sex
    header.PatientBirthDate = person.birth.strftime("%Y%m%d")
    header.ReferringPhysicianName, header.Manufacturer = "Nobody^Nora", "Phantom Works"
    header.CompletionFlag, header.VerificationFlag = "COMPLETE", "UNVERIFIED"
    header.ValueType, header.ContinuityOfContent = "CONTAINER", "SEPARATE"
    header.ConceptNameCodeSequence = [_code("Diagnostic imaging report", "18748-4", "LN")]
    header.ContentSequence = [_section(heading, body) for heading, body in report.sections.items()]
    for kind, instance in referenced:
        picture = Dataset()
        picture.ReferencedSOPClassUID, picture.ReferencedSOPInstanceUID = kind, instance
        item = Dataset()
        item.RelationshipType, item.ValueType, item.ReferencedSOPSequence = "CONTAINS", "IMAGE", [picture]
        header.ContentSequence.append(item)
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)
    return path


def write_table(path: Path, reports: Sequence[WrittenReport]) -> Path:
    """Write reports as a CSV: `record`, `study`, `patient` and a column a section in small letters.

    One row a report and record that it describes.

    Args:
        path: of the file; its folder is made if need be.
        reports: to write; a section that one of them lacks is an empty cell.

    Returns:
        The file.
    """
    headings = list(dict.fromkeys(heading for report in reports for heading in report.sections))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["record", "study", "patient", *(heading.lower() for heading in headings)])
        for report in reports:
            bodies = [report.sections.get(heading, "") for heading in headings]
            ids = [report.study.accession, report.study.person.number]
            writer.writerows([record, *ids, *bodies] for record in report.records or ("",))
    return path


def _section(heading: str, body: str) -> Dataset:
    text = Dataset()
    text.RelationshipType, text.ValueType = "CONTAINS", "TEXT"
    text.ConceptNameCodeSequence = [_code(heading.capitalize())]
    text.TextValue = body
    section = Dataset()
    section.RelationshipType, section.ValueType = "CONTAINS", "CONTAINER"
    section.ConceptNameCodeSequence = [_code(heading.capitalize())]
    section.ContinuityOfContent = "SEPARATE"
    section.ContentSequence = [text]
    return section


def _code(meaning: str, value: str = "", scheme: str = "99PHANTOM") -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = value or meaning.upper()[:16], scheme
    code.CodeMeaning = meaning
    return code
