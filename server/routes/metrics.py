"""Metrics: how it goes, for Prometheus: read when it asks, nothing is counted twice."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from pipeline.clock import percentiles
from pipeline.table import Table
from server.calls.directory import Calls
from server.calls.events import Being
from server.calls.events import State as CallState
from server.channels.condition import State
from server.channels.lobby import Lobby
from server.channels.report import ChannelReport
from server.webrtc.mixer import spent
from server.webrtc.patches.dropped import dropped
from server.webrtc.patches.ice import gathering

_SALT = secrets.token_bytes(16)


def alias(channel: str) -> str:
    """What a shared server's metrics call a channel as long as this process runs: who reads them needs no way into one."""
    return hashlib.blake2s(channel.encode(), key=_SALT, digest_size=6).hexdigest()


class Live:
    """A collector that reads the lobby."""

    def __init__(
        self, lobby: Lobby | None, calls: Calls | None, too_often: Mapping[str, int], called: Callable[[str], str]
    ) -> None:
        self._lobby, self._calls, self._too_often, self._called = lobby, calls, too_often, called

    def collect(self) -> Iterator[Metric]:
        reports = [
            replace(report, name=self._named(report.name))
            for report in (self._lobby.reports() if self._lobby is not None else [])
        ]
        yield GaugeMetricFamily("telequilt_ready", "1 once warm", value=float(self._lobby is not None))
        yield GaugeMetricFamily("telequilt_channels", "Live callers", value=sum(bool(r.engine) for r in reports))
        yield GaugeMetricFamily("telequilt_viewers", "Viewers of all channels", value=sum(r.viewers for r in reports))
        away = CounterMetricFamily("telequilt_turned_away", "Refused for lack of room", labels=["who"])
        for who, count in (self._lobby.turned_away if self._lobby else {}).items():
            away.add_metric([who], count)
        yield away
        often = CounterMetricFamily(
            "telequilt_too_often", "Requests refused with 429, by what was asked", labels=["what"]
        )
        for what, count in self._too_often.items():
            often.add_metric([what], count)
        yield often
        strange = CounterMetricFamily("telequilt_packets_dropped", "Of strangers, or of no sense", labels=["reason"])
        for reason, count in dropped.counts.items():
            strange.add_metric([reason], count)
        yield strange
        turn = CounterMetricFamily("telequilt_turn_failures", "A TURN server gave us no address", labels=["reason"])
        for reason, count in gathering.turn_failures.items():
            turn.add_metric([reason], count)
        yield turn
        yield from _of_devices(self._lobby)
        yield from _of_people(self._calls)
        yield from _of_channels(reports, self._lobby.ended if self._lobby else {})
        yield from _of_sessions(reports)
        yield from _of_tables(self._lobby)
        yield from _of_streams(reports)
        yield from _of_recordings(reports, self._lobby.archive.ended if self._lobby else {})

    def _named(self, channel: str) -> str:
        """The names of a seat and of a table tell which call it is, which nobody's monitor needs to know."""
        of_call = "." in channel or (self._calls is not None and channel in self._calls.conferences)
        return alias(channel) if of_call else self._called(channel)


