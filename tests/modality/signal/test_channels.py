"""Names of channels: one spelling, found in any order, refused where it is not clear which is meant."""

import pytest

from medcl.errors import UnreadableError
from medcl.modality.signal.channels import canonical, positions


@pytest.mark.parametrize(
    ("stated", "spelled"),
    [
        ("AVR", "aVR"),
        ("avf", "aVF"),
        ("ii", "II"),
        ("Lead III", "III"),
        ("v1", "V1"),
        ("vx", "Vx"),
        ("mlii", "MLII"),
        ("V3R", "V3R"),
        ("FP1", "Fp1"),
        ("EEG Fp1-Ref", "Fp1"),
        ("EEG FPZ-LE", "Fpz"),
        ("afz", "AFz"),
        ("Cz.", "Cz"),
        ("T3", "T7"),
        ("EEG T6-REF", "P8"),
        ("FP1-F7", "Fp1-F7"),
        ("EEG C3-A2", "C3-A2"),
        ("T3-T5", "T7-P7"),
        ("EOG left", "EOG left"),
    ],
)
def test_one_spelling(stated: str, spelled: str) -> None:
    assert canonical(stated) == spelled
    assert canonical(spelled) == spelled


def test_channels_are_found_by_name_in_the_order_wanted() -> None:
    present = ("EEG Fp1-Ref", "EEG T3-Ref", "EEG CZ-Ref", "EOG Left")
    assert positions(["eog left", "Cz", "T7", "FP1"], present).tolist() == [3, 2, 1, 0]


def test_absent_and_ambiguous_channels_are_named() -> None:
    with pytest.raises(UnreadableError, match="lacks the channels V1, V2; it has I, II"):
        positions(["I", "V1", "V2"], ["I", "II"])
    with pytest.raises(UnreadableError, match="more than one channel that is called T7"):
        positions(["T7"], ["T3", "T7"])
    with pytest.raises(UnreadableError, match="lacks the channels C3"):
        positions(["C3"], ["C3-A2"])
