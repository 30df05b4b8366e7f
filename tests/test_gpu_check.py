"""tools/gpu_check.py: its result lines survive what ends a measurement, and it runs through on a CPU."""

import json
import time

import gpu_check
import pytest
from gpu_check import Check, Work

CHILD = """
import json, os, sys, time
group = json.loads(sys.stdin.readline())
for name in group["names"]:
    print("noise of a library")
    if name == "aborts":
        sys.stderr.write("F0000 Check failed: no kernel image\\n")
        sys.stderr.flush()
        os.abort()
    if name == "hangs":
        time.sleep(60)
    print("@@" + json.dumps({"part": group["part"], "name": name, "ok": True, "text": "well"}), flush=True)
"""


def measured(tmp_path, names, seconds=30.0):
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    check = Check(tmp_path, time.monotonic() + seconds, script)
    check.run(Work("a", "kgen", names), check.until)
    check.close()
    assert json.loads((tmp_path / "results.json").read_text())["records"] == check.records
    assert [record["name"] for record in check.records] == [*names]
    return check.records


def test_what_aborts_takes_no_other_measurement_along(tmp_path, capsys):
    one, aborted, last = measured(tmp_path, ("one", "aborts", "last"))
    assert one["ok"] and last["ok"] and aborted["ok"] is False
    assert "signal 6" in aborted["text"] and "no kernel image" in aborted["text"]
    assert "2 passed   1 failed   0 left out" in gpu_check.table([one, aborted, last])[0]
    assert "| aborts | **no** | FAILED" in gpu_check.page({}, [one, aborted, last], "the command")
    assert len(capsys.readouterr().out.splitlines()) == 3 and "no kernel image" in (tmp_path / "logs.txt").read_text()


def test_what_hangs_is_ended_by_its_limit(tmp_path, monkeypatch):
    monkeypatch.setitem(gpu_check.LIMITS, "a", 1)
    hung, last = measured(tmp_path, ("hangs", "last"))
    assert hung["ok"] is False and "no end in 1 s" in hung["text"] and last["ok"]


def test_what_there_is_no_time_for_is_left_out(tmp_path):
    records = measured(tmp_path, ("one", "hangs", "last"), seconds=1.5)
    assert [record["ok"] for record in records] == [True, None, None]


def test_the_libdevice_of_another_package_is_in_the_working_folder(tmp_path, monkeypatch):
    library = tmp_path / "triton" / "backends" / "nvidia" / "lib" / "libdevice.10.bc"
    library.parent.mkdir(parents=True)
    library.write_bytes(b"BC")
    monkeypatch.setattr(gpu_check.sysconfig, "get_path", lambda _: str(tmp_path))
    script = tmp_path / "child.py"
    script.write_text(CHILD.replace('"well"', 'open("libdevice.10.bc").read()'))
    check = Check(tmp_path, time.monotonic() + 30, script)
    check.run(Work("a", "kgen", ("one",)), check.until)
    check.close()
    assert [record["text"] for record in check.records] == ["BC"]


def test_every_preset_is_compared_with_the_cpu():
    from kgen.models.presets import PRESETS

    assert {*gpu_check.PRESETS} == {*PRESETS}


@pytest.mark.slow
def test_it_runs_through_on_a_cpu(tmp_path, capsys):
    assert gpu_check.main(["--minutes", "9", "--only", "a,c", "--to", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "no GPU: a self-check on the CPU" in said
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["about"]["gpu"] is False and {record["part"] for record in found["records"]} == {"a", "c"}
    assert all(record["weights"] < 1e-4 for record in found["records"] if record["part"] == "a")
    assert all(record["images_per_second"] > 0 for record in found["records"] if record["part"] == "c")
    assert "| dcgan | yes | weights within" in (tmp_path / "results.md").read_text()