def _of_people(calls: Calls | None) -> Iterator[Metric]:
    """Counts alone: no call, no seat and nobody's name."""
    conferences = list(calls.conferences.values()) if calls is not None else []
    running = GaugeMetricFamily("telequilt_calls", "Calls between people", labels=["state"])
    states = Counter(one.rules.state for one in conferences)
    for state in (CallState.EMPTY, CallState.OPEN, CallState.CLOSING):
        running.add_metric([state], states[state])
    seats = GaugeMetricFamily("telequilt_seats", "Seats of all calls", labels=["state"])
    beings = Counter(seat.being for one in conferences for seat in one.rules.seats.values())
    for being in (Being.WAITING, Being.JOINING, Being.PRESENT, Being.AWAY):
        seats.add_metric([being], beings[being])
    sockets = sum(one.sockets for one in conferences)
    yield from (running, seats, GaugeMetricFamily("telequilt_sockets", "Sockets of pages in calls", value=sockets))
    rejoins = calls.rejoins if calls is not None else 0
    yield CounterMetricFamily("telequilt_rejoins", "Seats that were taken up again", value=rejoins)
    ends = CounterMetricFamily("telequilt_calls_ended", "Calls between people that have ended", labels=["reason"])
    for reason, count in (calls.ended if calls is not None else {}).items():
        ends.add_metric([reason], count)
    yield ends
    lag = GaugeMetricFamily("telequilt_event_loop_lag_ms", "By how much the event loop is late", labels=["quantile"])
    if calls is not None:
        for quantile, value in asdict(calls.lag()).items():
            lag.add_metric([quantile], value)
    yield lag
    looks = GaugeMetricFamily(
        "telequilt_look_age_ms", "How old a head's place is on its page, by what pages tell", labels=["quantile"]
    )
    for quantile, value in asdict(percentiles(age for one in conferences for age in one.look_ages)).items():
        looks.add_metric([quantile], value)
    yield looks
    yield CounterMetricFamily("telequilt_mixer_seconds", "Of processor time that mixing sound took", value=spent())


def _of_devices(lobby: Lobby | None) -> Iterator[Metric]:
    labels = ["placement", "device"]
    up = GaugeMetricFamily("telequilt_device_up", "1 while the device answers", labels=labels)
    drops = CounterMetricFamily("telequilt_device_drops", "How often it was given no more work", labels=labels)
    for place in lobby.deployments if lobby is not None else []:
        for device in place.executor.devices():
            up.add_metric([place.placement.name, device.device], float(device.up))
            drops.add_metric([place.placement.name, device.device], device.drops)
    taken = GaugeMetricFamily("telequilt_device_utilisation", "0..1, all callers watched", labels=["device"])
    for name, share in (lobby.utilisation if lobby is not None else {}).items():
        taken.add_metric([name], share)
    yield from (up, drops, taken)


def _of_channels(reports: list[ChannelReport], ended: Mapping[str, int]) -> Iterator[Metric]:
    labels = ["channel", "condition"]
    condition = GaugeMetricFamily("telequilt_condition", "1 for how the channel goes now", labels=labels)
    lasted = GaugeMetricFamily("telequilt_condition_seconds", "For how long it has gone so", labels=["channel"])
    arrived = CounterMetricFamily("telequilt_arrived", "Pictures that came from the caller", labels=["channel"])
    lost = CounterMetricFamily("telequilt_lost", "Pictures that came and were not shown", labels=["channel", "reason"])
    for report in reports:
        for state in State:
            condition.add_metric([report.name, state], float(report.condition.state is state))
        lasted.add_metric([report.name], report.condition.seconds)
        if report.reception is not None:
            arrived.add_metric([report.name], report.reception.arrived)
            for reason, count in report.reception.lost.items():
                lost.add_metric([report.name, reason], count)
    yield from _of_detail(reports)
    ends = CounterMetricFamily("telequilt_channels_ended", "Channels that the server has ended", labels=["reason"])
    for reason, count in ended.items():
        ends.add_metric([reason], count)
    yield from (condition, lasted, arrived, lost, ends)


def _of_detail(reports: list[ChannelReport]) -> Iterator[Metric]:
    rung = GaugeMetricFamily("telequilt_detail_rung", "0 at full detail, more the less is made", labels=["channel"])
    work = GaugeMetricFamily("telequilt_detail_work", "Of a frame's work at full detail", labels=["channel"])
    steps = CounterMetricFamily("telequilt_detail_steps", "Changes of detail", labels=["channel", "direction"])
    for report in reports:
        rung.add_metric([report.name], report.detail.rung)
        work.add_metric([report.name], report.detail.work)
        for direction in ("down", "up"):
            steps.add_metric([report.name, direction], report.detail.steps.get(direction, 0))
    yield from (rung, work, steps)


