"""`GET /`: a page for people over the models that serve.

Its pictures come through the public REST calls, so the calls it shows are those it made. It has one endpoint of its
own, for what TF Serving does not tell: `GET /page/models.json`.
"""

import asyncio
import json
from importlib import resources
from pathlib import Path

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kgen.serve.store import ModelStore
from kgen.serve.version import Version

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
NO_MANIFEST = "it has no manifest.json, so kgen did not export it"


def routes(store: ModelStore) -> list[Route]:
    """The page at `/`, its files below `/page/` by their names alone, and what it shows of the models."""

    async def models(request: Request) -> Response:
        versions = [store.find(name, number) for name, numbers in store.serving().items() for number in numbers[::-1]]
        told = await asyncio.to_thread(lambda: [describe(version) for version in versions])
        return Response(orjson.dumps({"models": told}), headers=HEADERS, media_type="application/json")

    def route(path: str, file) -> Route:
        content, kind = file.read_bytes(), TYPES[Path(file.name).suffix]

        async def answer(request: Request) -> Response:
            return Response(content, headers=HEADERS, media_type=kind)

        return Route(path, answer)

    folder, shared = resources.files("kgen.serve") / "page", resources.files("kgen")
    found = [shared / "portable.js", *(shared / "web").iterdir(), *folder.iterdir()]
    files = sorted((file for file in found if Path(file.name).suffix in TYPES), key=lambda f: f.name)
    return [
        Route("/page/models.json", models),
        route("/", folder / "index.html"),
        *(route(f"/page/{file.name}", file) for file in files),
    ]


def describe(version: Version) -> dict:
    """What the page knows of a version.

    Returns:
        {"name", "version", "signatures": their names, "problem": why "kgen" is None, else None, "kgen": {"class_names",
        "num_classes", "latent_shape", "image_shape", "prior", "conditional", "ranges"} of the export's manifest}.
    """
    servable = version.servable  # None as soon as it is retired
    told = {
        "name": version.model,
        "version": version.number,
        "signatures": sorted(servable.loaded.signatures) if servable else [],
    }
    try:
        return {**told, "problem": None, "kgen": read_manifest(version.path)}
    except FileNotFoundError:
        return {**told, "problem": NO_MANIFEST, "kgen": None}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        return {**told, "problem": f"its manifest.json is none of kgen's ({error!r})", "kgen": None}


def read_manifest(path: Path) -> dict:
    """The part of a manifest that the page needs, every value of its type.

    Raises:
        OSError, ValueError, TypeError, KeyError, AttributeError: there is none, or it is not kgen's.
    """
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    height, width, channels = map(int, manifest["spec"]["image_shape"])
    return {
        "class_names": [str(name) for name in manifest["class_names"]],
        "num_classes": int(manifest["spec"]["num_classes"]),
        "latent_shape": [int(side) for side in manifest["latent_shape"]],
        "image_shape": [height, width, channels],
        "prior": str(manifest["prior"]),
        "conditional": bool(manifest["conditional"]),
        "ranges": {name: [low + 0, high + 0] for name, (low, high) in manifest["ranges"].items()},
    }
