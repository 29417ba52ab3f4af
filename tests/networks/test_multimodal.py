"""Encoders of several modalities, in one space."""

import pytest
import torch

from medcl.errors import UsageError
from medcl.modality.report.config import TextEncoderConfig
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.signal import encoders as signal
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.spatial import encoders as image
from medcl.modality.spatial.config import ImageEncoderConfig
from medcl.modality.spec import JointCard, SignalCard, TextCard, VolumeCard, from_json, to_json
from medcl.networks.multimodal import MultimodalEncoder


def sides() -> dict[str, torch.nn.Module]:
    return {
        "image": image.build(ImageEncoderConfig(widths=(4, 8), dim=6), 1),
        "signal": signal.build(SignalEncoderConfig("resnet", dim=10, hidden=8, depth=2, stride=4), 2),
    }


def test_projections_of_all_sides_are_of_one_width_and_of_length_one() -> None:
    joint = MultimodalEncoder(sides(), hidden=7, projection=5)
    batches = {"image": torch.rand(3, 1, 16, 16), "signal": torch.randn(3, 2, 40)}
    for kind, x in batches.items():
        dense, pooled = joint.encode(kind, x)
        assert dense.shape[0] == 3
        assert dense.shape[2] == pooled.shape[1] == joint.side(kind).config.dim
        z = joint.project(kind, pooled)
        assert z.shape == (3, 5)
        torch.testing.assert_close(z.norm(dim=1), torch.ones(3))
        cells = joint.project_dense(kind, dense)
        assert cells.shape == (*dense.shape[:2], 5), "without a local projection, the head serves every cell"
        torch.testing.assert_close(cells.norm(dim=2), torch.ones(dense.shape[:2]))


def test_without_a_hidden_layer_a_projection_is_linear() -> None:
    joint = MultimodalEncoder(sides(), hidden=0, projection=5)
    assert [tuple(p.shape) for p in joint.heads["image"].parameters()] == [(5, 6), (5,)]
    z = torch.randn(4, 6)
    torch.testing.assert_close(joint.project("image", 2 * z - z), joint.project("image", z))


def test_a_local_projection_has_its_own_width() -> None:
    joint = MultimodalEncoder(sides(), hidden=7, projection=5, local=3)
    dense, _ = joint.encode("image", torch.rand(2, 1, 16, 16))
    assert joint.project_dense("image", dense).shape == (2, dense.shape[1], 3)


def test_with_codes_all_sides_are_mixtures_of_them() -> None:
    joint = MultimodalEncoder(sides(), hidden=0, projection=5, codes=9).eval()
    assert joint.codes is not None
    for kind, x in {"image": torch.rand(3, 1, 16, 16), "signal": torch.randn(3, 2, 40)}.items():
        dense, pooled = joint.encode(kind, x)
        expected = joint.codes.weights(kind, dense) @ joint.codes.codes
        torch.testing.assert_close(joint.embed(kind, x), torch.nn.functional.normalize(expected, dim=1))
        cells = joint.project_dense(kind, dense)
        alone = joint.codes(kind, dense[1, 2:3][None])[0]
        torch.testing.assert_close(cells[1, 2], torch.nn.functional.normalize(alone, dim=0))
        with pytest.raises(UsageError, match="no common space"):
            joint.project(kind, pooled)


def test_what_cannot_be_is_refused() -> None:
    joint = MultimodalEncoder(sides(), hidden=7, projection=5)
    with pytest.raises(UsageError, match="no side 'report': it has image, signal"):
        joint.encode("report", torch.zeros(1, 4, dtype=torch.int64))
    with pytest.raises(UsageError, match="no side 'image': it has none"):
        MultimodalEncoder({}, hidden=7, projection=5).side("image")
    with pytest.raises(UsageError, match="projection=-1"):
        MultimodalEncoder(sides(), hidden=7, projection=-1)


def test_a_card_of_several_sides_builds_the_same_network_again() -> None:
    words = Tokenizer.train(["No acute finding.", "Sinus rhythm."], 300)
    card = JointCard(
        {
            "volume": VolumeCard(ImageEncoderConfig(widths=(4, 8), dim=6), 1, "ct", {"size": [16, 16, 1]}),
            "signal": SignalCard(
                SignalEncoderConfig("resnet", dim=8, hidden=8, depth=2), ("I", "II"), 100.0, 2.0, "record"
            ),
            "report": TextCard(TextEncoderConfig(dim=8, hidden=32, depth=1), words.to_json(), None, {"length": 24}),
        },
        hidden=7,
        projection=5,
        local=3,
    )
    again = from_json(to_json(card))
    assert again == card
    first, second = card.build(), again.build()
    second.load_state_dict(first.state_dict())
    assert list(second.sides) == ["volume", "signal", "report"]
    ids = torch.from_numpy(words(["Sinus rhythm."], 24)).long()
    for joint in (first.eval(), second.eval()):
        assert joint.encode("report", ids)[1].shape == (1, 8)
    some = card.build(["report"])
    assert list(some.sides) == list(some.heads) == list(some.local) == ["report"]
    with pytest.raises(UsageError, match="no side image: the run has volume, signal, report"):
        card.build(["report", "image"])
