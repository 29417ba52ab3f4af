"""Recordings: the file formats, one module each."""

from medcl.modality import content
from medcl.modality.content import Format, pattern, starts, xml

RANK = 0
"""Place among the wings when a file is tested: first, for a DICOM object of signals would be one of volumes else."""
FORMATS = (
    Format("edf", content.is_edf, "edf", (".edf",), takes=("stated",), events="edf_events", pieces=True),
    Format("bdf", starts(b"\xffBIOSEMI"), "edf", (".bdf",), takes=("stated",), events="edf_events", pieces=True),
    Format("dicom-waveform", content.is_dicom_waveform, "dicom"),
    Format("gdf", pattern(rb"GDF [0-9.]{1,4}"), "gdf", (".gdf",), takes=("stated",), events="gdf", pieces=True),
    Format("fif", content.is_fif, "fif", (".fif", ".fif.gz"), events="fif", pieces=True),
    Format(
        "brainvision",
        pattern(rb"(?i)(\xef\xbb\xbf)?Brain ?Vision( Core| V-Amp)? Data Exchange Header"),
        "brainvision",
        (".vhdr",),
        takes=("stated",),
        events="brainvision",
        pieces=True,
    ),
    Format("wfdb", content.is_wfdb, "wfdb", (".hea",), takes=("stated", "verify"), pieces=True),
    Format("eeglab", content.is_eeglab, "eeglab", (".set",), fragile=True, events="eeglab", pieces=True),
    Format("muse", xml("RestingECG"), "muse"),
    Format("philips", xml("restingecgdata"), "philips"),
    Format("aecg", xml("AnnotatedECG"), "aecg"),
    Format("mat", content.is_matlab, "matlab", fragile=True, takes=("stated",), vague=True),
    Format("npy", starts(b"\x93NUMPY"), "arrays", takes=("stated",), vague=True),
    Format("table", content.is_table, "table", takes=("stated",), vague=True, confirmed=True),
    Format(
        "scp-ecg",
        content.is_scp,
        unread="SCP-ECG is not read: export it as DICOM, HL7 aECG or MUSE XML, or convert it to EDF with BioSig",
    ),
    Format(
        "ishne",
        pattern(rb"(ISHNE1\.0|ANN  1\.0)"),
        unread="ISHNE Holter is not read: convert it to WFDB with ishne2wfdb, or to EDF with BioSig",
    ),
    Format(
        "nihon-kohden",
        pattern(rb"(EEG-1100|EEG-2100|EEG-1200|DAE-2100|QI-403A)"),
        unread="Nihon Kohden is not read: export it as EDF+, or save it with mne.io.read_raw_nihon as .fif",
    ),
    Format(
        "persyst",
        pattern(rb"\s*\[FileInfo\]"),
        unread="Persyst is not read: export it as EDF+, or save it with mne.io.read_raw_persyst as .fif",
    ),
    Format(
        "ctf",
        pattern(rb"MEG4[12]RS"),
        unread="CTF MEG is not read: save the .ds folder with mne.io.read_raw_ctf as .fif",
    ),
    Format("micromed", starts(b"* MICROMED"), unread="Micromed is not read: export it as EDF+"),
    Format(
        "neuroscan",
        starts(b"Version 3.0"),
        unread="Neuroscan CNT is not read: save it with mne.io.read_raw_cnt as .fif",
    ),
    Format("xdf", starts(b"XDF:"), unread="XDF is not read: save the stream as .fif or EDF"),
    Format(
        "bci2000",
        pattern(rb"(BCI2000V=|HeaderLen=)"),
        unread="BCI2000 is not read: save it with mne.io.read_raw_bci2k as .fif",
    ),
)
"""Every format of recordings, in the order in which a file is tested: adding one is a module and a line here."""
