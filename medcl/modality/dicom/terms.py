"""Terms that the DICOM standard defines: of all that a header says in words, only these are kept or shown."""

_MODALITIES = """
ANN AR ASMT AU BDUS BI BMD CD CF CFM CP CR CS CT CTPROTOCOL DD DF DG DM DMS DOC DS DX EC ECG EEG EMG EOG EPS ES FA FID
FS GM HC HD IO IVOCT IVUS KER KO LEN LP LS M3D MA MG MR MS NM OAM OCT OP OPM OPR OPT OPTBSV OPTENF OPV OSS OT PA PLAN
POS PR PT PX REG RESP RF RG RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SC SEG SM SMR SR SRF ST
STAIN TEXTUREMAP TG US VA VF VIDD XA XAPROTOCOL XC
"""
MODALITY_TERMS = frozenset(_MODALITIES.split())
"""Defined terms of Modality (0008,0060), part 3, C.7.3.1.1.1, with the retired ones."""
PHOTOMETRIC_TERMS = frozenset(
    {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "HSV", "ARGB", "CMYK", "YBR_FULL", "YBR_FULL_422"}
    | {"YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT", "XYB"}
)
"""Defined terms of Photometric Interpretation (0028,0004)."""
RESCALE_TERMS = frozenset(["OD", "HU", "US", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT"])
"""Defined terms of Rescale Type (0028,1054)."""
CONTRAST_TERMS = frozenset(
    {"P", "PHASE", "R", "REAL", "I", "IMAGINARY", "W", "WATER", "F", "FAT", "IP", "IN_PHASE", "OP", "OUT_PHASE"}
    | {"OPP_PHASE", "PHASE MAP", "VELOCITY", "ADC", "FA"}
)
"""Values of Image Type that tell contrasts apart which one series may hold side by side: parts of the signal, Dixon."""
IMAGE_TYPE_TERMS = CONTRAST_TERMS | {"ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", "AXIAL", "LOCALIZER", "MOSAIC"}
"""Values of Image Type (0008,0008) that decide something; a manufacturer may write anything else there."""
_QUOTABLE = MODALITY_TERMS | PHOTOMETRIC_TERMS | RESCALE_TERMS
UNKNOWN = "unknown"


def term(value: str, terms: frozenset[str]) -> str:
    """A value in upper case if it is one of the terms; empty if it is; else `unknown`.

    A length that is damaged makes one element swallow the next, such as the patient's name, and some write a name where
    a term is asked for.
    """
    value = value.strip().upper()
    return value if not value or value in terms else UNKNOWN


def quotable(value: str) -> str:
    """A modality, photometric interpretation or rescale type as an error may show it."""
    return term(value, _QUOTABLE) or UNKNOWN
