"""Audio levels (RFC 6464): nobody tells the server who speaks unless the link says so; then all do."""

from fractions import Fraction

import av
import numpy as np
import pytest

from conference.frames import AUDIO, SCREEN_AUDIO
from conference.loudness import AUDIBLE, SILENCE, SPOKEN, level_of
from conference.sealing_encoders import Seal, sealing_encoder
from conference.sfu import stream
from tests.conference.conftest import House, until
from tests.conference.levels import overhear, with_levels


class Sealer:
    def seal(self, kid_context: int, frame: bytes, clear: int) -> bytes:
        return b"sealed" + frame


def sound(peak: int, channels: int = 1, number: int = 0) -> av.AudioFrame:
    wave = np.sin(2 * np.pi * 500 * np.arange(960) / 48_000) * peak
    samples = np.repeat(wave.astype(np.int16), channels).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono" if channels == 1 else "stereo")
    frame.sample_rate, frame.pts, frame.time_base = 48_000, number * 960, Fraction(1, 48_000)
    return frame


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("peak", "level"), [(32767, 3), (3277, 23), (328, 43), (0, SILENCE)])
def test_a_sine_is_three_decibels_below_its_peak(peak: int, level: int, channels: int) -> None:
    assert level_of(sound(peak, channels).to_ndarray()) == level


def test_no_level_is_outside_of_the_scale() -> None:
    assert level_of(np.full(960, -32768, np.int16)) == 0
    assert level_of(np.array([], np.int16)) == SILENCE
    assert level_of(np.array([1] + [0] * 95_999, np.int16)) == SILENCE
    assert level_of(np.ones(960, np.int16)) > AUDIBLE, "what a decoder makes of silence is not heard"


@pytest.mark.parametrize(
    ("kid_context", "tells", "told"),
    [(AUDIO, True, True), (AUDIO, False, False), (SCREEN_AUDIO, True, False)],
)
def test_only_a_microphone_tells_and_only_if_it_is_to(kid_context: int, tells: bool, told: bool) -> None:
    encoder = sealing_encoder(Seal(Sealer(), kid_context), kid_context, None, tells_level=tells)
    frames = [
        frame for n in range(20) for frame in encoder.encode(sound(3277 if n < 10 else 0, number=n), False)
    ]
    levels = [frame.audio_level for frame in frames]
    assert levels == ([-23] * 10 + [-SILENCE] * 10 if told else [None] * 20)


@pytest.mark.parametrize("kid_context", [AUDIO, SCREEN_AUDIO])
def test_nor_does_the_size_of_a_packet_tell_what_is_in_it(kid_context: int) -> None:
    """RFC 6562: a constant bitrate, and packets in silence too."""
    encoder = sealing_encoder(Seal(Sealer(), kid_context), kid_context, None)
    encoded = [encoder.encode(sound(32767 if n < 10 else 0, number=n), False) for n in range(20)]
    assert [len(frames) for frames in encoded] == [1] * 20
    assert len({len(b"".join(frames[0].payloads)) for frames in encoded}) == 1


def test_of_sound_that_is_encoded_already_nothing_is_told() -> None:
    encoder = sealing_encoder(Seal(Sealer(), AUDIO), AUDIO, None, tells_level=True)
    packet = av.Packet(b"opus")
    packet.pts, packet.time_base = 0, Fraction(1, 48_000)
    assert [frame.audio_level for frame in encoder.pack(packet)] == [None]


async def test_with_levels_the_server_and_who_decodes_nothing_know_who_speaks(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = overhear(monkeypatch)
    with_levels(house)
    ada = await house.join("Ada")
    bob = await house.join("Bob", is_silent=True, decode=False)
    await until("Bob knows that Ada speaks", lambda: bob.line(ada).is_speaking)
    assert bob.line(ada).audio.decoded == 0
    assert bob.participant.status().has_audio_levels
    assert set(heard.levels[ada.id]) <= set(range(SPOKEN + 1))
    ada.media.mute(AUDIO, True)
    await until("the server hears silence", lambda: heard.levels[ada.id][-1] == SILENCE)
    await until("Bob knows that she is silent", lambda: not bob.line(ada).is_speaking)
    before = heard.packets[ada.id]
    await until("in the same rhythm", lambda: heard.packets[ada.id] > before + 25)
    assert len(heard.levels[ada.id]) == heard.packets[ada.id], "with every packet"


async def test_without_levels_the_server_learns_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it answers with levels that nobody offered, and tells some of its own to others."""
    heard = overhear(monkeypatch, answers_levels=True)
    forge(monkeypatch)
    ada = await house.join("Ada")
    bob = await house.join("Bob", is_silent=True, decode=False)
    watcher = await house.join("Carol", is_silent=True)
    await until("sound comes", lambda: heard.packets.get(ada.id, 0) > 25)
    await until("who decodes it hears it", lambda: watcher.line(ada).is_speaking)
    assert heard.levels[ada.id] == []
    await until("to Bob too", lambda: (audio := bob.line(ada).audio) and audio.opened > 10)
    assert not bob.line(ada).is_speaking
    assert not bob.participant.status().has_audio_levels


async def test_who_decodes_believes_no_level(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has who is silent seem loud."""
    forge(monkeypatch)
    with_levels(house)
    ada = await house.join("Ada")
    ada.media.mute(AUDIO, True)
    listener = await house.join("Listener", is_silent=True)
    deaf = await house.join("Deaf", is_silent=True, decode=False)
    await until("who hears nothing has the server's word only", lambda: deaf.line(ada).is_speaking)
    await until("sound comes", lambda: (audio := listener.line(ada).audio) and audio.decoded > 50)
    assert not listener.line(ada).is_speaking


def forge(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server tells its own levels."""
    block = stream.extension_block
    monkeypatch.setattr(stream, "extension_block", lambda now, level: block(now, 5))
