"""What is recorded of the processor: complete, comparable, and described in a sentence."""

import json
import os
import subprocess
import sys

import pytest
import worlds

from kgen.environment import TEMPLATES, VARIABLES, describe, differences, environment


def test_it_names_the_processor_and_the_choices():
    found = environment()
    assert {*found} == {*TEMPLATES} and found == json.loads(json.dumps(found))
    assert found["processor"] and found["cores"] >= 1 and found["libraries"]["tensorflow"]
    assert found["processor"] in describe(found) and f"{found['cores']} cores" in describe(found)
    assert environment() == found and differences(found, found) == []


def test_differences_are_reported_with_what_was():
    was = {"processor": "A", "instruction_sets": ["AVX", "AVX2"], "onednn": True, "variables": {}, "cores": 2}
    here = was | {"instruction_sets": ["AVX"], "onednn": False, "variables": {"XLA_FLAGS": "--x"}}
    assert differences(was, here) == [
        "instruction sets AVX (was AVX AVX2)", "oneDNN off (was on)", "XLA_FLAGS=--x (was none)",
    ]  # fmt: skip
    assert differences(here, was)[-1] == "no variables (was XLA_FLAGS=--x)"
    assert differences({"gpus": [1]}, {"gpus": []}) == ["no gpus (was 1)"]  # of a file that was edited


@pytest.mark.slow
def test_a_world_is_another_environment():
    """As `tools/worlds.py` runs commands, and `python -m kgen.environment` prints."""
    command = [sys.executable, worlds.__file__, "--worlds", "default,avx2_without_onednn", "--", sys.executable, "-m"]
    plain = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run([*command, "kgen.environment"], env=plain, capture_output=True, text=True, check=True)
    parts = done.stdout.split("== world ")[1:]
    lines = [part.splitlines()[1] for part in parts if not part.splitlines()[0].count("exit code")]
    assert "oneDNN off" in lines[1] and "TF_ENABLE_ONEDNN_OPTS=0" in lines[1]
    assert "TF_ENABLE_ONEDNN_OPTS=0" not in lines[0]
    assert done.stdout.count("exit code 0 after") == 2 and "tensorflow=2." in done.stdout


def test_a_world_that_is_this_one_is_left_out(monkeypatch):
    def names(onednn: bool, *sets: str) -> list[str]:
        monkeypatch.setattr("kgen.environment.environment", lambda: {"onednn": onednn, "instruction_sets": [*sets]})
        return worlds.checked()

    assert names(False, "AVX", "AVX2") == ["sse41", "avx2_one_thread"]
    assert names(True, "AVX", "AVX2") == names(False, "AVX2", "AVX512F") == names(False, "ASIMD") == [*worlds.CHECKED]


def test_a_command_that_fails_in_a_world_is_heard_of():
    program = "import os, sys; sys.exit('TF_NUM_INTRAOP_THREADS' in os.environ and 3)"
    command = [sys.executable, worlds.__file__, "--", sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 3 and "world avx2_one_thread: exit code 3" in done.stdout
    done = subprocess.run([*command[:2], "--worlds", "mars", "--", "true"], capture_output=True, text=True)
    assert done.returncode == 2 and "Received: 'mars'" in done.stderr
