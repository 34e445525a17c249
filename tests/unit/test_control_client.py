"""The client of the control socket."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

from queuectl import control_client
from queuectl.spool.layout import Layout


def test_a_supervisor_of_another_version_may_report_fewer_members(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "home"))
    layout.ensure()
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"{layout.run}/{control_client.SOCKET}")
    server.listen()

    def answer() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            worker = {"name": "worker-1", "state": "idle", "pid": 1, "started_at": 1.0, "done": 2}
            connection.sendall(json.dumps({"ok": True, "workers": [worker]}).encode() + b"\n")

    thread = threading.Thread(target=answer)
    thread.start()
    (worker,) = control_client.ask(layout, {"do": "status"})["workers"]
    thread.join()
    server.close()
    assert worker["done"] == 2
    assert worker["failed_attempts"] is worker["job_id"] is worker["command"] is None
