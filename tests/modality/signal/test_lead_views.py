"""What views of ECGs promise: leads that follow from each other still do, and what they hide stays hidden."""

import pytest
import torch
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.signal.config import SignalViewsConfig
from medcl.modality.signal.views import build
from medcl.modality.signal.views.leads import INVERSE_DOWER, ChannelMask, HeartVector, KeepChannels, Powerline, Wander
from medcl.modality.views import View

LEADS = ("V1", "I", "II", "III", "aVR", "aVL", "aVF", "V2", "V3", "V4", "V5", "V6")
ALL = SignalViewsConfig(
    heart_rotation=45, heart_scale=1.5, powerline=0.3, wander=0.3, muscle=0.3, keep_channels=3, channel_mask=0.5
)
NOISE = SignalViewsConfig(powerline=0.3, wander=0.3, muscle=0.3)
VIEWS = build(ALL, LEADS, 250, physical=True).views


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ecg(batch: int = 16, steps: int = 250) -> Tensor:
    """Leads (B, 12, T) that follow from each other, with more in them than a dipole."""
    x = torch.randn(batch, 12, steps, generator=seeded(1))
    one, two = x[:, 1], x[:, 2]
    x[:, 3], x[:, 4], x[:, 5], x[:, 6] = two - one, -(one + two) / 2, one - two / 2, two - one / 2
    return x


def assert_identities(x: Tensor) -> None:
    one, two = x[:, 1], x[:, 2]
    for place, expected in ((3, two - one), (4, -(one + two) / 2), (5, one - two / 2), (6, two - one / 2)):
        torch.testing.assert_close(x[:, place], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("view", VIEWS, ids=[view.name for view in VIEWS])
@pytest.mark.parametrize("steps", [1, 3, 250])
def test_a_view_is_replayed_from_its_parameters(view: View, steps: int) -> None:
    x = ecg(steps=steps)
    params = view.draw(x, seeded(0))
    y = view.apply(x, params)
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert y.isfinite().all()
    assert torch.equal(y, view.apply(x, view.draw(x, seeded(0))))
    assert all(len(one) == len(x) for one in params.values())
    assert torch.equal(x, ecg(steps=steps)), "not in place"
    if steps == 250:
        assert not torch.equal(y, view.apply(x, view.draw(x, seeded(1))))


@pytest.mark.parametrize("residual", [False, True])
def test_leads_follow_from_each_other_after_a_rotation(residual: bool) -> None:
    x = ecg()
    view = HeartVector(45, 1.5, LEADS, residual)
    y = view.apply(x, view.draw(x, seeded(0)))
    assert_identities(y)
    assert (y - x).abs().amax(dim=(1, 2)).min() > 0.1


def test_without_a_change_the_dipole_stays_and_the_residual_with_it() -> None:
    x = ecg()
    inverse = torch.tensor(INVERSE_DOWER)
    independent = [LEADS.index(name) for name in ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")]
    expected = torch.linalg.pinv(inverse) @ inverse @ x[:, independent]
    plain = HeartVector(0, 1, LEADS)
    still = plain.apply(x, plain.draw(x, seeded(0)))
    torch.testing.assert_close(still[:, independent], expected, rtol=1e-4, atol=1e-5)
    whole = HeartVector(0, 1, LEADS, residual=True)
    torch.testing.assert_close(whole.apply(x, whole.draw(x, seeded(0))), x, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(plain.apply(still, plain.draw(x, seeded(0))), still, rtol=1e-4, atol=1e-5)


def test_a_turn_of_the_vector_turns_what_the_inverse_dower_matrix_reads() -> None:
    x = ecg(batch=4)
    view = HeartVector(45, 1.0, LEADS)
    y = view.apply(x, view.draw(x, seeded(0)))
    independent = [LEADS.index(name) for name in ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")]
    before, after = (torch.tensor(INVERSE_DOWER) @ leads[:, independent] for leads in (x, y))
    torch.testing.assert_close(after.norm(dim=1), before.norm(dim=1), rtol=1e-3, atol=1e-4)


def test_noise_of_limb_leads_follows_from_that_of_the_electrodes() -> None:
    x = ecg()
    views = build(NOISE, LEADS, 250, physical=True)
    y = views.apply(x, views.draw(x, seeded(0)))
    assert_identities(y)
    assert (y - x).std() > 0.05
    standardised = build(NOISE, LEADS, 250)
    noise = standardised.apply(x, standardised.draw(x, seeded(0))) - x
    assert (noise[:, 3] - (noise[:, 2] - noise[:, 1])).abs().max() > 0.1, "standardised leads have noise of their own"


def test_hum_and_wander_are_of_their_frequencies() -> None:
    x = torch.zeros(8, 2, 5000)
    for view, low, high in ((Powerline(1.0, (), 50, 500), 49.5, 50.5), (Wander(1.0, (), 500), 0.0, 0.4)):
        power = torch.fft.rfft(view.apply(x, view.draw(x, seeded(0)))).abs().square().sum(dim=(0, 1))
        hertz = torch.fft.rfftfreq(5000, 1 / 500)
        assert power[(hertz >= low) & (hertz <= high)].sum() > 0.9 * power.sum()
    assert view.apply(x, view.draw(x, seeded(0))).abs().max() <= 1


def test_each_lead_is_hidden_for_its_share_at_its_own_place() -> None:
    x = torch.ones(8, 12, 200)
    view = ChannelMask(0.5)
    hidden = view.apply(x, view.draw(x, seeded(0))) == 0
    assert (hidden.sum(dim=2) == 100).all()
    assert len(hidden[0].unique(dim=0)) > 6
    changes = (hidden != hidden.roll(1, dims=2)).sum(dim=2)
    assert (changes == 2).all(), "one run, which may go on at the beginning"


def test_kept_channels_are_counted() -> None:
    x = torch.ones(512, 12, 4)
    view = KeepChannels(1)
    kept = (view.apply(x, view.draw(x, seeded(0))) != 0).any(dim=2)
    assert (kept.sum(dim=1) == 1).all()
    assert kept.any(dim=0).all()
    many = KeepChannels(20)
    assert torch.equal(many.apply(x, many.draw(x, seeded(0))), x)


@pytest.mark.parametrize(
    ("config", "channels", "rate", "physical", "said"),
    [
        (SignalViewsConfig(heart_rotation=45), LEADS, 100, False, "data.standardise to none"),
        (SignalViewsConfig(heart_rotation=45), LEADS[:-1], 100, True, "missing: V6"),
        (SignalViewsConfig(heart_scale=1.5), (*LEADS, "Vx"), 100, True, "not one of them: Vx"),
        (SignalViewsConfig(heart_scale=0.5), LEADS, 100, True, "heart_scale"),
        (SignalViewsConfig(powerline=0.1), LEADS, 100, True, "no hum of the mains"),
        (SignalViewsConfig(wander=-0.1), LEADS, 100, True, "wander"),
        (SignalViewsConfig(channel_mask=1.5), LEADS, 100, True, "channel_mask"),
        (SignalViewsConfig(keep_channels=-1), LEADS, 100, True, "keep_channels"),
    ],
)
def test_what_cannot_be_is_refused(
    config: SignalViewsConfig, channels: tuple[str, ...], rate: float, physical: bool, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        build(config, channels, rate, physical=physical)
