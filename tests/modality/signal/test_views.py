"""What holds for every view, and each view's own promise."""

import io
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.signal.config import SignalViewsConfig
from medcl.modality.signal.views import build
from medcl.modality.signal.views.amplitude import (
    AmplitudeScale,
    ChannelDropout,
    FrequencyShift,
    Jitter,
    PhaseSurrogate,
    Reflect,
    SignFlip,
    mirror_order,
)
from medcl.modality.signal.views.timing import Crop, Permutation, Reverse, TimeWarp
from medcl.modality.views import Compose, View

CHANNELS = ("Fp1", "C3", "Cz", "C4", "Fp2")
RATE = 100.0
ALL = SignalViewsConfig(
    mask="continuous",
    crop=0.5,
    time_warp=0.3,
    permutation=4,
    reverse=0.5,
    frequency_shift=3,
    phase_surrogate=1,
    reflect=0.5,
    sign_flip=0.5,
    scale=0.3,
    jitter=0.2,
    channel_dropout=0.3,
)
VIEWS = build(ALL, CHANNELS, RATE).views
every_view = pytest.mark.parametrize("view", VIEWS, ids=[view.name for view in VIEWS])


@pytest.fixture
def x() -> Tensor:
    return torch.randn(32, len(CHANNELS), 201, generator=seeded(1))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def reloaded(params: dict[str, Tensor]) -> dict[str, Tensor]:
    file = io.BytesIO()
    torch.save(params, file)
    file.seek(0)
    loaded: dict[str, Tensor] = torch.load(file, weights_only=True)
    return loaded


@every_view
def test_a_view_is_replayed_from_its_saved_parameters(view: View, x: Tensor) -> None:
    before = x.clone()
    params = view.draw(x, seeded(0))
    y = view.apply(x, params)
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert not torch.equal(y, x), "the view changes the batch"
    assert torch.equal(x, before), "but not in place"
    torch.rand(7)
    assert torch.equal(view.apply(x, reloaded(params)), y)
    assert torch.equal(view.apply(x, view.draw(x, seeded(0))), y), "the generator is the only source of randomness"
    assert not torch.equal(view.apply(x, view.draw(x, seeded(1))), y)


@every_view
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_very_short_windows_stay_finite(view: View, steps: int) -> None:
    x = torch.randn(4, len(CHANNELS), steps, generator=seeded(1))
    y = view.apply(x, view.draw(x, seeded(0)))
    assert y.shape == x.shape
    assert y.isfinite().all()


def test_all_together_replay_and_hand_out_the_mask(x: Tensor) -> None:
    views = build(ALL, CHANNELS, RATE)
    params = views.draw(x, seeded(0))
    y, keep = views.apply(x, params), views.keep(params)
    again = reloaded(params)
    assert torch.equal(views.apply(x, again), y)
    assert keep is not None
    assert keep.shape == (32, 201)
    assert torch.equal(again["mask.keep"], keep)


def test_nothing_switched_on_gives_the_batch_itself(x: Tensor) -> None:
    views = build(SignalViewsConfig(), CHANNELS, RATE)
    params = views.draw(x, seeded(0))
    assert params == {}
    assert views.apply(x, params) is x
    assert views.keep(params) is None


def test_a_view_named_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="more than one of: jitter"):
        Compose([Jitter(0.1), Jitter(0.2)])


@every_view
def test_windows_get_views_of_their_own(view: View, x: Tensor) -> None:
    same = x[:1].expand_as(x)
    y = view.apply(same, view.draw(same, seeded(0)))
    assert len(y.unique(dim=0)) > 1


def test_jitter_stays_below_its_largest_deviation(x: Tensor) -> None:
    view = Jitter(0.5)
    noise = view.apply(x, view.draw(x, seeded(0))) - x
    deviation = noise.flatten(1).std(dim=1)
    assert deviation.max() < 0.53
    assert deviation.std() > 0.05, "each window has its own"


def test_scale_has_one_factor_a_channel_within_the_change(x: Tensor) -> None:
    view = AmplitudeScale(0.3)
    ratio = view.apply(x, view.draw(x, seeded(0))) / x
    torch.testing.assert_close(ratio, ratio[:, :, :1].expand_as(ratio), rtol=1e-4, atol=1e-4)
    assert 0.7 <= ratio.min() < 0.8
    assert 1.2 < ratio.max() <= 1.3001


@pytest.mark.parametrize("probability", [0.3, 1.0])
def test_channel_dropout_never_drops_all_channels(x: Tensor, probability: float) -> None:
    view = ChannelDropout(probability)
    y = view.apply(x, view.draw(x, seeded(0)))
    kept = (y != 0).any(dim=2)
    assert (kept.sum(dim=1) >= 1).all()
    torch.testing.assert_close(y[kept], x[kept], rtol=0, atol=0)
    if probability == 1:
        assert (kept.sum(dim=1) == 1).all()
        assert kept.any(dim=0).sum() > 1, "the survivor is random"


@pytest.mark.parametrize("view", [SignFlip(1), Reverse(1), Reflect(1, mirror_order(CHANNELS))], ids=lambda v: v.name)
def test_twice_is_the_identity(view: View, x: Tensor) -> None:
    params = view.draw(x, seeded(0))
    once = view.apply(x, params)
    assert (once != x).flatten(1).any(dim=1).all()
    assert torch.equal(view.apply(once, params), x)


