"""Packs a folder as an image archive: image.py ARCHIVE NAME:TAG FOLDER CONFIG

CONFIG is the configuration of the image as JSON: Entrypoint, Env, User, StopSignal.
"""

import hashlib
import io
import json
import sys
import tarfile


def nobodys(info):
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return info


def layer_of(folder):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(folder, arcname=".", filter=nobodys)
    return out.getvalue()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def files(name, layer, config):
    image = {
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha256(layer)]},
    }
    text = json.dumps(image).encode()
    entry = {"Config": sha256(text) + ".json", "RepoTags": [name], "Layers": ["layer.tar"]}
    return {
        entry["Config"]: text,
        "layer.tar": layer,
        "manifest.json": json.dumps([entry]).encode(),
    }


def main(archive, name, folder, config):
    with tarfile.open(archive, "w") as tar:
        for path, data in files(name, layer_of(folder), json.loads(config)).items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


if __name__ == "__main__":
    main(*sys.argv[1:])
