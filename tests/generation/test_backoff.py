"""All requests of a run wait as long as a provider asks, and no longer than the run lasts."""

from __future__ import annotations

from xprobe.generation.backoff import Gate


def test_a_gate_lets_pass_once_its_time_is_over() -> None:
    time = [0.0]

    def wait(seconds: float) -> None:
        time[0] += seconds / 2 + 0.01  # Waiting may end early.

    gate = Gate(wait, lambda: time[0])
    gate.shut(5.0)
    gate.shut(1.0)
    gate.wait()
    assert time[0] >= 5.0


def test_nobody_waits_at_a_gate_when_the_run_is_over() -> None:
    waited: list[float] = []

    def is_over(seconds: float) -> bool:
        waited.append(seconds)
        assert len(waited) < 9, "it spins"
        return True

    gate = Gate(is_over, lambda: 0.0)
    gate.shut(600.0)
    gate.wait()
    assert waited == [600.0]