def test_crop_reads_a_line_as_a_shorter_line() -> None:
    x = torch.arange(101.0).expand(64, 2, 101)
    y = (view := Crop(0.4)).apply(x, view.draw(x, seeded(0)))
    slope = y.diff(dim=2)
    torch.testing.assert_close(slope, slope[:, :, :1].expand_as(slope), rtol=0, atol=1e-4)
    share = slope[:, 0, 0]
    assert 0.4 <= share.min() < 0.5
    assert 0.9 < share.max() <= 1
    assert y.min() >= 0
    assert y.max() <= 100
    torch.testing.assert_close(Crop(1).apply(x, Crop(1).draw(x, seeded(0))), x)


def test_time_warp_is_monotone_and_keeps_the_ends() -> None:
    x = torch.arange(200.0).expand(64, 1, 200)
    view = TimeWarp(0.5)
    y = view.apply(x, view.draw(x, seeded(0)))[:, 0]
    assert (y.diff(dim=1) > 0).all()
    assert y[:, 0].abs().max() == 0
    torch.testing.assert_close(y[:, -1], torch.full((64,), 199.0))
    assert (y - x[:, 0]).abs().max() > 5
    log_speed = view.positions(200, view.draw(x.expand(64, 50, 200), seeded(0))["coefficients"]).diff(dim=1).log()
    assert 0.35 < log_speed.std(dim=1).square().mean().sqrt() < 0.65


def test_time_warp_without_strength_is_the_identity(x: Tensor) -> None:
    view = TimeWarp(0)
    assert torch.equal(view.apply(x, view.draw(x, seeded(0))), x)


def test_permutation_keeps_the_values_and_moves_channels_together(x: Tensor) -> None:
    view = Permutation(4)
    y = view.apply(x, view.draw(x, seeded(0)))
    assert torch.equal(y.sort(dim=2).values, x.sort(dim=2).values)
    position = torch.arange(201.0).expand(32, 5, 201)
    moved = view.apply(position, view.draw(x, seeded(0)))
    assert torch.equal(moved, moved[:, :1].expand_as(moved))
    breaks = (moved[:, 0].diff(dim=1) != 1).sum(dim=1)
    assert breaks.max() == 3, "at most four segments, each in its own order"


def test_frequency_shift_moves_the_peak_by_the_hertz_drawn() -> None:
    time = torch.arange(1000) / RATE
    x = torch.sin(2 * torch.pi * 20 * time).expand(16, 2, 1000) + 3
    view = FrequencyShift(8, RATE)
    params = view.draw(x, seeded(0))
    y = view.apply(x, params)
    peak = torch.fft.rfft(y - y.mean(dim=2, keepdim=True)).abs().argmax(dim=2) * RATE / 1000
    torch.testing.assert_close(peak[:, 0], 20 + params["shift"], rtol=0, atol=0.0501)
    assert params["shift"].max() > 4
    assert params["shift"].min() < -4
    torch.testing.assert_close(y.mean(dim=2), torch.full((16, 2), 3.0), rtol=0, atol=0.05)


@pytest.mark.parametrize("steps", [200, 201])
def test_phase_surrogate_keeps_power_and_the_phases_between_channels(steps: int) -> None:
    x = torch.randn(8, 3, steps, generator=seeded(1))
    view = PhaseSurrogate(1)
    y = view.apply(x, view.draw(x, seeded(0)))
    before, after = torch.fft.rfft(x), torch.fft.rfft(y)
    torch.testing.assert_close(after.abs(), before.abs(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        after[:, 0] * after[:, 1].conj(), before[:, 0] * before[:, 1].conj(), rtol=1e-3, atol=1e-2
    )
    similarity = torch.nn.functional.cosine_similarity(x.flatten(1), y.flatten(1))
    assert similarity.abs().max() < 0.5, "but the shape is another one"


def test_reflection_exchanges_left_and_right() -> None:
    names = ["Fp1", "FP2", "C3", "cz", "C4", "FFC5h", "FFC6h", "Fp1-F7", "Fp2-F8", "A1", "A2"]
    mirrored = [names[index] for index in mirror_order(names)]
    assert mirrored == ["FP2", "Fp1", "C4", "cz", "C3", "FFC6h", "FFC5h", "Fp2-F8", "Fp1-F7", "A2", "A1"]


def test_reflection_refuses_channels_without_a_mirror() -> None:
    with pytest.raises(UsageError, match="10-20 names; these are not: I, V1"):
        build(replace(SignalViewsConfig(), reflect=0.5), ["I", "V1"], RATE)
    with pytest.raises(UsageError, match=r"missing for: C3 \(no C4\)"):
        mirror_order(["C3", "Cz"])
    with pytest.raises(UsageError, match="each channel name once"):
        mirror_order(["C3", "C4", "c3"])
    view = Reflect(0.5, mirror_order(["C3", "C4"]))
    x = torch.randn(2, 3, 10)
    with pytest.raises(UsageError, match=r"2 channel names, got a batch of shape \(2, 3, 10\)"):
        view.apply(x, view.draw(x, seeded(0)))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (SignalViewsConfig(crop=1.5), "crop lies between 0 and 1, got 1.5"),
        (SignalViewsConfig(jitter=-1), "jitter"),
        (SignalViewsConfig(permutation=1), "permutation=1"),
        (SignalViewsConfig(frequency_shift=50), r"half of the sampling rate \(100 Hz\), got 50 Hz"),
        (SignalViewsConfig(mask="continuous", mask_segments=0), "mask_segments=0"),
        (SignalViewsConfig(mask="binomial", mask_probability=2), "mask_probability"),
        (SignalViewsConfig(mask="all"), "'all'"),  # type: ignore[arg-type]
    ],
)
def test_settings_out_of_range_are_refused(config: SignalViewsConfig, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(config, CHANNELS, RATE)
