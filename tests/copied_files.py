"""Exports with the files of another export: for what stands beside the SavedModel and the .tflite files."""

import json
import shutil
from pathlib import Path

from kgen.export import bundle


def copies_files_of(version: Path, monkeypatch, *, measured: bool = True):
    """Has every export take the SavedModel and the .tflite files from a version, and what was measured of them."""
    manifest = json.loads((version / "manifest.json").read_text())

    def saved_model(signatures, path):
        for name in ("saved_model.pb", "fingerprint.pb"):
            shutil.copy(version / name, path)
        shutil.copytree(version / "variables", path / "variables")
        return {name: manifest["signatures"][name] for name in signatures}

    def tflite(signatures, about, folder, golden, quantize, *_):
        for file in version.glob("*.tflite"):
            shutil.copy(file, folder)
        return []

    monkeypatch.setattr(bundle, "write_saved_model", saved_model)
    monkeypatch.setattr(bundle, "write_tflite", tflite)
    if measured:
        monkeypatch.setattr(bundle, "verify_files", lambda folder, golden: manifest["measured"])
