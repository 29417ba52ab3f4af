"""What a window of a signal is, and what users state of files: importable without torch, for a quick command line."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from medcl.errors import UsageError


@dataclass(frozen=True)
class SignalConfig:
    """How recordings become windows.

    Args:
        sampling_rate: in Hz; recordings at another rate are resampled (polyphase). None is the archive's own rate,
            which must be one.
        channels: names in the order wanted; None is the channels that the first recording has, which all must have.
            Channels that a scan has set aside (of other sampling rates, markers) can be named too and are resampled.
        channel_names: name in the files -> name it is wanted by, where they are not two spellings of one name.
        window: length in seconds.
        stride: from one window to the next, in seconds.
        overlap: of neighbouring windows as a share of their length, when the trained encoder is used on labels or to
            embed; 0 sets them side by side (PTB-XL's benchmark takes 0.5).
        band: pass band [low, high] in Hz, a null end being open; None does not filter.
        reference: what EEG channels are measured against: as they are (`none`), the `average` of all channels, or the
            four nearest electrodes (`laplacian`). A channel `C3-P3` is the difference of two, if the file has these.
        interpolate: fill EEG channels that a recording lacks, or that never change, in from the others (spherical
            splines), a quarter of them at most; otherwise a recording that lacks one is left out.
        zero_missing: keep a recording that lacks channels, if it has one; they are 0, and `encoder.spatial` gives
            them no weight.
        notch: frequency in Hz to remove, 50 or 60 for the mains; None does not filter.
        standardise: to mean 0 and standard deviation 1 per channel: over the whole `record`, over each `window`, or
            `none`; or to median 0 and the interquartile range of such noise, over the record (`robust`), which single
            large artefacts do not change.
        clip: largest absolute value after that or after alignment, such as 20; 0 does not clip.
        delay: {channel: seconds} by which channels are put later, such as a stimulus that is answered 0.15 s later.
        align: whose recordings are aligned together (Euclidean alignment): the channels are turned so that the mean
            covariance of the recordings of a `patient`, of a `session`, or of the `recording` by itself is the
            identity. It needs no labels, and takes the place of `standardise`, which has to be `none`.
        align_online: align each recording by itself and those before it, in the order of the manifest, as a device
            can; otherwise by all of its group.
    """

    sampling_rate: float | None = None
    channels: list[str] | None = None
    channel_names: dict[str, str] | None = None
    window: float = 2.5
    stride: float = 1.25
    overlap: float = 0.0
    band: list[float | None] | None = None
    notch: float | None = None
    standardise: Literal["record", "window", "none", "robust"] = "record"
    clip: float = 0.0
    delay: dict[str, float] | None = None
    reference: Literal["none", "average", "laplacian"] = "none"
    interpolate: bool = False
    zero_missing: bool = False
    align: Literal["none", "patient", "session", "recording"] = "none"
    align_online: bool = False


@dataclass(frozen=True)
class SignalViewsConfig:
    """Which random views of a window are made, and how strong they are; 0 switches a view off.

    They are applied in the order: crop, time warp, permutation, reversal, frequency shift, phase surrogate, reflection,
    sign flip, heart vector, scale, jitter, powerline, wander, muscle, channel dropout, kept channels, channel mask.

    Args:
        mask: time steps hidden from the encoder: `none`, `continuous` (random segments, COMET's default) or
            `binomial` (each step on its own).
        mask_segments: segments of the continuous mask.
        mask_length: length of each segment as a share of the window.
        mask_probability: probability of hiding a step by the binomial mask.
        crop: smallest share of the window that is cut out and stretched to the whole length.
        time_warp: standard deviation of the logarithm of the local speed of time.
        permutation: segments, at most, that are put in random order.
        reverse: probability of reversing time.
        frequency_shift: largest shift of the spectrum, either way (Hz).
        phase_surrogate: share of the circle from which the new phases of the spectrum are drawn; 1 draws them all anew.
        reflect: probability of exchanging the left and right EEG channels, by their 10-20 names.
        sign_flip: probability of reversing the sign of all channels.
        heart_rotation: largest rotation of the heart vector of an ECG about each axis, either way (degrees; 3KG takes
            45), from which all leads are made again; it takes `standardise: none`, as does the next.
        heart_scale: largest factor of each axis of the heart vector (3KG takes 1.5); 1 leaves it.
        heart_residual: whether what no heart vector explains is kept.
        scale: largest relative change of a channel's amplitude.
        jitter: largest standard deviation of added white noise, in units of the standardised signal.
        powerline: largest amplitude of the hum of the mains, in units of the signal. Where an ECG is not standardised,
            the limb leads get what follows from the noise of I and II, of this and the next two.
        powerline_frequency: of the mains (Hz).
        wander: largest amplitude of a wander of the baseline of 0.01 to 0.2 Hz, in units of the signal.
        muscle: largest standard deviation of white noise with one amplitude a channel, in units of the signal.
        channel_dropout: probability of setting a channel to 0 (random lead masking takes 0.5).
        keep_channels: number of channels that are kept, the others being set to 0; 0 keeps all.
        channel_mask: share of each channel's time steps that is set to 0, a run at a place of its own (3KG takes 0.5).
    """

    mask: Literal["none", "continuous", "binomial"] = "none"
    mask_segments: int = 5
    mask_length: float = 0.1
    mask_probability: float = 0.5
    crop: float = 0.0
    time_warp: float = 0.0
    permutation: int = 0
    reverse: float = 0.0
    frequency_shift: float = 0.0
    phase_surrogate: float = 0.0
    reflect: float = 0.0
    sign_flip: float = 0.0
    heart_rotation: float = 0.0
    heart_scale: float = 1.0
    heart_residual: bool = False
    scale: float = 0.0
    jitter: float = 0.0
    powerline: float = 0.0
    powerline_frequency: float = 50.0
    wander: float = 0.0
    muscle: float = 0.0
    channel_dropout: float = 0.0
    keep_channels: int = 0
    channel_mask: float = 0.0


@dataclass(frozen=True)
class SignalEncoderConfig:
    """What turns a window (channels, time) into embeddings.

    Args:
        name: `dilated` (COMET and TS2Vec), `resnet` (1-D ResNet), `transformer` (patches), `xresnet` (xresnet1d of the
            PTB-XL benchmark, with BatchNorm), or of EEG `shallow` (ShallowConvNet), `eegnet` (EEGNet) and `conformer`
            (EEG Conformer).
        dim: width of the embedding.
        hidden: width inside the encoder; of the networks of EEG their maps after the spatial filters.
        depth: residual blocks (dilated), stages (resnet), layers (transformer, conformer), or 18, 34, 50 or 101
            (xresnet).
        stride: time steps that one position of the dense embedding covers.
        dropout: probability of dropping a feature.
        pooling: how a dense embedding becomes one vector over time; `both` takes the mean of the first half of the
            features and the maximum of the others.
        kernel: time steps of the temporal filters of `shallow`, `eegnet` and `conformer`.
        spatial: virtual channels in front of the encoder, to which attention over the positions of EEG electrodes maps
            the channels of any montage (270 as published); 0 takes the channels as they are.
        bag: windows that a sample is divided into, each encoded by itself and all pooled by learned attention; 0 does
            not divide it.
        subject_layer: in front of the encoder a matrix of channels for each patient who is trained on; others, and all
            after training, get the mean of these.
    """

    name: Literal["dilated", "resnet", "transformer", "xresnet", "shallow", "eegnet", "conformer"] = "dilated"
    dim: int = 320
    hidden: int = 64
    depth: int = 10
    stride: int = 1
    dropout: float = 0.1
    pooling: Literal["max", "mean", "both"] = "max"
    kernel: int = 25
    spatial: int = 0
    subject_layer: bool = False
    bag: int = 0


@dataclass(frozen=True)
class Stated:
    """What holds for every file that does not say it itself, and around which events recordings are cut.

    Args:
        sampling_rate: Hz; None where each file states its own.
        channels: names of the channels, in the order of the file; empty where each file names its own.
        unit: of all channels; empty where each file states its own.
        events: names of events, or NAME=LABEL; empty where recordings stay whole.
        epoch: seconds from an event to the beginning and to the end of what is cut out.
    """

    sampling_rate: float | None = None
    channels: tuple[str, ...] = ()
    unit: str = ""
    events: tuple[str, ...] = ()
    epoch: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.sampling_rate is not None and not (math.isfinite(self.sampling_rate) and self.sampling_rate > 0):
            raise UsageError("--sampling-rate is a number of Hz above 0")
        if len(set(self.channels)) < len(self.channels) or not all(self.channels):
            raise UsageError("--channels has an empty name, or one name twice")
        if bool(self.events) != (self.epoch is not None):
            raise UsageError("--events and --epoch need each other: which events, and where epochs begin and end")
        if self.epoch is not None and not (all(map(math.isfinite, self.epoch)) and self.epoch[0] < self.epoch[1]):
            raise UsageError("--epoch: the beginning lies before the end, both in seconds from the event")
        if len(self.labels) < len(self.events) or not all(map(all, self.labels.items())):
            raise UsageError("--events has an empty name or label, or one name twice")

    @property
    def labels(self) -> dict[str, str]:
        """{name of an event that recordings are cut around: its label}."""
        pairs = [one.rpartition("=") for one in self.events]
        return {" ".join((name if sign else label).split()): label.strip() for name, sign, label in pairs}

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Stated":
        """From the settings of a scan, as a manifest keeps them."""
        given = {name: tuple(settings[name]) for name in ("channels", "events", "epoch") if settings.get(name)}
        return cls(settings.get("sampling_rate"), unit=settings.get("unit") or "", **given)

    def settings(self) -> dict[str, Any]:
        """As a manifest keeps it: nothing of what was not stated."""
        all_of_it: dict[str, Any] = {"sampling_rate": self.sampling_rate, "channels": list(self.channels)}
        all_of_it |= {"unit": self.unit, "events": list(self.events), "epoch": list(self.epoch or ())}
        return {name: value for name, value in all_of_it.items() if value}
