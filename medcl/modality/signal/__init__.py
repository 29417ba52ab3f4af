"""Signals: recordings of ECG and EEG as channels over time, their windows."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from medcl.errors import MedclError, UsageError
from medcl.modality.base import Training, Wing
from medcl.modality.baselines import Baseline
from medcl.modality.miniature import Miniature
from medcl.modality.rows import Rows, Source
from medcl.modality.sampling import Numbered
from medcl.modality.signal.config import SignalConfig, SignalEncoderConfig, SignalViewsConfig

if TYPE_CHECKING:
    from torch import nn

    from medcl.modality.signal.samples import SignalWindows
    from medcl.modality.signal.store import SignalStore
    from medcl.modality.spec import SignalCard
    from medcl.modality.views import Compose

_STRIP = 300  # pixels of the width of a strip


class SignalWing(Wing):
    """See `Wing`."""

    name = "signal"
    plural = "recordings"
    examples = "recordings (ECG, EEG)"
    unit = "recording"
    sample = "windows"
    no_sample = "shorter than a window of the encoder, or no window without gaps"
    unlinked = "recordings have no partner"
    columns = ("modality", "part", "n_samples", "n_channels")
    reads_files = True
    shows_samples = False
    takes_arrays = True
    has_slices = False
    first_recipes = {"ecg": "ecg_patient", "eeg": "eeg_state", "": "signal_simclr"}
    config = SignalConfig
    encoder_config = SignalEncoderConfig
    views_config = SignalViewsConfig

    def first_recipe(self, modality: str, manifest: Callable[[], Rows]) -> str:
        """`ecg_comet` where leads are too few to turn the heart vector, `eeg_identity` where a person has one EEG."""
        from medcl.modality.signal.first_recipe import many_leads, several_recordings

        if modality == "ecg" and not many_leads(manifest()):
            return "ecg_comet"
        if modality == "eeg" and not several_recordings(manifest()):
            return "eeg_identity"
        return super().first_recipe(modality, manifest)

    @property
    def spec(self) -> type["SignalCard"]:
        """Of trained encoders."""
        from medcl.modality.spec import SignalCard

        return SignalCard

    def sketch(self, config: SignalConfig, encoder: SignalEncoderConfig) -> "tuple[nn.Module, tuple[int, ...]] | None":
        """A network of windows, where channels and rate are stated."""
        if not config.channels or not config.sampling_rate:
            return None
        from medcl.modality.signal.encoders import build

        size = len(config.channels), round(config.window * config.sampling_rate)
        return build(encoder, len(config.channels), config.channels), size

    def check(self, config: SignalConfig, encoder: SignalEncoderConfig) -> None:
        """Refuse an overlap that leaves no step; the rest is known with the sampling rate of the archive."""
        if not 0 <= config.overlap < 1:
            raise UsageError(f"data.overlap lies from 0 to below 1, got {config.overlap:g}")

    def completed(self, config: SignalConfig, manifest: Rows, training: Training) -> SignalConfig:
        """The configuration with a sampling rate and canonical channel names."""
        from medcl.modality.signal.prepare import resolve

        return resolve(manifest, config)

    def original(self, source: Source, axis: int | None) -> list[Any]:
        """A recording, (C, samples) in physical units."""
        from medcl.modality.signal.epochs import read

        return [read(source).physical()]

    def thumbnails(self, source: Source, pieces: Sequence[float | None], axis: int, width: int) -> list[Miniature]:
        """Strips of some seconds: an ECG on its paper, which has all leads enlarged; an EEG in its montage."""
        from medcl.modality.signal.ecg_paper import ecg_strip, whole_ecg
        from medcl.modality.signal.epochs import read
        from medcl.modality.signal.thumbnail import montage_strip

        signal, width = read(source), width or _STRIP
        starts = [float(piece or 0) for piece in pieces]
        if source.row["modality"] == "eeg":
            return [Miniature(drawn=montage_strip(signal, start, width)) for start in starts]
        return [
            Miniature(drawn=ecg_strip(signal, start, width), enlarged=partial(whole_ecg, signal, start))
            for start in starts
        ]

    def draws(self, store: "SignalStore", manifest: Rows, config: SignalConfig) -> Numbered:
        """One of the windows of a recording at a time."""
        samples = self.samples(store, manifest, config)
        if not len(samples):
            raise MedclError(f"no recording is as long as one window ({config.window} s): shorten data.window")
        return Numbered(samples)

    def levels(self, store: "SignalStore", manifest: Rows, config: SignalConfig) -> "SignalWindows":
        """Windows."""
        from medcl.modality.signal.samples import SignalWindows

        return SignalWindows(store, manifest, config)

    def views(self, config: SignalViewsConfig, data: SignalConfig, store: "SignalStore") -> "Compose":
        """Random changes of windows."""
        from medcl.modality.signal.views import build

        return build(config, store.channels, store.sampling_rate, physical=data.standardise == "none")

    def spec_of(
        self, encoder: SignalEncoderConfig, data: SignalConfig, store: "SignalStore", modality: str
    ) -> "SignalCard":
        """What an encoder expects that is trained on windows of prepared recordings."""
        return self.spec(
            encoder,
            tuple(store.channels),
            store.sampling_rate,
            data.window,
            data.standardise,
            tuple(data.band) if data.band else None,
            data.notch,
            data.align,
            data.align_online,
            data.reference,
            data.interpolate,
            data.clip,
            data.overlap,
            data.zero_missing,
            {name: late for name, late in (data.delay or {}).items() if name in store.channels} or None,
        )

    def note(self, config: SignalConfig) -> str:
        """How recordings were aligned, and that some may lack channels."""
        from medcl.modality.signal.alignment import note

        missing = "Channels that a recording lacks are 0 in it." if config.zero_missing else ""
        return " ".join(filter(None, (note(config), missing)))

    def data_of(self, spec: "SignalCard") -> SignalConfig:
        """Windows as in pretraining, side by side or with the overlap of the recipe."""
        return SignalConfig(
            sampling_rate=spec.sampling_rate,
            channels=list(spec.channels),
            window=spec.window,
            stride=spec.window * (1 - spec.overlap),
            overlap=spec.overlap,
            band=list(spec.band) if spec.band else None,
            notch=spec.notch,
            standardise=spec.standardise,  # type: ignore[arg-type]
            align=spec.align,  # type: ignore[arg-type]
            align_online=spec.align_online,
            reference=spec.reference,  # type: ignore[arg-type]
            interpolate=spec.interpolate,
            zero_missing=spec.zero_missing,
            delay=spec.delay,
            clip=spec.clip,
        )

    def baselines(self, config: SignalConfig) -> dict[str, Baseline]:
        """Power in bands, covariance of channels, of an ECG its mean beat and heart rate."""
        from medcl.modality.signal.baselines import baselines

        return baselines(config)