def _of_sessions(reports: list[ChannelReport]) -> Iterator[Metric]:
    fps = GaugeMetricFamily("telequilt_fps", "Frames finished a second", labels=["channel"])
    presence = GaugeMetricFamily("telequilt_presence", "1 while a face is followed", labels=["channel"])
    frames = CounterMetricFamily("telequilt_frames", "Frames finished", labels=["channel"])
    drops = CounterMetricFamily("telequilt_drops", "Frames thrown away", labels=["channel", "reason"])
    stage = GaugeMetricFamily("telequilt_stage_ms", "Milliseconds in a stage", labels=["channel", "stage", "quantile"])
    age = GaugeMetricFamily("telequilt_age_ms", "Age of the picture when encoded", labels=["channel", "quantile"])
    for report in reports:
        fps.add_metric([report.name], report.session.fps)
        presence.add_metric([report.name], report.session.presence)
        frames.add_metric([report.name], report.session.frames)
        for reason, count in report.session.drops.items():
            drops.add_metric([report.name, reason], count)
        for name, times in report.session.stages.items():
            for quantile, value in asdict(times).items():
                stage.add_metric([report.name, name, quantile], value)
        for quantile, value in asdict(report.session.age).items():
            age.add_metric([report.name, quantile], value)
    yield from (fps, presence, frames, drops, stage, age)


def _of_tables(lobby: Lobby | None) -> Iterator[Metric]:
    """Of the seat that is worst off at any table."""
    age = GaugeMetricFamily(
        "telequilt_table_age_ms", "Age of a seat in a table's picture when sent", labels=["quantile"]
    )
    tables = [one.session for one in lobby.channels.values()] if lobby is not None else []
    ages = [asdict(age) for table in tables if isinstance(table, Table) for age in table.ages().values()]
    for quantile in ("p50", "p95", "p99"):
        age.add_metric([quantile], max((one[quantile] for one in ages), default=0.0))
    yield age


def _of_streams(reports: list[ChannelReport]) -> Iterator[Metric]:
    labels = ["channel", "form"]
    pictures = CounterMetricFamily("telequilt_pictures", "Pictures encoded", labels=labels)
    keyframes = CounterMetricFamily("telequilt_keyframes", "Keyframes encoded", labels=labels)
    bitrate = GaugeMetricFamily("telequilt_bitrate", "Bits per second encoded", labels=labels)
    age = GaugeMetricFamily(
        "telequilt_sent_age_ms", "Age of the picture when handed to a viewer's sender", labels=[*labels, "quantile"]
    )
    skipped = CounterMetricFamily("telequilt_skipped", "Pictures not sent to a viewer", labels=[*labels, "reason"])
    held = GaugeMetricFamily("telequilt_voice_delay_ms", "For how long its sound is held back", labels=labels)
    lips = GaugeMetricFamily(
        "telequilt_lip_offset_ms", "Sound sent later than the picture of its moment", labels=labels
    )
    for report in reports:
        for stream in report.streams:
            pictures.add_metric([report.name, stream.form], stream.pictures)
            keyframes.add_metric([report.name, stream.form], stream.keyframes)
            bitrate.add_metric([report.name, stream.form], stream.bitrate)
            for quantile, value in asdict(stream.age).items():
                age.add_metric([report.name, stream.form, quantile], value)
            for reason, count in stream.skipped.items():
                skipped.add_metric([report.name, stream.form, reason], count)
            for gauge, value in ((held, stream.voice_delay_ms), (lips, stream.lip_offset_ms)):
                if value is not None:
                    gauge.add_metric([report.name, stream.form], value)
    yield from (pictures, keyframes, bitrate, age, skipped, held, lips)


def _of_recordings(reports: list[ChannelReport], ended: Mapping[str, int]) -> Iterator[Metric]:
    going = GaugeMetricFamily("telequilt_recording", "1 while the channel is recorded", labels=["channel"])
    waiting = GaugeMetricFamily(
        "telequilt_recording_waiting_bytes", "What its disk has yet to take", labels=["channel"]
    )
    for report in reports:
        going.add_metric([report.name], float(report.recording is not None))
        if report.recording is not None:
            waiting.add_metric([report.name], report.recording.waiting)
    ends = CounterMetricFamily("telequilt_recordings_ended", "Recordings that ended", labels=["reason"])
    for reason, count in ended.items():
        ends.add_metric([reason], count)
    yield from (going, waiting, ends)
