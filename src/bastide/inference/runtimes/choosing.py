"""Which program serves a model folder: by what lies in it, and by what this machine has."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from bastide.errors import NoRuntime, UnknownModelFolder

_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd")


@dataclass(frozen=True, slots=True)
class Runtime:
    """A program that serves one model on a port of loopback. `{port}` in its command is put in when it starts."""

    kind: str  # how it is spoken to: one of the adapters
    program: str
    command: tuple[str, ...]
    model: str  # what the server itself calls the model
    health: str = "/health"
    environment: tuple[tuple[str, str], ...] = field(default=())  # beside what every process gets


_OFFLINE = (("HF_HUB_OFFLINE", "1"), ("TRANSFORMERS_OFFLINE", "1"), ("VLLM_NO_USAGE_STATS", "1"), ("DO_NOT_TRACK", "1"))


def choose_runtime(folder: Path, *, gpu: bool | None = None) -> Runtime:
    """The runtime for a folder, or a GGUF file.

    Raises UnknownModelFolder for what is no model, NoRuntime where the program that it needs is not installed.
    """
    folder = folder.expanduser().absolute()
    gguf = _gguf(folder)
    if gguf is not None:
        return _llamacpp(gguf)
    if (folder / "model.bin").is_file() and (folder / "config.json").is_file():
        return _ctranslate2(folder)
    if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
        has_gpu = gpu if gpu is not None else any(Path(device).exists() for device in _GPU_DEVICES)
        return _vllm(folder) if has_gpu and shutil.which("vllm") else _transformers(folder)
    raise UnknownModelFolder(f"{folder} holds neither a GGUF file nor the files of a model.")


def _gguf(folder: Path) -> Path | None:
    if folder.is_file():
        return folder if folder.suffix == ".gguf" else None
    files = sorted(folder.glob("*.gguf"))
    if len(files) > 1 and "-of-" not in files[0].name:
        raise UnknownModelFolder(f"{folder} holds {len(files)} models: name one of its files.")
    return files[0] if files else None


def _llamacpp(file: Path) -> Runtime:
    program = shutil.which("llama-server")
    if program is None:
        raise NoRuntime("A GGUF file is served by llama.cpp, whose `llama-server` is not on the PATH.")
    command = (program, "--model", str(file), "--host", "127.0.0.1", "--port", "{port}", "--alias", file.stem)
    return Runtime("llamacpp", "llama.cpp", command, file.stem)


def _vllm(folder: Path) -> Runtime:
    command = ("vllm", "serve", str(folder), "--host", "127.0.0.1", "--port", "{port}", "--served-model-name")
    return Runtime("vllm", "vLLM", (*command, folder.name), folder.name, environment=_OFFLINE)


def _transformers(folder: Path) -> Runtime:
    program = shutil.which("transformers")
    if program is None:
        raise NoRuntime(
            "This folder is served by vLLM where there is a GPU, else by transformers; neither is installed."
        )
    command = (program, "serve", "--host", "127.0.0.1", "--port", "{port}", "--continuous-batching")
    return Runtime("openai", "transformers", command, str(folder), environment=_OFFLINE)


def _ctranslate2(folder: Path) -> Runtime:
    if importlib.util.find_spec("ctranslate2") is None:
        raise NoRuntime("This folder is served by CTranslate2, which is not installed: pip install 'bastide[serve]'.")
    if not (folder / "tokenizer.json").is_file():
        raise UnknownModelFolder(f"{folder} has no tokenizer.json.")
    json.loads((folder / "config.json").read_text("utf-8"))
    command = (sys.executable, "-m", "bastide.inference.runtimes.ctranslate2_server", str(folder), "{port}")
    return Runtime("openai", "CTranslate2", command, folder.name)
