"""A changed `alert_rate` takes effect when the trainer starts with it; without one, the worker warns."""

from __future__ import annotations

import json
import time
from pathlib import Path

import yaml

from tests.scenarios.processes import await_committed, worker
from tests.scenarios.stream import encoded, events, make
from tests.services.kafka import KafkaCluster


def test_a_changed_alert_rate_takes_effect_at_once(
    kafka: KafkaCluster, redis_url: str, stream: str, tmp_path: Path
) -> None:
    setup = make(kafka, redis_url, tmp_path, stream, threshold={"alert_rate": 0.02})
    setup.train()
    plain = yaml.safe_load(setup.path.read_text())
    plain["threshold"]["alert_rate"] = 0.002
    setup.path.write_text(yaml.safe_dump(plain))
    kafka.produce(stream, encoded(events(500, every=100)))
    with worker(setup, "alone", tmp_path) as process:
        await_committed(setup, 500, process)
        [warning] = process.wait_for("alert_rate_not_in_effect")
        assert (warning["serving"], warning["configured"]) == (0.02, 0.002)
        status = json.loads(process.get("api/status")[1])
        assert (status["model"]["alert_rate"], status["model"]["alert_rate_configured"]) == (0.02, 0.002)
        assert "alert_rate" in status["degraded"]
        assert process.stop() == 0
    with worker(setup, "trained", tmp_path, trainer=True) as process:
        process.wait_for("trainer_started", seconds=120.0)
        deadline = time.monotonic() + 30
        while (model := json.loads(process.get("api/status")[1])["model"])["alert_rate"] != 0.002:
            assert time.monotonic() < deadline, process.tail()
            time.sleep(0.2)
        assert model["provenance"]["kind"] == "operator"
        assert model["provenance"]["reason"] == "alert_rate changed from 0.02 to 0.002"
        assert model["version"] == 1
        assert process.stop() == 0
