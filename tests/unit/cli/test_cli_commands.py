"""The commands as a user runs them: what they say, and their exit codes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from fhirserver.cli import application
from fhirserver.cli.demo import free_port, where_to_look
from fhirserver.cli.failure import Failure
from fhirserver.cli.opening import reason, shown
from fhirserver.settings import Settings

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"


def environment(**more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FHIRSERVER_")}
    return {**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1", **more}


def command(*arguments, cwd, **more):
    """Run `fhirserver`; the completed process with everything it said in `stdout`."""
    return subprocess.run(
        [sys.executable, "-m", "fhirserver.cli", *map(str, arguments)],
        cwd=cwd,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture
def server(tmp_path):
    """Starts a command that serves; gives its process; ends it at the end."""
    running = []

    def start(*arguments, **more):
        process = subprocess.Popen(
            [sys.executable, "-m", "fhirserver.cli", *map(str, arguments)],
            cwd=tmp_path,
            env=environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def get(url, deadline=60):
    """The JSON at `url`, once the server is up."""
    until = time.monotonic() + deadline
    while True:
        try:
            request = urllib.request.Request(url, headers={"accept": "application/fhir+json"})
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def end(process):
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    return said


# --- wrong input -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--base-url", "nonsense"], "--base-url"),
        (["serve", "--auth", "off", "--host", "0.0.0.0"], "--insecure-bind"),
        (["serve", "--host", "0.0.0.0"], "base_url"),
        (["serve", "--auth", "off", "--database", "oracle://x"], "sqlite://"),
        (["serve", "--auth", "off", "--port", "99999"], "--port"),
        (["serve", "--auth", "maybe"], "maybe"),
        (["serve", "--auth", "off", "--workers", "2", "--database", "sqlite://"], "temporary"),
        (["load", "not-here.json"], "No such file or folder: not-here.json"),
        (["load", "."], "nothing to load"),
        (["load", ".", "--database", "sqlite://", "--url", "http://x"], "not both"),
        (["load", "a.json", "--url", "ftp://x"], "http:// or https://"),
        (["load", "a.json", "--url", "http://127.0.0.1:9/fhir"], "does not answer"),
        (["load", "a.json", "--database", "sqlite:///a.json/x.db"], "cannot be opened"),
        (["reindex", "Sample", "--database", "sqlite:///x.db"], "No resource type of R4: Sample"),
        (["fly"], "fly"),
    ],
)
def test_wrong_input_ends_in_a_sentence_and_exit_code_two(tmp_path, arguments, said):
    if "a.json" in arguments:
        (tmp_path / "a.json").write_text('{"resourceType":"Patient","id":"a"}')
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert said in " ".join(done.stdout.split())
    assert "Traceback" not in done.stdout


def test_environment_sets_what_options_set_and_a_bad_value_is_named(tmp_path):
    done = command("serve", cwd=tmp_path, FHIRSERVER_BASE_URL="nonsense")
    assert done.returncode == 2
    assert "FHIRSERVER_BASE_URL" in done.stdout


def test_doctor_tells_of_a_variable_that_sets_nothing(tmp_path):
    said = command("doctor", cwd=tmp_path, FHIRSERVER_DATABSE="sqlite:///x.db").stdout
    assert "FHIRSERVER_DATABSE" in said
    assert "FHIRSERVER_DATABASE" in said.partition("FHIRSERVER_DATABSE")[2]  # what was meant


def test_every_setting_is_an_option_of_serve():
    serve = next(c for c in application.registered_commands if c.callback.__name__ == "serve")
    assert list(serve.callback.__signature__.parameters) == list(Settings.model_fields)


def test_version_and_help_are_given(tmp_path):
    assert command("--version", cwd=tmp_path).stdout.startswith("fhirserver ")
    text = command("--help", cwd=tmp_path).stdout
    for name in ("serve", "load", "reindex", "doctor", "demo"):
        assert name in text


# --- load, reindex, doctor -------------------------------------------------------------------


def test_load_says_what_it_did_and_its_exit_code_tells(tmp_path):
    good, bad = tmp_path / "good.json", tmp_path / "bad.ndjson"
    good.write_text('{"resourceType":"Patient","id":"a"}')
    bad.write_text('{"resourceType":"Patient","id":"b"}\n{"resourceType":"Patient","odd":1}\n')
    database = ("--database", "sqlite:///x.db")
    done = command("load", good, *database, cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "load: 1 created")
    done = command("load", good, bad, *database, cwd=tmp_path)
    assert done.returncode == 1
    assert f"refused: {bad}:2: " in done.stdout
    assert "odd" in done.stdout
    assert "load: 1 created, 1 already there, 1 refused" in done.stdout
    (tmp_path / "none.json").write_text("none")
    assert command("load", "none.json", *database, cwd=tmp_path).returncode == 2


def test_reindex_visits_what_is_stored(tmp_path):
    (tmp_path / "a.json").write_text('{"resourceType":"Patient","id":"a"}')
    command("load", "a.json", "--database", "sqlite:///x.db", cwd=tmp_path)
    done = command("reindex", "--database", "sqlite:///x.db", cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "reindex: 1 resources")


def test_doctor_finds_nothing_wrong_with_a_good_installation(tmp_path):
    command("load", EXAMPLES / "directory.json", "--database", "sqlite:///x.db", cwd=tmp_path)
    done = command("doctor", "--database", "sqlite:///x.db", cwd=tmp_path, FHIRSERVER_AUTH="off")
    assert done.returncode == 0, done.stdout
    assert "146 resource types" in done.stdout
    assert "found by their index entries" in done.stdout
    assert "Nothing is wrong." in done.stdout


def test_doctor_does_not_make_a_database(tmp_path):
    done = command("doctor", cwd=tmp_path, FHIRSERVER_AUTH="off")
    assert done.returncode == 0
    assert "does not exist" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_doctor_says_what_is_wrong_and_what_to_do(tmp_path):
    (tmp_path / "x.db").write_bytes(b"this is not a database at all" * 100)
    done = command("doctor", "--database", "sqlite:///x.db", cwd=tmp_path)
    assert done.returncode == 1
    assert "BAD" in done.stdout
    assert "ok   settings" in done.stdout
    assert "cannot be opened" in done.stdout
    assert "Traceback" not in done.stdout


def test_doctor_finds_index_entries_that_are_missing(tmp_path):
    import sqlite3

    command("load", EXAMPLES / "directory.json", "--database", "sqlite:///x.db", cwd=tmp_path)
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("DELETE FROM token")
    connection.close()
    doctor = ("doctor", "--database", "sqlite:///x.db")
    done = command(*doctor, cwd=tmp_path, FHIRSERVER_AUTH="off")
    assert done.returncode == 1
    assert "fhirserver reindex" in done.stdout
    assert command("reindex", "--database", "sqlite:///x.db", cwd=tmp_path).returncode == 0
    assert command(*doctor, cwd=tmp_path, FHIRSERVER_AUTH="off").returncode == 0


def test_password_of_a_database_is_not_shown():
    assert shown("mongodb://user:secret@host/name") == "mongodb://user:***@host/name"
    assert shown("sqlite:///x.db") == "sqlite:///x.db"


def test_reason_of_a_driver_is_told_without_its_settings():
    said = "h:1: refused (configured timeouts: connectTimeoutMS: 5.0ms), Timeout: 4s, Topology"
    assert reason(ConnectionError(said)) == "h:1: refused"
    assert reason(TimeoutError()) == "TimeoutError"


# --- serve and demo --------------------------------------------------------------------------


def test_serve_starts_on_an_empty_store_and_takes_a_load_over_http(server, tmp_path):
    port = free_port(20000)
    process = server("serve", "--auth", "off", "--port", port, "--database", "sqlite:///new/x.db")
    base = f"http://127.0.0.1:{port}"
    assert get(f"{base}/healthz") == {"status": "ok"}
    assert get(f"{base}/fhir/metadata")["fhirVersion"] == "4.0.1"
    assert get(f"{base}/fhir/Patient")["type"] == "searchset"
    done = command("load", EXAMPLES, "--url", f"{base}/fhir", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert get(f"{base}/fhir/Patient?_summary=count")["total"] == 12
    said = end(process)
    assert "NO ACCESS CONTROL" in said
    assert "Traceback" not in said


def test_demo_serves_the_sample_patients_on_a_free_port_and_says_where(server, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wished = taken.getsockname()[1]
        process = server("demo", "--port", wished, "--keep", "kept")
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        said = "".join(lines)
    assert f"Port {wished} is taken" in said
    (base,) = {line.strip() for line in lines if line.startswith("  http") and line.count("/") == 3}
    assert get(f"{base}fhir/Patient?_summary=count")["total"] == 12
    urls = [word.strip("'") for line in lines for word in line.split() if "/fhir/" in word]
    assert len(urls) >= 6
    for url in urls:
        assert "resourceType" in get(url.replace("|", "%7C"), deadline=0), url
    assert "Traceback" not in end(process)
    assert process.returncode == 0
    assert (tmp_path / "kept" / "demo.db").exists()


def test_no_free_port_is_a_failure(monkeypatch):
    monkeypatch.setattr(sys.modules["fhirserver.cli.demo"], "TRIES", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Failure, match="is free"):
            free_port(taken.getsockname()[1])


def test_where_to_look_names_three_commands_and_the_pages():
    text = where_to_look("http://127.0.0.1:8080", 377)
    assert text.count("curl") == 3
    assert text.count("\n  http") == 4
